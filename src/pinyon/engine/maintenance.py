"""When an index does what no request waits for: flush, compaction, and what keeps its recall.

Two threads work for all indexes (see `pinyon.app`): one flushes, so that memory is given back soon, the other does what
may take minutes. Each index has at most one task in either. `tick` is called every second or so and begins what is due.

A failure is logged. A flush is tried again at the next tick; any other task leaves the segments with which it failed
alone for a while. To find what is due, no column of a segment is read: any may be damaged.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from pinyon.engine.background import RunLater
from pinyon.engine.compaction import choose, compact
from pinyon.engine.flusher import Flusher
from pinyon.engine.graph_memory import GraphMemory
from pinyon.engine.index_state import IndexState
from pinyon.engine.maintenance_options import MAINTENANCE_OPTIONS, MaintenanceOptions
from pinyon.engine.part import LiveSegment
from pinyon.engine.recall_keeper import RecallKeeper
from pinyon.errors import PinyonError
from pinyon.storage.machine import give_back_memory

_COMPARE: Final = "compare recall"

_OLD_TICKS: Final = 10
"""After how long a segment is taken for one that will not be merged at once, and is worth being tuned."""

_REST_TICKS: Final = 60
"""How long segments are left alone after something failed with them."""

log = logging.getLogger(__name__)


class _Task(NamedTuple):
    """Something to do with some segments, and what people call it."""

    name: str
    run: Callable[[], None]
    segments: Sequence[LiveSegment] = ()


class Maintenance:
    """The maintenance of one index. Any thread may call any method.

    `flush_later` and `work_later` are the two threads; without them, only what is called for is done.

    Attributes:
        flusher: what flushes it.
        recall: what keeps the recall that the index promises.
        under_way: what is being done in the background now; "" for nothing.
        counts: how often each thing was done since the start, by what people call it.
    """

    def __init__(
        self,
        state: IndexState,
        *,
        flush_later: RunLater | None,
        work_later: RunLater | None,
        options: MaintenanceOptions = MAINTENANCE_OPTIONS,
        graph_memory: GraphMemory | None = None,
    ) -> None:
        """Look after `state`. Without `graph_memory`, which indexes share, this one has all of it."""
        self._state = state
        self._work_later = work_later
        self._options = options
        self._scheduling = threading.Lock()
        self._is_working = False
        self._idle_ticks = 0
        self._log_bytes_at_tick = 0
        self._resting: dict[tuple[str, int], int] = {}
        self._ages: dict[int, int] = {}
        self.counts: Counter[str] = Counter()
        self.flusher = Flusher(state, options, flush_later, self.counts)
        self.recall = RecallKeeper(state, options, graph_memory or GraphMemory(options.graphs_bytes_max))
        self.under_way = ""

    @property
    def growing_bytes(self) -> int:
        """About what memtables take, but for those that are being flushed."""
        return self._state.namespaces.memory_bytes

    @property
    def memory_bytes(self) -> int:
        """About what memtables take, those that are being flushed too."""
        return self.growing_bytes + self._state.frozen_bytes

    def after_write(self) -> None:
        """Begin a flush if memory is full. Called after each write."""
        if self.flusher.begin_if_full():
            self._idle_ticks = 0

    def wait_for_room(self) -> None:
        """Wait while there is too much that was not flushed yet.

        Raises:
            UnavailableError: there still is, after a while.
        """
        self.flusher.wait_for_room()

    def tick(self) -> None:
        """Begin what is due; called every second or so."""
        log_bytes, self._log_bytes_at_tick = self._log_bytes_at_tick, self._state.log.size_bytes
        # Every write is in the log. A flush may hide some, for one tick, as what it trims is taken off.
        is_quiet = self._log_bytes_at_tick - log_bytes <= self._options.quiet_bytes
        self._idle_ticks = self._idle_ticks + 1 if is_quiet else 0
        with self._scheduling:
            self._resting = {task: ticks - 1 for task, ticks in self._resting.items() if ticks > 1}
        self._ages = {number: self._ages.get(number, 0) + 1 for number in self._state.store.segments}
        self.recall.guess_efforts()
        self._begin_due()

    def flush_soon(self) -> None:
        """Begin a flush, for the memory that others need."""
        self.flusher.begin()

    @property
    def is_settled(self) -> bool:
        """True if nothing is left to do that a pause would be used for, but for comparisons of recall.

        False where that cannot be told, as something is damaged.
        """
        with self._scheduling:
            try:
                work = self._next_work(is_idle=True)
            except PinyonError:
                return False
            is_working = self._is_working or self.flusher.is_flushing or self.flusher.is_due(is_idle=True)
        return not is_working and (work is None or work.name == _COMPARE)

    def flush(self) -> None:
        """Flush now, in this thread.

        Raises:
            UnavailableError: the disk failed; what is in memory stays there.
        """
        self.flusher.flush()

    def settle(self) -> None:
        """Flush, and do all that would be done in a pause, in this thread."""
        self.flush()
        while not self._state.is_closed and (work := self._next_work(is_idle=True)) is not None:
            work.run()
            self.counts[work.name] += 1

    def close(self) -> None:
        """Begin nothing more, and wait for the flush under way."""
        self._state.is_closed = True
        self.flusher.close()
        with self._state.store.committing:
            pass

    @property
    def _is_idle(self) -> bool:
        return self._idle_ticks >= self._options.idle_ticks

    def _begin_due(self) -> None:
        is_idle = self._is_idle
        if self.flusher.is_due(is_idle=is_idle):
            self.flusher.begin()
        if self._work_later is not None:
            with self._scheduling:
                work = None if self._is_working else self._next_work(is_idle=is_idle)
                self._is_working = self._is_working or work is not None
            if work is not None:
                self._work_later(partial(self._work, work))

    def _work(self, work: _Task) -> None:
        failed: Sequence[LiveSegment] = work.segments
        try:
            if not self._state.is_closed:
                self.under_way = work.name
                work.run()
                self.counts[work.name] += 1
                self.recall.guess_efforts()
            failed = ()
        except PinyonError as error:
            # A file that is damaged is named, and the others are not to blame.
            failed = [live for live in failed if live.segment.path in error.message] or failed
            if not self._state.is_closed:  # Else its folder may be gone.
                log.warning("index %s: maintenance failed: %s", self._state.definition().name, error.message)
            return
        finally:
            self._let_rest(work.name, failed)
            self.under_way = ""
            self._is_working = False
            give_back_memory()
        if not self._state.is_closed:
            self._begin_due()

    def _let_rest(self, task: str, segments: Sequence[LiveSegment]) -> None:
        """What failed once may fail again: let the others have their turn."""
        with self._scheduling:
            # Another dict, as some who read it hold no lock.
            self._resting = self._resting | dict.fromkeys(((task, live.number) for live in segments), _REST_TICKS)

    def _next_work(self, *, is_idle: bool) -> _Task | None:
        """What is most urgent; None if nothing is."""
        recall = self.recall
        for live in self._able("open graph"):
            if recall.wants_graph_opened(live):
                return _Task("open graph", partial(recall.open_graph, live), [live])
        able = self._able("compact")
        inputs = choose(able, self._state.store.manifest.lsn, self._options.compaction, is_idle=is_idle)
        if inputs:
            return _Task("compact", partial(compact, self._state, inputs, self._options.build), inputs)
        for live in self._able("tune"):
            untuned = recall.untuned(live)
            if untuned and (is_idle or (not live.efforts and self._is_old(live))):
                return _Task("tune", partial(recall.tune, live, untuned), [live])
        for live in sorted(self._able("build graph"), key=lambda live: -live.row_count):
            if is_idle and recall.wants_graph_built(live):
                return _Task("build graph", partial(recall.build_graph, live), [live])
        return _Task(_COMPARE, recall.compare_recall) if recall.watch.has_waiting else None

    def _able(self, task: str) -> list[LiveSegment]:
        """Segments with which a task did not fail lately: what fails with one task need not with another."""
        return [live for live in self._state.store.segments.values() if (task, live.number) not in self._resting]

    def _is_old(self, live: LiveSegment) -> bool:
        return self._ages.get(live.number, 0) >= _OLD_TICKS
