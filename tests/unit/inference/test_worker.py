"""Models run in batches and in order, fail alone and end when told to. The model here waits for the test."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from pinyon.errors import (
    InternalError,
    InvalidArgumentError,
    PayloadTooLargeError,
    ResourceExhaustedError,
    UnavailableError,
)
from pinyon.inference import loading
from pinyon.inference.direct_worker import DirectWorker
from pinyon.inference.protocol import Piece
from pinyon.inference.worker import ModelWorker, Worker, WorkerLimits

TIMEOUT_S = 20
"""Only a test that fails waits so long."""

NAME = "all-MiniLM-L6-v2"

STOPPING = r"^The server is stopping$"


class ManualClock:
    """Stands still, but for threads that are in a hurry: each time they look, an hour has gone."""

    def __init__(self) -> None:
        self.now = 100.0
        self._hours: dict[int, int] = {}

    def now_s(self) -> float:
        return self.now

    def monotonic_s(self) -> float:
        thread = threading.get_ident()
        if thread in self._hours:
            self._hours[thread] += 1
        return self.now + self._hours.get(thread, 0) * 3600.0

    def in_a_hurry(self, call: Callable[[], Any]) -> Any:
        thread = threading.get_ident()
        self._hours[thread] = 0
        try:
            return call()
        finally:
            del self._hours[thread]


class GatedRunner:
    """Multiplies by ten. `load` and each batch wait for a `go_on`; an error given there is raised instead."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: list[int] = []
        self.loads = 0
        self.entered = threading.Semaphore(0)
        self._verdicts: list[BaseException | None] = []
        self._verdict = threading.Semaphore(0)

    def go_on(self, *errors: BaseException | None) -> None:
        for error in errors or [None]:
            self._verdicts.append(error)
            self._verdict.release()

    def load(self) -> None:
        self.loads += 1
        self._wait()

    def run(self, pieces: Sequence[Piece]) -> list[int]:
        self.batches.append([piece.content for piece in pieces])
        self._wait()
        return [piece.content * 10 for piece in pieces]

    def _wait(self) -> None:
        self.threads.append(threading.get_ident())
        self.entered.release()
        assert self._verdict.acquire(timeout=TIMEOUT_S)
        error = self._verdicts.pop(0)
        if error is not None:
            raise error


class ObservedWorker(ModelWorker[int]):
    """Says when a request has queued up."""

    def __init__(self, runner: GatedRunner, clock: ManualClock, limits: WorkerLimits) -> None:
        super().__init__(NAME, runner, clock, limits)
        self.arrived = threading.Semaphore(0)

    def _enqueue(self, request: Any, deadline_s: float) -> Any:
        super()._enqueue(request, deadline_s)
        self.arrived.release()
        return request


class Bench:
    """A worker over a gated model, and threads that ask it in a known order."""

    def __init__(self, pool: ThreadPoolExecutor, **limits: Any) -> None:
        self.runner = GatedRunner()
        self.clock = ManualClock()
        self.worker = ObservedWorker(
            self.runner,
            self.clock,
            WorkerLimits(**{"pieces_max": 100, "timeout_s": TIMEOUT_S, "batch_pieces_max": 4, **limits}),
        )
        self._pool = pool

    def load(self) -> None:
        self.runner.go_on()
        self.worker.ensure_loaded()
        self.wait_for_model()

    def ask(self, *numbers: int, urgent: bool = False) -> "Future[list[int]]":
        """Start a thread that asks, and return when its pieces have queued up."""
        future = self._pool.submit(self.worker.run, pieces(*numbers), urgent)
        assert self.worker.arrived.acquire(timeout=TIMEOUT_S)
        return future

    def start_loading(self) -> "Future[None]":
        """Start a thread that waits for the model."""
        return self._pool.submit(self.worker.ensure_loaded)

    def wait_for_model(self) -> None:
        """Return when the model has begun to load, or a batch."""
        assert self.runner.entered.acquire(timeout=TIMEOUT_S)

    def close(self) -> None:
        self.runner.go_on(*[None] * 50)
        self.worker.close()


def pieces(*numbers: int) -> list[Piece]:
    return [Piece(5, number) for number in numbers]


def events(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, Any]]]:
    return [(record.getMessage(), vars(record)["pinyon_fields"]) for record in caplog.records]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


@pytest.fixture
def bench(pool: ThreadPoolExecutor) -> Iterator[Bench]:
    """One whose model is loaded."""
    bench = Bench(pool)
    bench.load()
    yield bench
    bench.close()


