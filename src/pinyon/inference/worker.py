"""Where models run: each in one thread of its own, which computes the pieces of many requests in batches.

Requests wait in their own threads. What must hold:

- an output goes to the piece that it was computed from, and outputs keep the order of a request's pieces;
- nobody waits longer than `timeout_s`, and pieces that nobody waits for any more are not computed;
- a failure of the model fails the requests that had pieces in that batch and no others, and a text that it refuses only
  the request that it belongs to; the thread lives on;
- how much may wait is bounded, by number and by the time that it will take: who cannot be served in time is told so at
  once, while somebody still listens. Urgent pieces are counted apart from the others, so that a long queue of passages
  keeps no query out.

Thread rule: everything may be called from any thread. `_changed` guards the jobs that wait, the attempt to load and
`_is_closed`; it is held for moments only, never while the model loads or runs.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil
from typing import Final, Generic, Protocol

from pinyon.clock import Clock
from pinyon.errors import (
    InvalidArgumentError,
    PayloadTooLargeError,
    PinyonError,
    ResourceExhaustedError,
    UnavailableError,
)
from pinyon.inference.batching import Job, next_batch
from pinyon.inference.loading import LoadAttempt, fresh, load_model, unexpected_failure
from pinyon.inference.pace import Pace
from pinyon.inference.protocol import Output, Piece, Runner
from pinyon.storage.machine import stand_back

_NICENESS: Final = 10
"""How far the thread stands back, on Linux, from those that answer requests; see docs/decisions/0005."""

CLOSE_TIMEOUT_S: Final = 5.0
"""How long closing waits for a batch under way. A load may take minutes, and is left to itself after that."""

STOPPING: Final = "The server is stopping"


class Worker(Protocol[Output]):
    """Runs one model."""

    def deadline_s(self) -> float:
        """Until when a request that comes now may wait, on the clock of the worker."""
        ...

    def ensure_loaded(self, deadline_s: float | None = None) -> None:
        """Return when the model is loaded, and load it if need be.

        Args:
            deadline_s: of the request; None for one that comes now.

        Raises:
            UnavailableError: it cannot be loaded, or not in time, or the server is stopping.
            ResourceExhaustedError: too many requests wait for the model.
        """
        ...

    def run(self, pieces: Sequence[Piece], urgent: bool, deadline_s: float | None = None) -> list[Output]:
        """Compute pieces that the model's backend prepared.

        Args:
            pieces: of one request.
            urgent: True goes before all that is not: queries, and documents to rerank.
            deadline_s: as for `ensure_loaded`.

        Returns:
            One output a piece, in their order.

        Raises:
            UnavailableError: as `ensure_loaded`; or the model failed, or did not get to it in time.
            ResourceExhaustedError: too many pieces wait, or too many requests; none of these pieces was taken.
            PayloadTooLargeError: so many pieces are never taken from one request.
        """
        ...

    def close(self, wait_s: float = CLOSE_TIMEOUT_S) -> None:
        """Refuse what comes later and what waits, then wait so long for what is under way. May be called again."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """How much a worker takes at once.

    Attributes:
        pieces_max: how many urgent pieces may wait, and how many others.
        requests_max: how many requests may wait, whose threads others need.
        timeout_s: how long a request may wait, until the model is loaded and until it is done.
        batch_pieces_max: pieces of one batch.
        batch_tokens_max: tokens of one batch, filled up to the longest piece. It also bounds how long a query waits
            for a batch that was begun before; more gain nothing on a processor, and something on other hardware.
        is_padded: see `next_batch`.
    """

    pieces_max: int
    timeout_s: float
    requests_max: int = 48
    batch_pieces_max: int = 32
    batch_tokens_max: int = 512
    is_padded: bool = True


@dataclass(slots=True, eq=False)
class _Request(Job, Generic[Output]):
    """A job with what came of it; `outputs` is filled by the worker's thread alone, and read once `done` is set."""

    outputs: dict[int, Output] = field(init=False, default_factory=dict)
    error: PinyonError | None = field(init=False, default=None)
    done: threading.Event = field(init=False, default_factory=threading.Event)

    def fail(self, error: PinyonError) -> None:
        self.left.clear()
        self.error = error
        self.done.set()


