"""Work in the background is done in order, by one thread, whatever some of it does."""

import logging
import threading
from functools import partial

import pytest

from pinyon.engine.background import Background


def test_work_is_done_in_order_by_a_thread_of_its_own():
    background = Background()
    done: list[tuple[int, int]] = []

    def note(number: int) -> None:
        done.append((number, threading.get_ident()))

    for number in range(100):
        background.submit(partial(note, number))
    background.drain()
    assert [number for number, _ in done] == list(range(100))
    assert len({thread for _, thread in done} | {threading.get_ident()}) == 2
    background.close()


def test_drain_waits_for_what_work_submits_too():
    background = Background()
    done: list[str] = []

    def first() -> None:
        background.submit(second)
        done.append("first")

    def second() -> None:
        background.submit(lambda: done.append("third"))
        done.append("second")

    background.submit(first)
    background.drain()
    assert done == ["first", "second", "third"]
    background.close()


def test_work_that_fails_is_logged_and_the_next_is_done(caplog: pytest.LogCaptureFixture):
    background = Background()
    done: list[str] = []

    def fail() -> None:
        raise ValueError("some defect")

    background.submit(fail)
    background.submit(lambda: done.append("next"))
    background.drain()
    background.close()
    assert done == ["next"]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "some defect" in str(record.exc_info)


def test_close_waits_for_the_work_under_way_and_forgets_the_rest():
    background = Background()
    done: list[str] = []
    is_under_way, may_end = threading.Event(), threading.Event()

    def work() -> None:
        is_under_way.set()
        may_end.wait()
        done.append("under way")

    background.submit(work)
    background.submit(lambda: done.append("the rest"))
    is_under_way.wait()
    closer = threading.Thread(target=background.close)
    closer.start()
    while not background._is_closed:
        closer.join(0.001)
    assert closer.is_alive()
    may_end.set()
    closer.join()
    assert done == ["under way"]
    background.submit(lambda: done.append("too late"))
    assert done == ["under way"]
