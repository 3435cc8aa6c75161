"""Hours in seconds: writes, deletes, reads and all maintenance at once, with bounded memory, files and threads.

`PINYON_SOAK_S=1200 pytest tests/soak` runs it for twenty minutes.
"""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from pinyon.engine.background import Background, Ticker
from pinyon.engine.compaction import CompactionOptions
from pinyon.engine.database import Database
from pinyon.engine.findings import Kind
from pinyon.engine.index import Index
from pinyon.engine.maintenance_options import MaintenanceOptions
from pinyon.engine.operations import DeleteNamespace, DeleteRecords, UpsertRecords
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.segment_build import BuildOptions
from pinyon.engine.verification import verify
from pinyon.model.batches import bytes_column
from pinyon.model.index import Deployment, IndexDefinition
from pinyon.model.metric import Metric, VectorType
from pinyon.model.record import RecordBatch
from pinyon.protobuf.struct import encode_metadata
from pinyon.storage.local import LocalStorage
from pinyon.storage.machine import process_memory

DURATION_S = float(os.environ.get("PINYON_SOAK_S", "15"))
IDS = 6000
DIMENSION = 32
BATCH = 100
FILES_MAX = 120
THREADS_MORE_MAX = 2
MEMORY_MORE_BYTES_MAX = 200 * 1024 * 1024

OPTIONS = MaintenanceOptions(
    memtable_bytes_max=1024 * 1024,
    idle_flush_bytes=64 * 1024,
    log_bytes_max=4 * 1024 * 1024,
    graph_rows_min=2000,
    build=BuildOptions(dedicated_rows_min=500),
    compaction=CompactionOptions(fan_in=3),
)


class Writer:
    """The only one who writes to its namespace, so it knows what is there."""

    def __init__(self, index: Index, name: str, seed: int) -> None:
        self._index = index
        self._name = name
        self._rng = np.random.default_rng(seed)
        self.numbers: dict[str, int] = {}
        self._next = 0

    def step(self) -> None:
        kind = self._rng.random()
        ids = [f"id-{number}" for number in self._rng.choice(IDS, BATCH, replace=False)]
        if kind < 0.75:
            self._upsert(ids)
        elif kind < 0.98:
            self._index.write(DeleteRecords(self._name, ids))
            for id_ in ids:
                self.numbers.pop(id_, None)
        else:
            self._index.write(DeleteNamespace(self._name))
            self.numbers.clear()

    def _upsert(self, ids: list[str]) -> None:
        self._next += 1
        metadata = bytes_column([encode_metadata({"number": float(self._next)})] * len(ids))
        dense = self._rng.standard_normal((len(ids), DIMENSION), dtype=np.float32)
        self._index.write(UpsertRecords(self._name, RecordBatch(ids, dense, None, metadata)))
        self.numbers |= dict.fromkeys(ids, self._next)

    def check(self) -> None:
        ids = [f"id-{number}" for number in range(IDS)]
        found = {record.id: record.metadata for record in self._index.read(self._name, ids)[1]}
        assert found == {id_: encode_metadata({"number": float(number)}) for id_, number in self.numbers.items()}
        assert self._index.record_counts()[1].get(self._name, 0) == len(self.numbers)


@pytest.mark.slow
@pytest.mark.timeout(DURATION_S + 120)
def test_memory_files_and_threads_stay_bounded(tmp_path: Path) -> None:
    salts = count(1)
    storage = LocalStorage(tmp_path)
    with (
        closing(Background("runs")) as runs,
        closing(Background("flush")) as flushes,
        closing(Background("work")) as work,
    ):
        database = Database(
            storage,
            new_salt=lambda: next(salts).to_bytes(16, "little"),
            log_file_bytes_max=1024 * 1024,
            run_later=runs.submit,
            flush_later=flushes.submit,
            work_later=work.submit,
            maintenance_options=OPTIONS,
        )
        with closing(database), closing(Ticker(database.tick, 0.2)):
            index = database.create(
                IndexDefinition(
                    name="soak",
                    index_id="1",
                    vector_type=VectorType.DENSE,
                    dimension=DIMENSION,
                    metric=Metric.COSINE,
                    deployment=Deployment(kind="serverless"),
                )
            )
            writers = [Writer(index, f"n{number}", number) for number in range(2)]
            soak(index, writers, tmp_path)
            done = index.maintenance.counts
            assert done["flush"] > 2
            assert done["compact"] > 1
    assert [finding for finding in verify(storage) if finding.kind is Kind.PROBLEM] == []


def soak(index: Index, writers: list[Writer], folder: Path) -> None:
    end = time.monotonic() + DURATION_S
    with ThreadPoolExecutor(len(writers) + 1) as pool:
        futures = [pool.submit(write_until, end, writer) for writer in writers]
        futures.append(pool.submit(read_until, end, index))
        time.sleep(DURATION_S / 3)
        memory, threads = process_memory().anonymous_bytes, threading.active_count()
        for future in futures:
            future.result()
        assert process_memory().anonymous_bytes - memory < MEMORY_MORE_BYTES_MAX
        assert threading.active_count() <= threads + THREADS_MORE_MAX
    assert sum(1 for path in folder.rglob("*") if path.is_file()) < FILES_MAX
    for writer in writers:
        writer.check()


def write_until(end: float, writer: Writer) -> None:
    for number in count(1):
        writer.step()
        if number % 100 == 0:
            writer.check()
        if time.monotonic() > end:
            return


def read_until(end: float, index: Index) -> None:
    rng = np.random.default_rng(9)
    while time.monotonic() < end:
        query = rng.standard_normal(DIMENSION, dtype=np.float32)
        view, _ = index.read("n0")
        matches = index.search(view, SearchPlan(Metric.COSINE, 10, query, None, None, False, True))
        assert len(matches) == min(10, view.record_count)
        assert len({match.id for match in matches}) == len(matches)
        time.sleep(0.002)
