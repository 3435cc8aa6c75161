"""A worker without a thread, for models so quick that a batch would gain nothing."""

import threading
from collections.abc import Sequence
from math import inf
from typing import Generic

from pinyon.clock import Clock
from pinyon.errors import UnavailableError
from pinyon.inference.loading import LoadAttempt, load_model
from pinyon.inference.protocol import Output, Piece, Runner
from pinyon.inference.worker import CLOSE_TIMEOUT_S, STOPPING


class DirectWorker(Generic[Output]):
    """A `Worker` for models so quick that they run in the thread of the request; `runner` is called by many at once."""

    def __init__(self, name: str, runner: Runner[Output], clock: Clock) -> None:
        """Run `runner`, which serves the model `name`."""
        self._name = name
        self._runner = runner
        self._clock = clock
        self._lock = threading.Lock()
        self._attempt: LoadAttempt | None = None
        self._is_closed = False

    def deadline_s(self) -> float:
        """As in `Worker`, but it never passes."""
        return inf

    def ensure_loaded(self, deadline_s: float | None = None) -> None:
        """As in `Worker`; loading is waited for however long it takes."""
        with self._lock:
            if self._is_closed:
                raise UnavailableError(STOPPING)
            now_s = self._clock.monotonic_s()
            if self._attempt is None or self._attempt.is_over(now_s):
                self._attempt = LoadAttempt(now_s)
                self._attempt.end(load_model(self._name, self._runner, self._clock), self._clock.monotonic_s())
            self._attempt.raise_failure()

    def run(self, pieces: Sequence[Piece], urgent: bool, deadline_s: float | None = None) -> list[Output]:
        """As in `Worker`; nothing waits, so nothing is urgent."""
        self.ensure_loaded()
        return list(self._runner.run(pieces))

    def close(self, wait_s: float = CLOSE_TIMEOUT_S) -> None:
        """As in `Worker`; nothing is under way that would be waited for."""
        with self._lock:
            self._is_closed = True
