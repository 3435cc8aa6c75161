"""What the machine itself can do, measured in the same run: the other side of each ratio."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import simdjson


def append_to_file(folder: Path, parts: Sequence[bytes], sync_count: int) -> float:
    """Append all parts to a file in a plain loop with `sync_count` fdatasyncs, evenly spread. Returns seconds."""
    path = folder / "baseline"
    due = {len(parts) * number // sync_count for number in range(1, sync_count + 1)}
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    started = time.perf_counter()
    for number, part in enumerate(parts, 1):
        os.write(descriptor, part)
        if number in due:
            os.fdatasync(descriptor)
    elapsed = time.perf_counter() - started
    os.close(descriptor)
    path.unlink()
    return elapsed


def parse_vectors(bodies: Sequence[bytes], dimension: int) -> float:
    """Parse upsert bodies with pysimdjson into float32 matrices, and do nothing else. Returns seconds."""
    started = time.perf_counter()
    for body in bodies:
        document: Any = simdjson.Parser().parse(body)
        vectors = document["vectors"]
        rows = np.empty((len(vectors), dimension), np.float32)
        for row, vector in enumerate(vectors):
            rows[row] = np.frombuffer(vector["values"].as_buffer(of_type="d"))
    return time.perf_counter() - started