@pytest.fixture
def unloaded(pool: ThreadPoolExecutor) -> Iterator[Bench]:
    """One that nobody has asked yet."""
    bench = Bench(pool)
    yield bench
    bench.close()


# ---------------------------------------------------------------------------------------------------------------------
# Batches


def test_outputs_keep_the_order_of_the_pieces(bench: Bench) -> None:
    bench.runner.go_on(None, None, None)
    mixed = [Piece(length, number) for number, length in enumerate([5, 200, 7, 90, 100, 6])]
    assert bench.worker.run(mixed, urgent=False) == [0, 10, 20, 30, 40, 50]
    assert bench.runner.batches == [[1], [4, 3], [2, 5, 0]]


def test_nothing_is_asked_of_the_model_for_no_pieces(bench: Bench) -> None:
    assert bench.worker.run([], urgent=True) == []
    assert bench.runner.batches == []


def test_requests_that_come_during_a_batch_share_the_next_one(bench: Bench) -> None:
    first = bench.ask(1)
    bench.wait_for_model()
    others = [bench.ask(number) for number in (2, 3, 4)]
    bench.runner.go_on(None, None)
    assert [future.result(TIMEOUT_S) for future in (first, *others)] == [[10], [20], [30], [40]]
    assert bench.runner.batches == [[1], [2, 3, 4]]


def test_a_large_request_is_split_and_lets_urgent_ones_through(bench: Bench) -> None:
    passages = bench.ask(*range(6))
    bench.wait_for_model()
    more_passages = bench.ask(6)
    query = bench.ask(7, urgent=True)
    bench.runner.go_on(None, None)
    assert query.result(TIMEOUT_S) == [70]
    assert not passages.done()
    bench.runner.go_on()
    assert passages.result(TIMEOUT_S) == [0, 10, 20, 30, 40, 50]
    assert more_passages.result(TIMEOUT_S) == [60]
    assert bench.runner.batches == [[0, 1, 2, 3], [7], [4, 5, 6]]


# ---------------------------------------------------------------------------------------------------------------------
# What goes wrong


def test_a_failure_of_the_model_fails_those_in_the_batch_and_no_others(bench: Bench) -> None:
    first = bench.ask(1)
    bench.wait_for_model()
    long, short, late = bench.ask(2, 3, 4), bench.ask(5, 6), bench.ask(7, 8)
    bench.runner.go_on(None, UnavailableError("no such model"), None)
    for future in (long, short):
        with pytest.raises(UnavailableError, match="no such model"):
            future.result(TIMEOUT_S)
    assert first.result(TIMEOUT_S) == [10]
    assert late.result(TIMEOUT_S) == [70, 80]
    assert bench.runner.batches == [[1], [2, 3, 4, 5], [7, 8]], "what was left of the second one is not computed"


def test_a_text_that_the_model_refuses_fails_only_its_own_request(bench: Bench) -> None:
    first = bench.ask(1)
    bench.wait_for_model()
    good, bad = bench.ask(2, 3), bench.ask(4)
    refusal = InvalidArgumentError("too long")
    bench.runner.go_on(None, refusal, None, refusal)
    assert (first.result(TIMEOUT_S), good.result(TIMEOUT_S)) == ([10], [20, 30])
    with pytest.raises(InvalidArgumentError, match="too long"):
        bad.result(TIMEOUT_S)
    assert bench.runner.batches == [[1], [2, 3, 4], [2, 3], [4]]


@pytest.mark.parametrize("failure", [ZeroDivisionError("secret"), KeyboardInterrupt("secret")])
def test_an_unexpected_failure_is_an_internal_error_with_its_traceback_in_the_log(
    bench: Bench, caplog: pytest.LogCaptureFixture, failure: BaseException
) -> None:
    bench.runner.go_on(failure, None)
    with pytest.raises(
        InternalError, match=r"^The model all-MiniLM-L6-v2 failed unexpectedly; the server's log says how$"
    ):
        bench.worker.run(pieces(1), urgent=False)
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [failure]
    assert bench.worker.run(pieces(2), urgent=False) == [20], "the thread lives on"


def test_a_model_that_forgets_an_output_is_found_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.runner, "run", lambda pieces: [0] * (len(pieces) - 1))
    with pytest.raises(InternalError):
        bench.worker.run(pieces(1, 2), urgent=False)


