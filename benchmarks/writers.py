"""Writers in a process of their own, which encode batches of records and upsert them over gRPC as fast as they can.

Records have numbers, and never the same one twice: the id is the number, and the vector follows from it. Numbers below
that of the given vectors are these vectors; the others are mixtures of two of them, so that no vector comes twice.
"""

import itertools
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import grpc
import numpy as np

from benchmarks.peers import processes
from benchmarks.peers.dataset import NOISE
from benchmarks.peers.pinyon import messages
from benchmarks.peers.pinyon.module import KEY, SERVICE
from benchmarks.peers.protocol import Batch, Floats
from benchmarks.peers.rest import TIMEOUT_S
from benchmarks.workload import RECORDS_PER_REQUEST, metadata

WRITERS: Final = 4
"""Threads, with a connection each."""


class Task(NamedTuple):
    """What is to be written."""

    vectors: Path
    """An npy file, `(n, dimension)` float32."""

    first: int
    """The first record."""

    end: int | None
    """The one after the last; None goes on until the writers are stopped."""

    port: int | None
    """Of the index; None encodes the batches and throws them away."""

    processors: float | None = None
    """CPU seconds a second that they take at most; None lets them take what they get."""


class Writers:
    """A process that works from the moment this is made until the task is done.

    As a context it works within it: from the first batch, since a process takes a while to start, until all that was
    sent is acknowledged.
    """

    def __init__(self, task: Task) -> None:
        context = multiprocessing.get_context("spawn")
        self._is_over = context.Event()
        self._records = context.Value("q", 0)
        self._process = context.Process(target=_work, args=(task, self._records, self._is_over), daemon=True)
        self._process.start()

    @property
    def records(self) -> int:
        """How many were acknowledged, or encoded where nothing is sent."""
        return int(self._records.value)

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the process so far."""
        return processes.cpu_s([self._process.pid or 0])

    def wait(self) -> None:
        """Return once the task is done.

        Raises:
            RuntimeError: it failed; the process has told why on the standard error.
        """
        self._process.join()
        if self._process.exitcode != 0:
            raise RuntimeError("the writers failed")

    def __enter__(self) -> Self:
        while self.records == 0 and self._process.is_alive():
            time.sleep(0.05)
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_over.set()
        self.wait()


def _work(task: Task, records: Any, is_over: Any) -> None:
    vectors: Floats = np.load(task.vectors)
    starts = itertools.count(task.first, RECORDS_PER_REQUEST)
    begun_s, begun_cpu_s = time.perf_counter(), time.process_time()

    def has_taken_enough() -> bool:
        if task.processors is None:
            return False
        return time.process_time() - begun_cpu_s > task.processors * (time.perf_counter() - begun_s)

    def write() -> None:
        send = _sender(task.port)
        try:
            for start in starts:  # One iterator for all threads; its step is one call in C.
                end = start + RECORDS_PER_REQUEST if task.end is None else min(start + RECORDS_PER_REQUEST, task.end)
                if end <= start:
                    return
                while has_taken_enough() and not is_over.is_set():
                    time.sleep(0.005)
                if is_over.is_set():
                    return
                send(messages.upsert_request(_batch(vectors, range(start, end))))
                with records.get_lock():
                    records.value += end - start
        except BaseException:
            is_over.set()  # The others need not go on.
            raise

    with ThreadPoolExecutor(WRITERS) as threads:
        for each in [threads.submit(write) for _ in range(WRITERS)]:
            each.result()


def _batch(vectors: Floats, rows: range) -> Batch:
    numbers = np.arange(rows.start, rows.stop)
    laps = numbers // len(vectors)
    # In each lap a row meets another partner; the first lap has none.
    partners = vectors[(numbers + laps) % len(vectors)] * np.float32(NOISE) * (laps > 0)[:, None]
    return Batch(rows, vectors[numbers % len(vectors)] + partners, [metadata(row) for row in rows])


def _sender(port: int | None) -> Callable[[bytes], object]:
    if port is None:
        return len
    # A pool of its own: channels to one address share a connection otherwise.
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    upsert = grpc.insecure_channel(f"127.0.0.1:{port}", options=options).unary_unary(f"{SERVICE}/Upsert")
    return lambda message: upsert(message, metadata=(("api-key", KEY),), timeout=TIMEOUT_S)