class ModelWorker(Generic[Output]):
    """A `Worker` with a thread of its own, which is started when the model is first asked for."""

    def __init__(self, name: str, runner: Runner[Output], clock: Clock, limits: WorkerLimits) -> None:
        """Run `runner`, which serves the model `name`."""
        self._name = name
        self._runner = runner
        self._clock = clock
        self._limits = limits
        self._changed = threading.Condition()
        self._waiting: list[_Request[Output]] = []
        self._attempt: LoadAttempt | None = None
        self._thread: threading.Thread | None = None
        self._pace = Pace()
        self._waiter_count = 0
        self._is_closed = False

    def deadline_s(self) -> float:
        """As in `Worker`."""
        return self._clock.monotonic_s() + self._limits.timeout_s

    def ensure_loaded(self, deadline_s: float | None = None) -> None:
        """As in `Worker`."""
        deadline_s = self.deadline_s() if deadline_s is None else deadline_s
        with self._place():
            self._wait_until_loaded(deadline_s)

    def run(self, pieces: Sequence[Piece], urgent: bool, deadline_s: float | None = None) -> list[Output]:
        """As in `Worker`."""
        deadline_s = self.deadline_s() if deadline_s is None else deadline_s
        with self._place():
            self._wait_until_loaded(deadline_s)
            return self._outputs(pieces, urgent, deadline_s) if pieces else []

    def _outputs(self, pieces: Sequence[Piece], urgent: bool, deadline_s: float) -> list[Output]:
        request = self._enqueue(_Request[Output](pieces, urgent), deadline_s)
        if not request.done.wait(self._remaining_s(deadline_s)):
            self._abandon(request)
            raise UnavailableError(
                f"Deadline exceeded: model {self._name} was not done within {self._limits.timeout_s:g} s; try again"
            )
        if request.error is not None:
            raise fresh(request.error)
        return [request.outputs[position] for position in range(len(pieces))]

    def close(self, wait_s: float = CLOSE_TIMEOUT_S) -> None:
        """As in `Worker`; a batch under way is still finished, and its requests get their outputs."""
        with self._changed:
            self._is_closed = True
            self._fail(self._waiting, UnavailableError(STOPPING))
            if self._attempt is not None and not self._attempt.ended.is_set():
                self._attempt.end(UnavailableError(STOPPING), self._clock.monotonic_s())
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(wait_s)

    # The threads of requests.

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Hold one of the places of requests that wait."""
        with self._changed:
            if self._waiter_count >= self._limits.requests_max:
                raise ResourceExhaustedError(
                    f"Too many requests: {self._waiter_count} are waiting for model {self._name}. Please retry."
                )
            self._waiter_count += 1
        try:
            yield
        finally:
            with self._changed:
                self._waiter_count -= 1

    def _remaining_s(self, deadline_s: float) -> float:
        return deadline_s - self._clock.monotonic_s()

    def _wait_until_loaded(self, deadline_s: float) -> None:
        attempt = self._current_attempt()
        if not attempt.ended.wait(self._remaining_s(deadline_s)):
            so_far_s = self._clock.monotonic_s() - attempt.started_s
            raise UnavailableError(f"Model {self._name} is still being loaded ({so_far_s:.0f} s so far); try again")
        attempt.raise_failure()

    def _current_attempt(self) -> LoadAttempt:
        """The attempt to load that counts now; the first one, and the one after a failure, start the thread."""
        now_s = self._clock.monotonic_s()
        with self._changed:
            self._refuse_if_closed()
            if self._attempt is None or self._attempt.is_over(now_s):
                attempt = LoadAttempt(now_s)
                name = f"model-{self._name}"
                # A daemon: a load that hangs must not keep the process from ending.
                thread = threading.Thread(target=self._work, args=(attempt,), name=name, daemon=True)
                thread.start()
                self._attempt, self._thread = attempt, thread
            return self._attempt

    def _enqueue(self, request: _Request[Output], deadline_s: float) -> _Request[Output]:
        count, pieces_max = len(request.pieces), self._limits.pieces_max
        if count > pieces_max:
            raise PayloadTooLargeError(f"Model {self._name} takes at most {pieces_max} texts at once, got {count}")
        with self._changed:
            self._refuse_if_closed()
            self._refuse_if_too_much(request, deadline_s)
            self._waiting.append(request)
            self._changed.notify()
        return request

    def _refuse_if_too_much(self, request: _Request[Output], deadline_s: float) -> None:
        """Refuse a request if the queue is full, or if it would not be its turn in time."""
        ahead = [other for other in self._waiting if other.is_urgent == request.is_urgent]
        text_count = sum(len(other.left) for other in ahead)
        is_full = text_count + len(request.pieces) > self._limits.pieces_max
        token_count = sum(other.length(position) for other in [*ahead, request] for position in other.left)
        late_s = self._pace.expected_s(token_count) - self._remaining_s(deadline_s)
        if is_full or (ahead and late_s > 0):
            raise ResourceExhaustedError(
                f"Too many requests: {text_count} texts are waiting for model {self._name}. Please retry.",
                retry_after_s=max(1.0, ceil(late_s)),
            )

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise UnavailableError(STOPPING)

    def _abandon(self, request: _Request[Output]) -> None:
        """Let no more of a request be computed."""
        with self._changed:
            request.left.clear()
            self._forget_those_without_pieces()

    # The worker's own thread.

    def _work(self, attempt: LoadAttempt) -> None:
        """Load the model, and compute until `close`; or end where it cannot be loaded."""
        stand_back(_NICENESS)
        attempt.end(load_model(self._name, self._runner, self._clock), self._clock.monotonic_s())
        if attempt.error is None:
            while self._compute_batch():
                pass

    def _compute_batch(self) -> bool:
        """Wait for work and do some of it. False: closed."""
        batch = self._take_batch()
        if batch:
            started_s = self._clock.monotonic_s()
            self._compute(batch)
            token_count = sum(request.length(position) for request, position in batch)
            self._pace.measured(token_count, self._clock.monotonic_s() - started_s)
        return bool(batch)

    def _compute(self, batch: list[tuple[_Request[Output], int]]) -> None:
        requests = list(dict.fromkeys(request for request, _ in batch))
        try:
            outputs = self._runner.run([request.pieces[position] for request, position in batch])
            done = list(zip(batch, outputs, strict=True))
        except PinyonError as error:
            if isinstance(error, InvalidArgumentError) and len(requests) > 1:
                # A server refused a text: only the request that it belongs to is told so.
                for request in requests:
                    self._compute([each for each in batch if each[0] is request])
            else:
                self._fail_all(requests, error)
        except BaseException:  # noqa: BLE001 - a panic in a Rust library is not even an Exception
            self._fail_all(requests, unexpected_failure(self._name))
        else:
            for (request, position), output in done:
                request.outputs[position] = output
            for request in requests:
                if len(request.outputs) == len(request.pieces):
                    request.done.set()

    def _take_batch(self) -> list[tuple[_Request[Output], int]]:
        """Wait until there is work; empty: closed."""
        limits = self._limits
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            batch = next_batch(self._waiting, limits.batch_pieces_max, limits.batch_tokens_max, limits.is_padded)
            for request, position in batch:
                request.left.remove(position)
            self._forget_those_without_pieces()
            return batch

    def _fail_all(self, requests: Iterable[_Request[Output]], error: PinyonError) -> None:
        with self._changed:
            self._fail(requests, error)

    def _fail(self, requests: Iterable[_Request[Output]], error: PinyonError) -> None:
        """Called with `_changed` held."""
        for request in requests:
            request.fail(error)
        self._forget_those_without_pieces()

    def _forget_those_without_pieces(self) -> None:
        """Called with `_changed` held, after pieces were taken from requests."""
        self._waiting = [request for request in self._waiting if request.left]
