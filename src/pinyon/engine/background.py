"""Work that no request waits for, in a thread of its own. Work that fails is logged, and the next is done all the same.

Work is cut into steps of a fraction of a second by those who submit it, so that a stop waits no longer.
"""

import logging
import threading
from collections.abc import Callable
from queue import Queue
from typing import TypeAlias

from pinyon.storage.machine import stand_back

Work: TypeAlias = Callable[[], None]
RunLater: TypeAlias = Callable[[Work], None]
"""Takes work to be done some time, in any thread; never raises, and never waits for it."""

log = logging.getLogger(__name__)


class Background:
    """A queue of work and its thread. Any thread may call any method."""

    def __init__(self, name: str = "background", *, niceness: int = 0) -> None:
        """Start the thread, which stands back by `niceness` from those that answer requests."""
        self._niceness = niceness
        self._queue: Queue[Work | None] = Queue()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name=f"pinyon-{name}", daemon=True)
        self._thread.start()

    def submit(self, work: Work) -> None:
        """Do `work` after all that was submitted before it; never once closed."""
        self._queue.put(work)

    def drain(self) -> None:
        """Wait until nothing is left to do, also of what work submits. Not for use once closed."""
        self._queue.join()

    def close(self) -> None:
        """Wait for the work under way; the rest is never done."""
        self._is_closed = True
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        stand_back(self._niceness)
        while (work := self._queue.get()) is not None:
            if not self._is_closed:
                _do(work)
            del work  # While the queue is empty, nothing is kept alive by work that is done.
            self._queue.task_done()


class Ticker:
    """Does the same work again and again, in a thread of its own, until it is closed."""

    def __init__(self, work: Work, every_s: float) -> None:
        """Begin after the first pause of `every_s` seconds."""
        self._work = work
        self._every_s = every_s
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pinyon-ticker", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait for the work under way."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(self._every_s):
            _do(self._work)


def _do(work: Work) -> None:
    try:
        work()
    except Exception:
        log.exception("work in the background failed")
