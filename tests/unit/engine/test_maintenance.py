"""When an index is flushed and what follows, what happens to writers meanwhile, and what a failure leaves."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest

from pinyon.engine import flush as flush_module
from pinyon.engine import maintenance as maintenance_module
from pinyon.engine.background import Work
from pinyon.engine.compaction import CompactionOptions
from pinyon.engine.database import Database
from pinyon.engine.index import Index
from pinyon.engine.maintenance_options import MaintenanceOptions
from pinyon.engine.operations import DeleteNamespace, DeleteRecords, UpsertRecords
from pinyon.engine.part import LiveSegment
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.segment_build import BuildOptions
from pinyon.errors import UnavailableError
from pinyon.model.index import Deployment, IndexDefinition
from pinyon.model.metric import Metric, VectorType
from pinyon.model.record import Metadata
from pinyon.testing.engine_model import PlainRecord, batch, plain_record
from pinyon.testing.simulated_disk import SimulatedDisk

MEMTABLE_BYTES_MAX = 100_000
OPTIONS = MaintenanceOptions(
    memtable_bytes_max=MEMTABLE_BYTES_MAX,
    idle_flush_bytes=8_000,
    log_bytes_max=200_000,
    idle_ticks=3,
    quiet_bytes=0,
    graph_rows_min=0,
    build=BuildOptions(dedicated_rows_min=10_000),
    compaction=CompactionOptions(fan_in=3),
)


class Kept:
    """An index whose work waits until it is asked for."""

    def __init__(self, options: MaintenanceOptions = OPTIONS) -> None:
        self.disk = SimulatedDisk()
        self.flushes: deque[Work] = deque()
        self.work: deque[Work] = deque()
        salts = count()
        database = Database(
            self.disk,
            new_salt=lambda: next(salts).to_bytes(16, "little"),
            log_file_bytes_max=2**20,
            flush_later=self.flushes.append,
            work_later=self.work.append,
            maintenance_options=options,
        )
        self.index: Index = database.create(
            IndexDefinition(
                name="i",
                index_id="1",
                vector_type=VectorType.DENSE,
                dimension=1,
                metric=Metric.DOTPRODUCT,
                deployment=Deployment(kind="serverless"),
            )
        )
        self._ids = count()

    def write(self, records: int = 1, bytes_each: int = 0) -> None:
        text: Metadata = {"text": "x" * bytes_each} if bytes_each else {}
        ids = [str(next(self._ids)) for _ in range(records)]
        self.index.write(UpsertRecords("n", batch(dict.fromkeys(ids, PlainRecord((1,), {}, text)))))

    def fill(self, share: float) -> None:
        """Write until memtables hold this share of what they may, at least."""
        while self.memory_bytes < share * MEMTABLE_BYTES_MAX:
            self.write(1, 5000)

    @property
    def memory_bytes(self) -> int:
        return self.index._state.namespaces.memory_bytes

    @property
    def segment_count(self) -> int:
        return len(self.index._state.store.segments)

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.index.maintenance.tick()

    def flush_later(self) -> None:
        self.flushes.popleft()()


@pytest.fixture
def kept() -> Kept:
    return Kept()


def test_nothing_is_begun_where_nothing_was_written(kept: Kept) -> None:
    kept.tick(10)
    assert not kept.flushes
    assert not kept.work
    kept.index.maintenance.flush()
    assert kept.segment_count == 0
    assert kept.index._state.store.manifest.lsn == 0


def test_a_full_memory_is_flushed_at_once_and_once(kept: Kept) -> None:
    kept.fill(0.9)
    kept.tick()
    assert not kept.flushes
    kept.fill(1)
    kept.write()
    kept.tick()
    assert len(kept.flushes) == 1
    kept.flush_later()
    assert (kept.segment_count, kept.memory_bytes, kept.index.maintenance.memory_bytes) == (1, 0, 0)
    kept.tick()
    assert not kept.flushes


def test_what_is_in_memory_is_flushed_in_a_pause_if_it_is_worth_it(kept: Kept) -> None:
    kept.write()
    kept.tick(10)
    assert not kept.flushes, "so little is found fast where it is"
    kept.write(2, 2000)
    for _ in range(3):
        kept.tick()
        assert not kept.flushes
    kept.write()  # The pause begins anew.
    kept.tick(3)
    assert not kept.flushes
    kept.tick()
    assert len(kept.flushes) == 1
    kept.flush_later()
    assert kept.segment_count == 1


def test_a_long_log_is_flushed_though_it_left_little_in_memory(kept: Kept) -> None:
    while kept.index._state.log.size_bytes < OPTIONS.log_bytes_max:
        kept.tick()
        assert not kept.flushes
        kept.index.write(UpsertRecords("n", batch({"a": PlainRecord((1,), {}, {"text": "x" * 9000})})))
        kept.index.write(DeleteRecords("n", ["a"]))
        kept.index._state.namespaces.memory_bytes = 0
    kept.tick()
    assert len(kept.flushes) == 1
    kept.flush_later()
    kept.write()
    kept.index.maintenance.flush()
    assert kept.index._state.log.size_bytes < 2000


def test_writers_wait_while_a_flush_lags_behind(kept: Kept) -> None:
    kept.fill(2)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(kept.write)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.1)
        kept.flush_later()
        waiting.result(timeout=10)
    assert kept.index.record_counts()[1]["n"] == kept.index.read("n")[0].record_count


def test_a_writer_that_waits_too_long_is_refused_and_later_ones_are_not(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance_module, "_ROOM_TIMEOUT_S", 0.01)
    kept.fill(2)
    lsn = kept.index.lsn
    with pytest.raises(UnavailableError, match="writes come faster than the disk takes them"):
        kept.write()
    assert kept.index.lsn == lsn
    kept.flush_later()
    kept.write()


def test_a_flush_that_ends_before_a_writer_notes_that_it_is_due_leaves_no_writer_waiting(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance_module, "_ROOM_TIMEOUT_S", 0.01)
    kept.fill(1)
    kept.flush_later()
    kept.index.maintenance._has_room.clear()
    kept.write()


def test_a_flush_that_failed_is_begun_again_and_loses_nothing(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    kept.fill(1)
    for _ in range(2):
        kept.disk.fail_next("create")
        kept.flush_later()
        assert kept.segment_count == 0
        kept.write()
        assert kept.index.record_counts()[1]["n"] == kept.index.read("n")[0].record_count
        assert not kept.flushes
        kept.tick()
        assert len(kept.flushes) == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "flush failed" in caplog.text
    kept.flush_later()
    assert kept.segment_count == 1
    assert kept.memory_bytes > 0, "what was written after the first attempt waits for the next flush"
    kept.tick()
    assert not kept.flushes


def test_an_index_is_not_settled_while_it_is_flushed(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    flush = flush_module.flush

    def observed(*arguments: Any) -> None:
        seen.append(kept.index.maintenance.is_settled)
        flush(*arguments)

    monkeypatch.setattr(maintenance_module, "flush", observed)
    kept.write()
    kept.index.maintenance.flush()
    assert seen == [False]
    assert kept.index.maintenance.is_settled


def test_no_other_flush_is_begun_because_one_is_under_way(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    during: Callable[..., None] = flush_module.flush

    def tick_meanwhile(*arguments: object) -> None:
        kept.tick()
        during(*arguments)

    monkeypatch.setattr(maintenance_module, "flush", tick_meanwhile)
    kept.fill(1)
    kept.flush_later()
    assert not kept.flushes


def test_segments_are_merged_one_merge_at_a_time(kept: Kept) -> None:
    for _ in range(3):
        kept.write(5)
        kept.index.maintenance.flush()
    kept.tick(2)
    assert len(kept.work) == 1
    kept.work.popleft()()
    assert kept.segment_count == 1
    kept.tick(5)
    assert not kept.work


def test_fewer_segments_are_merged_in_a_pause(kept: Kept) -> None:
    for _ in range(2):
        kept.write(5)
        kept.index.maintenance.flush()
    kept.tick(3)
    assert not kept.work
    kept.tick()
    kept.work.popleft()()
    assert kept.segment_count == 1


def test_work_that_failed_is_begun_again_after_a_while_and_not_before(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        kept.write(5)
        kept.index.maintenance.flush()
    kept.disk.fail_next("create")
    kept.tick()
    kept.work.popleft()()
    assert not kept.work, "else it would fail all the time"
    assert "maintenance failed" in caplog.text
    assert kept.segment_count == 3
    kept.tick(59)
    assert not kept.work, "others have their turn"
    kept.tick()
    kept.work.popleft()()
    assert kept.segment_count == 1
    assert kept.index.read("n")[0].record_count == 15


def test_a_graph_that_cannot_be_read_keeps_its_segment_from_nothing_else(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: LiveSegment) -> None:
        raise UnavailableError("no permission")

    recall = kept.index.maintenance.recall
    monkeypatch.setattr(recall, "wants_graph_opened", lambda _: True)
    monkeypatch.setattr(recall, "open_graph", fail)
    for _ in range(3):
        kept.write(5)
        kept.index.maintenance.flush()
    for _ in range(4):
        kept.tick()
        kept.work.popleft()()
    assert kept.segment_count == 1


def test_who_reads_what_rests_sees_it_unchanged(kept: Kept) -> None:
    for _ in range(3):
        kept.write(5)
        kept.index.maintenance.flush()
    kept.disk.fail_next("create")
    kept.tick()
    before = kept.index.maintenance._resting
    kept.work.popleft()()
    assert before == {}
    assert len(kept.index.maintenance._resting) == 3


@pytest.mark.parametrize("everything", [True, False])
def test_what_was_deleted_gives_its_space_back_in_a_pause(kept: Kept, everything: bool) -> None:
    kept.write(100)
    kept.index.maintenance.flush()
    size = kept.index._state.store.size_bytes
    if everything:
        kept.index.write(DeleteNamespace("n"))
    else:
        kept.index.write(DeleteRecords("n", [f"{number}" for number in range(90)]))
    for _ in range(10):
        kept.tick()
        for waiting in (kept.flushes, kept.work):
            while waiting:
                waiting.popleft()()
    assert kept.index._state.store.size_bytes < (1 if everything else 0.6 * size)
    assert kept.index.read("n")[0].record_count == (0 if everything else 10)


def test_a_few_writes_do_not_keep_a_pause_from_being_used() -> None:
    kept = Kept(replace(OPTIONS, quiet_bytes=10_000))
    kept.write(3, 2000)
    kept.index.maintenance.flush()
    kept.write(3, 2000)
    kept.index.maintenance.flush()
    for _ in range(5):
        kept.write()
        kept.tick()
    assert kept.work, "two segments are to be merged"


def test_deaths_that_no_flush_has_made_durable_begin_no_merge(kept: Kept) -> None:
    kept.write(10)
    kept.index.maintenance.flush()
    kept.index.write(DeleteRecords("n", [f"{number}" for number in range(6)]))
    kept.tick(10)
    assert not kept.work
    kept.index.maintenance.flush()
    kept.tick()
    kept.work.popleft()()
    (live,) = kept.index._state.store.segments.values()
    assert (live.row_count, live.dead_count) == (4, 0)
    kept.tick(10)
    assert not kept.work


def test_readers_see_whole_requests_while_all_is_flushed_and_merged() -> None:
    """Each request gives all records of a namespace one number; a read that sees two of them saw half a request."""
    kept = Kept(replace(OPTIONS, build=BuildOptions(dedicated_rows_min=20)))
    names, stopped = ["small", "large"], threading.Event()
    ids = {"small": [str(number) for number in range(10)], "large": [str(number) for number in range(50)]}
    plan = SearchPlan(
        Metric.DOTPRODUCT, 1000, np.ones(1, np.float32), None, None, include_values=False, include_metadata=False
    )

    def write_all(name: str) -> None:
        for number in range(1, 120):
            records = dict.fromkeys(ids[name], PlainRecord((number,), {}, {"number": float(number)}))
            kept.index.write(UpsertRecords(name, batch(records)))

    def read_until_stopped(name: str) -> set[tuple[int, int, int, int]]:
        seen = set()
        while not stopped.is_set():
            view, records = kept.index.read(name, ids[name])
            scores = {match.id: match.score for match in kept.index.search(view, plan)}
            numbers = {plain_record(record).metadata["number"] for record in records}
            seen.add((len(scores), len(set(scores.values())), len(records), len({*numbers, *scores.values()})))
            assert kept.index.list_ids(name, "", None, 1000)[1] == sorted(ids[name])
        return seen

    def maintain_until_stopped(work: Callable[[], None]) -> int:
        times = 0
        while not stopped.is_set():
            work()
            times += 1
        return times

    def merge() -> None:
        work = kept.index.maintenance._next_work(is_idle=False)
        if work is not None:
            work.run()

    for name in names:
        kept.index.write(UpsertRecords(name, batch(dict.fromkeys(ids[name], PlainRecord((0,), {}, {"number": 0.0})))))
    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(read_until_stopped, name) for name in names]
        keepers = [pool.submit(maintain_until_stopped, work) for work in (kept.index.maintenance.flush, merge)]
        try:
            for writer in [pool.submit(write_all, name) for name in names]:
                writer.result(timeout=60)
        finally:
            stopped.set()
        assert all(keeper.result(timeout=60) > 5 for keeper in keepers)
        for name, reader in zip(names, readers, strict=True):
            assert reader.result(timeout=60) == {(len(ids[name]), 1, len(ids[name]), 1)}


def test_a_closed_index_begins_nothing(kept: Kept) -> None:
    for _ in range(3):
        kept.write(5)
        kept.index.maintenance.flush()
    kept.tick()
    kept.fill(1)
    operation_count = kept.disk.operation_count
    kept.index.close()
    kept.flush_later()
    kept.work.popleft()()
    kept.index.maintenance.settle()
    kept.tick(10)
    assert not kept.flushes
    assert kept.disk.operation_count == operation_count
    assert kept.segment_count == 3


def test_a_close_waits_for_the_flush_under_way(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    flush: Callable[..., None] = flush_module.flush
    is_flushing, may_flush = threading.Event(), threading.Event()

    def wait(*arguments: object) -> None:
        is_flushing.set()
        may_flush.wait(10)
        flush(*arguments)

    monkeypatch.setattr(maintenance_module, "flush", wait)
    kept.write(5)
    with ThreadPoolExecutor(2) as pool:
        flushing = pool.submit(kept.index.maintenance.flush)
        is_flushing.wait(10)
        closing = pool.submit(kept.index.close)
        with pytest.raises(TimeoutError):
            closing.result(timeout=0.05)
        may_flush.set()
        closing.result(timeout=10)
        flushing.result(timeout=10)
    assert kept.segment_count == 1
