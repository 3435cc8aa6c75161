"""Writers share syncs and keep their order. The log is a fake that stops in `append` until the test lets it go on."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from pinyon.engine import write_queue
from pinyon.engine.operations import DeleteNamespace, Operation, decode
from pinyon.engine.write_queue import WriteQueue
from pinyon.errors import InvalidArgumentError, UnavailableError
from pinyon.log.protocol import Entry
from pinyon.model.record import Lsn

TIMEOUT_S = 20
"""Only a test that fails waits so long."""


class GatedLog:
    """A log that lets one group through for each `go_on`; an error given there is raised instead."""

    size_bytes = 0

    def __init__(self) -> None:
        self.last_lsn: Lsn = 0
        self.groups: list[list[str]] = []
        self.entered = threading.Semaphore(0)
        self._verdicts: deque[BaseException | None] = deque()
        self._verdict = threading.Semaphore(0)

    def go_on(self, *errors: BaseException | None) -> None:
        for error in errors or [None]:
            self._verdicts.append(error)
            self._verdict.release()

    def append(self, entries: Sequence[Entry]) -> Lsn:
        self.groups.append([decode(memoryview(b"".join(entry))).namespace for entry in entries])
        self.entered.release()
        assert self._verdict.acquire(timeout=TIMEOUT_S)
        error = self._verdicts.popleft()
        if error is not None:
            raise error
        first_lsn, self.last_lsn = self.last_lsn + 1, self.last_lsn + len(entries)
        return first_lsn

    def replay(self) -> Iterator[tuple[Lsn, memoryview]]:
        return iter(())

    def close(self) -> None:
        """Nothing to release."""


class SignallingDeque(deque[write_queue._Pending]):
    """Says when somebody has queued up."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = threading.Semaphore(0)

    def append(self, pending: write_queue._Pending) -> None:
        super().append(pending)
        self.arrived.release()


