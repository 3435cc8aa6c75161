"""When an index is flushed, what happens to writers meanwhile, and what a failure leaves."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pinyon.engine import flush as flush_module
from pinyon.engine import flusher as flusher_module
from pinyon.engine.operations import DeleteRecords, UpsertRecords
from pinyon.errors import UnavailableError
from pinyon.testing.engine_model import PlainRecord, batch
from tests.unit.engine.kept_index import OPTIONS, Kept


@pytest.fixture
def kept() -> Kept:
    return Kept()


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


def test_writers_that_wait_are_told_at_once_that_a_flush_did_not_become_visible(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    kept.fill(2)
    monkeypatch.setattr(flush_module, "publish_flush", fail)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(kept.write)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.1)
        with pytest.raises(MemoryError):
            kept.flush_later()
        with pytest.raises(UnavailableError, match="restart Pinyon to recover"):
            waiting.result(timeout=10)
    with pytest.raises(UnavailableError, match="restart Pinyon to recover"):
        kept.index.maintenance.flush()


def test_a_writer_that_waits_too_long_is_refused_and_later_ones_are_not(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flusher_module, "_ROOM_TIMEOUT_S", 0.01)
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
    monkeypatch.setattr(flusher_module, "_ROOM_TIMEOUT_S", 0.01)
    kept.fill(1)
    kept.flush_later()
    kept.index.maintenance.flusher._has_room.clear()
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

    monkeypatch.setattr(flusher_module, "flush", observed)
    kept.write()
    kept.index.maintenance.flush()
    assert seen == [False]
    assert kept.index.maintenance.is_settled


def test_no_other_flush_is_begun_because_one_is_under_way(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    during: Callable[..., None] = flush_module.flush

    def tick_meanwhile(*arguments: object) -> None:
        kept.tick()
        during(*arguments)

    monkeypatch.setattr(flusher_module, "flush", tick_meanwhile)
    kept.fill(1)
    kept.flush_later()
    assert not kept.flushes


def test_a_close_waits_for_the_flush_under_way(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    flush: Callable[..., None] = flush_module.flush
    is_flushing, may_flush = threading.Event(), threading.Event()

    def wait(*arguments: object) -> None:
        is_flushing.set()
        may_flush.wait(10)
        flush(*arguments)

    monkeypatch.setattr(flusher_module, "flush", wait)
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