def test_each_waiter_gets_an_error_of_its_own(bench: Bench) -> None:
    """Threads that raise the same object would write their tracebacks into it at once."""
    first = bench.ask(1)
    bench.wait_for_model()
    others = [bench.ask(2), bench.ask(3)]
    full = ResourceExhaustedError("the model's server is full", retry_after_s=7)
    bench.runner.go_on(None, full)
    first.result(TIMEOUT_S)
    raised = [future.exception(TIMEOUT_S) for future in others]
    assert [vars(error) for error in raised if isinstance(error, ResourceExhaustedError)] == [vars(full)] * 2
    assert raised[0] is not raised[1]


def test_what_is_too_much_is_refused_whole(pool: ThreadPoolExecutor) -> None:
    bench = Bench(pool, pieces_max=5)
    bench.load()
    under_way = bench.ask(1)
    bench.wait_for_model()
    waiting = bench.ask(2, 3, 4)
    with pytest.raises(ResourceExhaustedError) as refused:
        bench.worker.run(pieces(5, 6, 7), urgent=False)
    assert refused.value.message == "Too many requests: 3 texts are waiting for model all-MiniLM-L6-v2. Please retry."
    fits = bench.ask(8, 9)
    query = bench.ask(10, urgent=True)
    bench.runner.go_on(*[None] * 4)
    for future in (under_way, waiting, fits, query):
        future.result(TIMEOUT_S)
    assert bench.runner.batches == [[1], [10], [2, 3, 4, 8], [9]]
    bench.close()


def test_a_request_that_could_never_wait_is_told_so(bench: Bench) -> None:
    with pytest.raises(
        PayloadTooLargeError, match=r"^Model all-MiniLM-L6-v2 takes at most 100 texts at once, got 101$"
    ):
        bench.worker.run(pieces(*range(101)), urgent=False)


def test_a_request_that_waited_too_long_is_not_computed_any_more(bench: Bench) -> None:
    first = bench.ask(1)
    bench.wait_for_model()
    with pytest.raises(UnavailableError) as late:
        bench.clock.in_a_hurry(lambda: bench.worker.run(pieces(2, 3), urgent=False))
    assert late.value.message == "Deadline exceeded: model all-MiniLM-L6-v2 was not done within 20 s; try again"
    last = bench.ask(4)
    bench.runner.go_on(None, None)
    assert [first.result(TIMEOUT_S), last.result(TIMEOUT_S)] == [[10], [40]]
    assert bench.runner.batches == [[1], [4]]


# ---------------------------------------------------------------------------------------------------------------------
# Loading


def test_an_unused_model_has_no_thread_and_is_not_loaded(unloaded: Bench) -> None:
    assert [thread for thread in threading.enumerate() if thread.name.startswith("model-")] == []
    assert unloaded.runner.loads == 0


