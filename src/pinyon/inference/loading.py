"""Loading a model: it may take minutes, it may fail, and both must be seen.

A model is loaded at its first use. An attempt that failed stands for a few seconds, so that everyone who asks is told
at once what is missing. Then another one is made: it may have come.
"""

import copy
import logging
import threading
from dataclasses import dataclass, field
from typing import Any, Final

from pinyon.clock import Clock
from pinyon.errors import InternalError, PinyonError
from pinyon.inference.protocol import Runner
from pinyon.telemetry import log_event

_RETRY_INTERVAL_S: Final = 5.0
"""How long a failure stands."""

_PROGRESS_INTERVAL_S = 5.0
"""Between two lines of the log while a model is being loaded."""

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class LoadAttempt:
    """One attempt to load a model; `error` and `ended_s` mean something once `ended` is set."""

    started_s: float
    ended: threading.Event = field(default_factory=threading.Event)
    ended_s: float = 0.0
    error: PinyonError | None = None

    def end(self, error: PinyonError | None, now_s: float) -> None:
        """Tell everyone who waits that the model is there, or why not."""
        self.error = error
        self.ended_s = now_s
        self.ended.set()

    def raise_failure(self) -> None:
        """Raise what the attempt that ended failed with, if it did."""
        if self.error is not None:
            raise fresh(self.error)

    def is_over(self, now_s: float) -> bool:
        """True if it failed so long ago that another attempt is due."""
        return self.ended.is_set() and self.error is not None and now_s >= self.ended_s + _RETRY_INTERVAL_S


def fresh(error: PinyonError) -> PinyonError:
    """An error like this one, to be raised in another thread: a traceback keeps what its frames hold in memory."""
    return copy.copy(error)


def load_model(name: str, runner: Runner[Any], clock: Clock) -> PinyonError | None:
    """Load a model in the calling thread, with its progress in the log.

    Returns:
        What it failed with, or None.
    """
    started_s = clock.monotonic_s()
    log_event(log, logging.INFO, "loading model", model=name)
    ended = threading.Event()
    reporter = threading.Thread(target=_report_progress, args=(name, clock, started_s, ended), daemon=True)
    reporter.start()
    error: PinyonError | None = None
    try:
        runner.load()
    except PinyonError as raised:
        log_event(log, logging.WARNING, "model failed", model=name, reason=raised.message)
        error = fresh(raised)
    except BaseException:  # noqa: BLE001 - a panic in a Rust library is not even an Exception
        error = unexpected_failure(name)
    finally:
        ended.set()
        reporter.join()
    if error is None:
        log_event(log, logging.INFO, "loaded model", model=name, seconds=_seconds(clock, started_s))
    return error


def unexpected_failure(name: str) -> InternalError:
    """Called where a backend raised what it should not have: logs the traceback.

    Returns:
        The error for the caller.
    """
    log_event(log, logging.ERROR, "model failed", trace=True, model=name)
    return InternalError(f"The model {name} failed unexpectedly; the server's log says how")


def _report_progress(name: str, clock: Clock, started_s: float, ended: threading.Event) -> None:
    while not ended.wait(_PROGRESS_INTERVAL_S):
        log_event(log, logging.INFO, "still loading model", model=name, seconds=_seconds(clock, started_s))


def _seconds(clock: Clock, started_s: float) -> str:
    return f"{clock.monotonic_s() - started_s:.1f}"
