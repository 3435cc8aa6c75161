"""What the machine itself can do, measured in the same run: the other side of each ratio."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import simdjson
import tokenizers

from pinyon.inference import minilm


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


def embed_texts(texts: Sequence[str], batch_tokens_max: int) -> float:
    """Run the packaged MiniLM by onnxruntime alone, on texts in batches of similar length. Returns CPU seconds.

    Tokens are split and batches laid out before the clock starts.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(minilm.read_packaged(minilm.MODEL), options)
    tokenizer = tokenizers.Tokenizer.from_buffer(minilm.read_packaged(minilm.TOKENIZER))
    tokenizer.no_padding()
    tokenizer.enable_truncation(minilm.TOKENS_MAX)
    sequences = sorted((encoding.ids for encoding in tokenizer.encode_batch(list(texts))), key=len)
    feeds = [_feed(batch) for batch in _by_length(sequences, batch_tokens_max)]
    session.run(None, feeds[0])
    started = time.process_time()
    for feed in feeds:
        session.run(None, feed)
    return time.process_time() - started


def _by_length(sequences: Sequence[list[int]], tokens_max: int) -> Iterator[list[list[int]]]:
    """Batches of sequences that come sorted by length, each with at most so many tokens when padded."""
    batch: list[list[int]] = []
    for sequence in sequences:
        if batch and (len(batch) + 1) * len(sequence) > tokens_max:
            yield batch
            batch = []
        batch.append(sequence)
    yield batch


def _feed(batch: list[list[int]]) -> dict[str, np.ndarray]:
    ids = np.zeros((len(batch), max(map(len, batch))), np.int64)
    mask = np.zeros_like(ids)
    for row, sequence in enumerate(batch):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


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
