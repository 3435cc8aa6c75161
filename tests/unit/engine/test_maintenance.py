"""When an index does what no request waits for, and what a failure leaves."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from pinyon.engine.operations import DeleteNamespace, DeleteRecords, UpsertRecords
from pinyon.engine.part import LiveSegment
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.segment_build import BuildOptions
from pinyon.errors import UnavailableError
from pinyon.model.metric import Metric
from pinyon.testing.engine_model import PlainRecord, batch, plain_record
from tests.unit.engine.kept_index import OPTIONS, Kept


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


@pytest.mark.parametrize("deletes", [False, True])
def test_a_few_writes_do_not_keep_a_pause_from_being_used(deletes: bool) -> None:
    kept = Kept(replace(OPTIONS, quiet_bytes=10_000))
    for _ in range(2):
        kept.write(6, 2000)
        kept.index.maintenance.flush()
    for number in range(5):
        kept.index.write(DeleteRecords("n", [f"{number}"])) if deletes else kept.write()
        kept.tick()
    assert kept.work, "two segments are to be merged"


@pytest.mark.parametrize("deletes", [False, True])
def test_many_writes_are_no_pause(deletes: bool) -> None:
    kept = Kept(replace(OPTIONS, quiet_bytes=1000))
    for _ in range(2):
        kept.write(5)
        kept.index.maintenance.flush()
    for _ in range(10):
        kept.index.write(DeleteRecords("n", ["x" * 1000])) if deletes else kept.write(1, 1000)
        kept.tick()
    assert not kept.work


def test_an_index_is_not_settled_while_space_is_to_be_given_back(kept: Kept) -> None:
    steps: list[Callable[[], object]] = [
        lambda: kept.write(100),
        kept.index.maintenance.flush,
        lambda: kept.index.write(DeleteRecords("n", [f"{number}" for number in range(90)])),
        kept.index.maintenance.flush,
        kept.index.maintenance.settle,
    ]
    seen = []
    for step in steps:
        step()
        seen.append(kept.index.maintenance.is_settled)
    assert seen == [False, True, False, False, True], "first a flush is due, and then the segment is written anew"


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
