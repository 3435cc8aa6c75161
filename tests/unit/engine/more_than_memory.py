"""Writes, flushes, compacts and searches four times as many bytes as a memory limit, and prints what it took at most.

python more_than_memory.py FOLDER LIMIT_BYTES
"""

import os

# Before numpy is imported: threads of BLAS have memory of their own, and `pinyon.app` allows one.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import contextlib
import sys
import threading
import time
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np

from pinyon.engine.background import Background, Ticker
from pinyon.engine.database import Database
from pinyon.engine.index import Index
from pinyon.engine.operations import UpsertRecords
from pinyon.engine.search_plan import SearchPlan
from pinyon.model.index import Deployment, IndexDefinition
from pinyon.model.metric import Metric, VectorType
from pinyon.model.record import Float32s, RecordBatch
from pinyon.storage.local import LocalStorage
from pinyon.storage.machine import process_memory

DIMENSION: Final = 1024
BATCH_ROWS: Final = 500
DEFINITION: Final = IndexDefinition(
    name="i",
    index_id="1",
    vector_type=VectorType.DENSE,
    dimension=DIMENSION,
    metric=Metric.COSINE,
    deployment=Deployment(kind="serverless"),
)


class Peak:
    """The most memory of its own that the process had, looked at every few milliseconds."""

    def __init__(self) -> None:
        self.bytes = 0
        self._stopped = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._stopped.wait(0.005):
            self.bytes = max(self.bytes, process_memory().anonymous_bytes)


def main(folder: Path, limit_bytes: int) -> None:
    peak = Peak()
    salts = count(1)
    with contextlib.ExitStack() as stack:
        runs, flushes, work = (stack.enter_context(contextlib.closing(Background())) for _ in range(3))
        database = Database(
            LocalStorage(folder),
            new_salt=lambda: next(salts).to_bytes(16, "little"),
            log_file_bytes_max=16 * 1024 * 1024,
            run_later=runs.submit,
            flush_later=flushes.submit,
            work_later=work.submit,
            memory_limit_bytes=limit_bytes,
        )
        stack.enter_context(contextlib.closing(database))
        stack.enter_context(contextlib.closing(Ticker(database.tick, 0.2)))
        index = database.create(DEFINITION)
        batch_count = 4 * limit_bytes // (4 * DIMENSION * BATCH_ROWS) + 1
        for number in range(batch_count):
            write(index, number)
        index.maintenance.flush()
        deadline = time.monotonic() + 120
        while index.report().done.get("compact", 0) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        for number in range(0, batch_count, batch_count // 10):
            search(index, number, batch_count * BATCH_ROWS)
        report = index.report()
        assert report.segment_bytes > 4 * limit_bytes, report
        assert report.done["flush"] >= 4, report
        assert report.done["compact"] >= 2, report
    print(peak.bytes)


def rows_of(number: int) -> Float32s:
    return np.random.default_rng(number).standard_normal((BATCH_ROWS, DIMENSION), dtype=np.float32)


def write(index: Index, number: int) -> None:
    ids = [f"{number}-{row}" for row in range(BATCH_ROWS)]
    index.write(UpsertRecords("n", RecordBatch(ids, rows_of(number), None, None)))


def search(index: Index, number: int, row_count: int) -> None:
    view, _ = index.read("n")
    assert view.record_count == row_count
    query = rows_of(number)[7]
    plan = SearchPlan(Metric.COSINE, 10, query, None, None, include_values=True, include_metadata=True)
    assert index.search(view, plan)[0].id == f"{number}-7"


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
