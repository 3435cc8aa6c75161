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
from pinyon.inference.batching import Job, next_batch
from pinyon.inference.protocol import Piece
from pinyon.inference.worker import WorkerLimits


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


def embed_texts(texts: Sequence[str], texts_per_request: int) -> float:
    """Run the packaged MiniLM by onnxruntime alone, on the batches that a worker makes of each request.

    Tokens are split and batches laid out before the clock starts. Returns CPU seconds.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(minilm.read_packaged(minilm.MODEL), options)
    tokenizer = tokenizers.Tokenizer.from_buffer(minilm.read_packaged(minilm.TOKENIZER))
    tokenizer.no_padding()
    tokenizer.enable_truncation(minilm.TOKENS_MAX)
    sequences = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    starts = range(0, len(sequences), texts_per_request)
    feeds = [_feed(batch) for start in starts for batch in _batches(sequences[start : start + texts_per_request])]
    session.run(None, feeds[0])
    started = time.process_time()
    for feed in feeds:
        session.run(None, feed)
    return time.process_time() - started


def _batches(sequences: Sequence[list[int]]) -> Iterator[list[list[int]]]:
    job = Job([Piece(len(sequence), sequence) for sequence in sequences], is_urgent=False)
    limits = WorkerLimits(pieces_max=len(sequences), timeout_s=1.0)
    while job.left:
        batch = next_batch([job], limits.batch_pieces_max, limits.batch_tokens_max)
        for _, position in batch:
            job.left.remove(position)
        yield [sequences[position] for _, position in batch]


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