class Writers:
    """A queue over a gated log, and threads that write to it in a known order."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.log = GatedLog()
        self.applied: list[tuple[Lsn, str]] = []
        self.before_apply: Callable[[], None] = lambda: None
        self.queue = WriteQueue(self.log, self._apply)
        self.waiting = SignallingDeque()
        self.queue._waiting = self.waiting
        self._pool = pool

    def write(self, name: str) -> Future[Lsn]:
        return self.start(lambda: self.queue.write(DeleteNamespace(name)))

    def resolve(self, name: str, resolver: Callable[[], Operation | None]) -> Future[Lsn]:
        return self.start(lambda: self.queue.write_resolved(resolver))

    def start(self, call: Callable[[], Lsn]) -> Future[Lsn]:
        """Start a thread, and return when it has queued up."""
        future = self._pool.submit(call)
        assert self.waiting.arrived.acquire(timeout=TIMEOUT_S)
        return future

    def wait_for_append(self) -> None:
        assert self.log.entered.acquire(timeout=TIMEOUT_S)

    def _apply(self, operations: list[tuple[Lsn, Operation]]) -> None:
        self.before_apply()
        self.applied += [(lsn, operation.namespace) for lsn, operation in operations]


@pytest.fixture
def writers() -> Iterator[Writers]:
    with ThreadPoolExecutor(64) as pool:
        yield Writers(pool)


def lsns(*futures: Future[Lsn]) -> list[Lsn]:
    return [future.result(TIMEOUT_S) for future in futures]


def test_those_who_come_during_a_sync_share_the_next_one(writers: Writers) -> None:
    first = writers.write("a")
    writers.wait_for_append()
    others = [writers.write(name) for name in "bcde"]
    writers.log.go_on(None, None)
    assert lsns(first, *others) == [1, 2, 3, 4, 5]
    assert writers.log.groups == [["a"], ["b", "c", "d", "e"]]
    assert writers.applied == list(enumerate("abcde", 1))


def test_a_lone_writer_waits_for_nobody(writers: Writers) -> None:
    for number, name in enumerate("abc", 1):
        writers.log.go_on()
        assert lsns(writers.write(name)) == [number]
    assert writers.log.groups == [["a"], ["b"], ["c"]]


def test_nothing_is_visible_before_it_is_durable(writers: Writers) -> None:
    first = writers.write("a")
    writers.wait_for_append()
    assert writers.applied == []
    assert not first.done()
    writers.log.go_on()
    assert lsns(first) == [1]
    assert writers.applied == [(1, "a")]


def test_a_group_is_applied_while_the_next_one_is_synced(writers: Writers) -> None:
    applying, go_on = threading.Event(), threading.Event()

    def wait_once() -> None:
        writers.before_apply = lambda: None
        applying.set()
        assert go_on.wait(TIMEOUT_S)

    writers.before_apply = wait_once
    first = writers.write("a")
    writers.wait_for_append()
    second = writers.write("b")
    writers.log.go_on()
    assert applying.wait(TIMEOUT_S)
    writers.wait_for_append()
    # The sync of the second group returns first, yet it is applied second.
    writers.log.go_on()
    third = writers.write("c")
    assert writers.applied == []
    go_on.set()
    writers.log.go_on()
    assert lsns(first, second, third) == [1, 2, 3]
    assert writers.applied == [(1, "a"), (2, "b"), (3, "c")]


def test_a_failing_log_fails_its_group_and_no_other(writers: Writers) -> None:
    first = writers.write("a")
    writers.wait_for_append()
    failing = [writers.write(name) for name in "bc"]
    writers.log.go_on()
    writers.wait_for_append()
    last = [writers.write(name) for name in "de"]
    writers.log.go_on(UnavailableError("the disk is full"), None)
    assert lsns(first, *last) == [1, 2, 3]
    for future in failing:
        with pytest.raises(UnavailableError, match="the disk is full"):
            future.result(TIMEOUT_S)
    assert writers.applied == [(1, "a"), (2, "d"), (3, "e")]


def test_a_resolver_sees_all_before_it_and_goes_alone(writers: Writers) -> None:
    seen: list[list[tuple[Lsn, str]]] = []

    def resolver() -> Operation:
        seen.append(list(writers.applied))
        return DeleteNamespace("resolved")

    first = writers.write("a")
    writers.wait_for_append()
    others = [writers.write("b"), writers.resolve("r", resolver), writers.write("c"), writers.write("d")]
    writers.log.go_on(None, None, None, None)
    assert lsns(first, *others) == [1, 2, 3, 4, 5]
    assert seen == [[(1, "a"), (2, "b")]]
    assert writers.log.groups == [["a"], ["b"], ["resolved"], ["c", "d"]]


def test_a_resolver_with_nothing_to_do_is_not_logged(writers: Writers) -> None:
    writers.log.go_on()
    assert lsns(writers.write("a"), writers.resolve("r", lambda: None)) == [1, 1]
    assert writers.log.groups == [["a"]]


def test_a_resolver_that_raises_fails_alone(writers: Writers) -> None:
    def resolver() -> Operation:
        raise InvalidArgumentError("too many")

    first = writers.write("a")
    writers.wait_for_append()
    raising, last = writers.resolve("r", resolver), writers.write("b")
    writers.log.go_on(None, None)
    assert lsns(first, last) == [1, 2]
    with pytest.raises(InvalidArgumentError, match="too many"):
        raising.result(TIMEOUT_S)
    assert writers.log.groups == [["a"], ["b"]]


def test_a_group_is_cut_where_it_grows_too_large(writers: Writers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_queue, "_GROUP_BYTES_MAX", 300)
    first = writers.write("a")
    writers.wait_for_append()
    names = [letter * 80 for letter in "bcdef"] + ["g" * 500, "h"]
    others = [writers.write(name) for name in names]
    writers.log.go_on(*[None] * 6)
    assert lsns(first, *others) == list(range(1, 9))
    assert [[name[0] for name in group] for group in writers.log.groups] == [
        ["a"],
        ["b", "c"],
        ["d", "e"],
        ["f"],
        ["g"],
        ["h"],
    ]


def test_close_lets_those_under_way_finish_and_refuses_others(writers: Writers) -> None:
    first = writers.write("a")
    writers.wait_for_append()
    second = writers.write("b")

    def close() -> Lsn:
        writers.queue.close()
        return 0

    closing = writers.start(close)
    with pytest.raises(UnavailableError, match="closed"):
        writers.queue.write(DeleteNamespace("c"))
    assert not closing.done()
    writers.log.go_on(None, None)
    assert lsns(first, second, closing) == [1, 2, 0]
    assert writers.applied == [(1, "a"), (2, "b")]
    writers.queue.close()


def test_what_was_on_its_way_when_writes_are_refused_is_written(writers: Writers) -> None:
    first = writers.write("a")
    writers.wait_for_append()
    writers.queue.refuse("restart Pinyon")
    for call in (lambda: writers.queue.write(DeleteNamespace("b")), lambda: writers.queue.write_resolved(lambda: None)):
        with pytest.raises(UnavailableError, match="restart Pinyon"):
            call()
    writers.log.go_on()
    assert lsns(first) == [1]
    assert writers.applied == [(1, "a")]
    writers.queue.close()
    with pytest.raises(UnavailableError, match="restart Pinyon"):
        writers.queue.write(DeleteNamespace("c"))


def test_a_stopped_machine_stops_every_writer(writers: Writers) -> None:
    class Stop(BaseException):
        pass

    first = writers.write("a")
    writers.wait_for_append()
    second = writers.write("b")
    writers.log.go_on(Stop(), Stop())
    for future in (first, second):
        with pytest.raises(Stop):
            future.result(TIMEOUT_S)
    assert writers.applied == []


def test_after_an_apply_that_failed_nothing_becomes_visible(writers: Writers) -> None:
    def fail_once() -> None:
        writers.before_apply = lambda: None
        raise MemoryError

    writers.before_apply = fail_once
    first = writers.write("a")
    writers.wait_for_append()
    second = writers.write("b")
    writers.log.go_on(None, None)
    with pytest.raises(MemoryError):
        first.result(TIMEOUT_S)
    with pytest.raises(UnavailableError, match="restart Pinyon"):
        second.result(TIMEOUT_S)
    with pytest.raises(UnavailableError, match="restart Pinyon"):
        writers.queue.write(DeleteNamespace("c"))
    assert writers.applied == []
    writers.queue.close()


def test_an_operation_that_cannot_be_encoded_reaches_nobody(writers: Writers) -> None:
    with pytest.raises(UnicodeEncodeError):
        writers.queue.write(DeleteNamespace("\ud800"))
    writers.log.go_on()
    assert lsns(writers.write("a")) == [1]


def test_many_writers_get_lsns_in_the_order_of_applying() -> None:
    class OpenLog(GatedLog):
        def append(self, entries: Sequence[Entry]) -> Lsn:
            self.go_on()
            return super().append(entries)

    log = OpenLog()
    applied: list[Lsn] = []
    queue = WriteQueue(log, lambda operations: applied.extend(lsn for lsn, _ in operations))
    with ThreadPoolExecutor(16) as pool:
        given = list(pool.map(lambda number: queue.write(DeleteNamespace(str(number))), range(500)))
    assert applied == sorted(given) == list(range(1, 501))