def test_a_model_is_loaded_once_by_the_thread_that_runs_it(unloaded: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    waiters = [unloaded.start_loading() for _ in range(3)]
    unloaded.wait_for_model()
    unloaded.runner.go_on(None, None)
    for waiter in waiters:
        waiter.result(TIMEOUT_S)
    assert unloaded.worker.run(pieces(1), urgent=True) == [10]
    assert unloaded.runner.loads == 1
    assert len(set(unloaded.runner.threads)) == 1
    assert threading.get_ident() not in unloaded.runner.threads
    assert events(caplog) == [("loading model", {"model": NAME}), ("loaded model", {"model": NAME, "seconds": "0.0"})]


def test_run_loads_the_model_too(unloaded: Bench) -> None:
    unloaded.runner.go_on(None, None)
    assert unloaded.worker.run(pieces(1), urgent=False) == [10]


def test_who_waits_too_long_for_a_load_is_told_how_long_it_takes(unloaded: Bench) -> None:
    waiter = unloaded.start_loading()
    unloaded.wait_for_model()
    for call in (unloaded.worker.ensure_loaded, lambda: unloaded.worker.run(pieces(1), urgent=True)):
        with pytest.raises(
            UnavailableError, match=r"^Model all-MiniLM-L6-v2 is still being loaded \(\d{4,} s so far\); try"
        ):
            unloaded.clock.in_a_hurry(call)
    unloaded.runner.go_on()
    waiter.result(TIMEOUT_S)
    assert unloaded.runner.loads == 1


def test_progress_of_a_long_load_is_logged(
    unloaded: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(loading, "_PROGRESS_INTERVAL_S", 0.001)
    told = threading.Semaphore(0)
    monkeypatch.setattr(caplog.handler, "emit", tell_first(told, caplog.handler.emit))
    waiter = unloaded.start_loading()
    unloaded.wait_for_model()
    unloaded.clock.now += 12
    for _ in range(20):
        assert told.acquire(timeout=TIMEOUT_S)
    unloaded.runner.go_on()
    waiter.result(TIMEOUT_S)
    unloaded.close()
    assert events(caplog)[0] == ("loading model", {"model": NAME})
    assert ("still loading model", {"model": NAME, "seconds": "12.0"}) in events(caplog)
    assert events(caplog)[-1] == ("loaded model", {"model": NAME, "seconds": "12.0"})


def tell_first(told: threading.Semaphore, emit: Callable[[logging.LogRecord], None]) -> Callable[[Any], None]:
    def emit_and_tell(record: logging.LogRecord) -> None:
        emit(record)
        told.release()

    return emit_and_tell


def test_a_load_that_failed_is_told_to_all_at_once_and_tried_again_later(
    unloaded: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    waiters = [unloaded.start_loading() for _ in range(3)]
    unloaded.wait_for_model()
    unloaded.runner.go_on(UnavailableError("pip install pinyon[minilm]"))
    for waiter in waiters:
        with pytest.raises(UnavailableError, match=r"^pip install pinyon\[minilm\]$"):
            waiter.result(TIMEOUT_S)
    assert events(caplog) == [("model failed", {"model": NAME, "reason": "pip install pinyon[minilm]"})]
    unloaded.clock.now += 4.9
    with pytest.raises(UnavailableError, match="pip install"):
        unloaded.worker.run(pieces(1), urgent=True)
    assert unloaded.runner.loads == 1, "the failure stands"
    unloaded.clock.now += 0.1
    unloaded.runner.go_on(None, None)
    assert unloaded.worker.run(pieces(1), urgent=True) == [10]
    assert unloaded.runner.loads == 2


@pytest.mark.parametrize("failure", [ZeroDivisionError("secret"), KeyboardInterrupt("secret")])
def test_a_load_that_fails_unexpectedly_is_an_internal_error(
    unloaded: Bench, caplog: pytest.LogCaptureFixture, failure: BaseException
) -> None:
    unloaded.runner.go_on(failure)
    with pytest.raises(InternalError, match="failed unexpectedly"):
        unloaded.worker.ensure_loaded()
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [failure]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere niceness is a process's")
def test_the_models_thread_stands_back_and_no_other_one(unloaded: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    priorities: list[int] = []
    monkeypatch.setattr(unloaded.runner, "load", lambda: priorities.append(os.getpriority(os.PRIO_PROCESS, 0)))
    before = os.getpriority(os.PRIO_PROCESS, 0)
    unloaded.worker.ensure_loaded()
    assert priorities == [min(before + 10, 19)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


# ---------------------------------------------------------------------------------------------------------------------
# Closing


def test_closing_finishes_the_batch_under_way_and_refuses_the_rest(bench: Bench, pool: ThreadPoolExecutor) -> None:
    under_way = bench.ask(1)
    bench.wait_for_model()
    half_done = bench.ask(2)
    closing = pool.submit(bench.worker.close)
    with pytest.raises(UnavailableError, match=STOPPING):
        half_done.result(TIMEOUT_S)
    bench.runner.go_on()
    closing.result(TIMEOUT_S)
    assert under_way.result(TIMEOUT_S) == [10]
    assert [thread for thread in threading.enumerate() if thread.name == f"model-{NAME}"] == []
    for call in (bench.worker.ensure_loaded, lambda: bench.worker.run(pieces(3), urgent=True)):
        with pytest.raises(UnavailableError, match=STOPPING):
            call()
    bench.worker.close()
    assert bench.runner.batches == [[1]]


def test_a_request_of_which_a_part_waits_is_failed_by_closing(bench: Bench, pool: ThreadPoolExecutor) -> None:
    large = bench.ask(*range(6))
    bench.wait_for_model()
    closing = pool.submit(bench.worker.close)
    with pytest.raises(UnavailableError, match=STOPPING):
        large.result(TIMEOUT_S)
    bench.runner.go_on()
    closing.result(TIMEOUT_S)
    assert bench.runner.batches == [[0, 1, 2, 3]]


def test_closing_fails_those_who_wait_for_a_load(unloaded: Bench, pool: ThreadPoolExecutor) -> None:
    waiter = unloaded.start_loading()
    unloaded.wait_for_model()
    closing = pool.submit(unloaded.worker.close)
    with pytest.raises(UnavailableError, match=STOPPING):
        waiter.result(TIMEOUT_S)
    unloaded.runner.go_on()
    closing.result(TIMEOUT_S)
    assert [thread for thread in threading.enumerate() if thread.name == f"model-{NAME}"] == []


def test_an_unused_worker_can_be_closed(unloaded: Bench) -> None:
    unloaded.worker.close()
    with pytest.raises(UnavailableError, match=STOPPING):
        unloaded.worker.ensure_loaded()
    assert unloaded.runner.loads == 0


# ---------------------------------------------------------------------------------------------------------------------
# Models that are quick


def test_a_direct_worker_loads_once_and_runs_in_the_thread_of_the_request(pool: ThreadPoolExecutor) -> None:
    runner = GatedRunner()
    worker: Worker[int] = DirectWorker(NAME, runner, ManualClock())
    waiters = [pool.submit(worker.ensure_loaded) for _ in range(3)]
    assert runner.entered.acquire(timeout=TIMEOUT_S)
    runner.go_on(None, None)
    for waiter in waiters:
        waiter.result(TIMEOUT_S)
    assert worker.run(pieces(1, 2), False) == [10, 20]
    assert runner.loads == 1
    assert runner.threads[1:] == [threading.get_ident()]


def test_a_direct_worker_keeps_a_failure_for_a_while() -> None:
    runner, clock = GatedRunner(), ManualClock()
    worker = DirectWorker(NAME, runner, clock)
    runner.go_on(UnavailableError("pip install mmh3"))
    for _ in range(2):
        with pytest.raises(UnavailableError, match="pip install mmh3"):
            worker.run(pieces(1), urgent=True)
    assert runner.loads == 1
    clock.now += 5
    runner.go_on(None, None)
    assert worker.run(pieces(1), urgent=True) == [10]


def test_a_closed_direct_worker_refuses() -> None:
    worker = DirectWorker(NAME, GatedRunner(), ManualClock())
    worker.close()
    worker.close()
    with pytest.raises(UnavailableError, match=STOPPING):
        worker.run(pieces(1), urgent=True)


# ---------------------------------------------------------------------------------------------------------------------
# Bounds of waiting


def test_only_so_many_requests_may_wait_for_a_model(pool: ThreadPoolExecutor) -> None:
    bench = Bench(pool, requests_max=2)
    bench.load()
    first = bench.ask(1)
    bench.wait_for_model()
    second = bench.ask(2)
    with pytest.raises(ResourceExhaustedError, match=r"^Too many requests: 2 are waiting for model all-MiniLM-L6-v2"):
        bench.worker.run(pieces(3), urgent=True)
    with pytest.raises(ResourceExhaustedError):
        bench.worker.ensure_loaded()
    bench.runner.go_on(None, None, None)
    assert (first.result(TIMEOUT_S), second.result(TIMEOUT_S)) == ([10], [20])
    assert bench.worker.run(pieces(4), urgent=True) == [40], "places are given back"
    bench.close()


def test_loading_and_running_share_one_deadline(bench: Bench) -> None:
    deadline_s = bench.worker.deadline_s()
    assert deadline_s == bench.clock.now + TIMEOUT_S
    bench.worker.ensure_loaded(deadline_s)
    with pytest.raises(UnavailableError, match=r"^Deadline exceeded"):
        bench.worker.run(pieces(1), urgent=False, deadline_s=bench.clock.now - 1.0)
    bench.runner.go_on()


def test_closing_can_leave_without_waiting(bench: Bench) -> None:
    running = bench.ask(1)
    bench.wait_for_model()
    bench.worker.close(0.0)
    assert not running.done()
    bench.runner.go_on()
    assert running.result(TIMEOUT_S) == [10]


def test_a_request_whose_turn_would_come_too_late_is_told_at_once(bench: Bench) -> None:
    """A text takes 8 seconds, and a request may wait for 20."""
    first = bench.ask(1)
    bench.wait_for_model()
    bench.clock.now += 8.0
    bench.runner.go_on()
    assert first.result(TIMEOUT_S) == [10]
    running = bench.ask(2)
    bench.wait_for_model()
    waiting = bench.ask(3, 4)
    with pytest.raises(ResourceExhaustedError, match=r"^Too many requests: 2 texts are waiting") as caught:
        bench.worker.run(pieces(5), urgent=False)
    assert caught.value.retry_after_s == 4.0
    query = bench.ask(6, urgent=True)
    bench.runner.go_on(None, None, None)
    assert [each.result(TIMEOUT_S) for each in (running, query, waiting)] == [[20], [60], [30, 40]]


def test_a_request_that_nobody_waits_before_is_taken_however_long_it_will_take(bench: Bench) -> None:
    first = bench.ask(1)
    bench.wait_for_model()
    bench.clock.now += 8.0
    bench.runner.go_on(None, None)
    assert first.result(TIMEOUT_S) == [10]
    assert bench.worker.run(pieces(1, 2, 3), urgent=False) == [10, 20, 30]
