"""What an index does beside reading and writing: flush, compaction, graphs, efforts.

Two threads work for all indexes (see `pinyon.app`): one flushes, so that memory is given back soon, the other does what
may take minutes. Each index has at most one task in either. `tick` is called every second or so and begins what is due.

A failure is logged. A flush is tried again at the next tick; segments with which something else failed rest for a
while.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from pinyon.ann.effort import EffortTable
from pinyon.engine.background import RunLater
from pinyon.engine.compaction import COMPACTION_OPTIONS, CompactionOptions, choose, compact
from pinyon.engine.flush import Frozen, flush, freeze
from pinyon.engine.graphs import build_graph, graph_build_bytes, open_graph
from pinyon.engine.index_state import IndexState
from pinyon.engine.part import LiveSegment
from pinyon.engine.recall_watch import RecallWatch, compare
from pinyon.engine.segment_build import BUILD_OPTIONS, BuildOptions
from pinyon.engine.tuning import Tuner
from pinyon.errors import DataLossError, PinyonError, UnavailableError
from pinyon.model.recall import TARGET_RECALL, tagged_recall
from pinyon.model.record import Float32s
from pinyon.storage.machine import give_back_memory
from pinyon.telemetry import log_event

_ROOM_TIMEOUT_S: Final = 20.0
"""How long a write waits for a flush before it is refused: less than clients wait."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MaintenanceOptions:
    """When an index does what.

    Attributes:
        memtable_bytes_max: memory of memtables from which on they are flushed; writes wait at twice that.
        idle_flush_bytes: … after a pause in writing: what is in segments is searched faster.
        log_bytes_max: bytes of the log from which on it is worth a flush, whatever is in memory.
        idle_ticks: ticks with hardly a write that make a pause.
        quiet_bytes: memory that a tick's writes may take to count as hardly any.
        graph_rows_min: rows of a dedicated segment from which on it gets a graph; 0 for never.
        graph_build_bytes_max: memory that building a graph may take; larger segments keep to their partitions.
        memtables_bytes_max: memory of the memtables of all indexes together, from which on the largest are flushed.
        target_recall: what an index without the tag for it promises.
        build: how segments are cut.
        compaction: when they are merged.
    """

    memtable_bytes_max: int = 32 * 1024 * 1024
    idle_flush_bytes: int = 4 * 1024 * 1024
    log_bytes_max: int = 512 * 1024 * 1024
    idle_ticks: int = 3
    quiet_bytes: int = 1024 * 1024
    graph_rows_min: int = 10_000
    graph_build_bytes_max: int = 4 * 1024 * 1024 * 1024
    memtables_bytes_max: int = 512 * 1024 * 1024
    target_recall: float = TARGET_RECALL
    build: BuildOptions = BUILD_OPTIONS
    compaction: CompactionOptions = COMPACTION_OPTIONS


MAINTENANCE_OPTIONS: Final = MaintenanceOptions()


_COMPARE: Final = "compare recall"

_OLD_TICKS: Final = 10
"""After how long a segment is taken for one that will not be merged at once, and is worth being tuned."""

_REST_TICKS: Final = 60
"""How long segments are left alone after something failed with them."""


class _Task(NamedTuple):
    """Something to do with some segments, and what people call it."""

    name: str
    run: Callable[[], None]
    segments: Sequence[LiveSegment] = ()


class Maintenance:
    """The maintenance of one index. Any thread may call any method.

    `flush_later` and `work_later` are the two threads; without them, only what is called for is done.

    Attributes:
        watch: whether queries find what they should.
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
    ) -> None:
        """Look after `state`."""
        self._state = state
        self._flush_later = flush_later
        self._work_later = work_later
        self._options = options
        self._flushing = threading.Lock()
        self._frozen: Frozen | None = None
        self._is_flush_due = False
        self._scheduling = threading.Lock()
        self._is_working = False
        self._has_room = threading.Event()
        self._has_room.set()
        self._idle_ticks = 0
        self._lsn_at_tick = -1
        self._memory_at_tick = 0
        self._resting: dict[int, int] = {}
        self._ages: dict[int, int] = {}
        self._tuned_for: dict[tuple[int, str], float] = {}
        self._outdated: set[tuple[int, str]] = set()
        self.watch = RecallWatch()
        self.under_way = ""
        self.counts: Counter[str] = Counter()

    @property
    def target_recall(self) -> float:
        """The share of the true nearest rows that queries find on average, where they do not ask for another."""
        tagged = tagged_recall(self._state.definition().tags)
        return self._options.target_recall if tagged is None else tagged

    @property
    def growing_bytes(self) -> int:
        """About what memtables take, but for those that are being flushed."""
        return self._state.namespaces.memory_bytes

    @property
    def memory_bytes(self) -> int:
        """About what memtables take, those that are being flushed too."""
        return self.growing_bytes + self._state.frozen_bytes

    @property
    def is_flushing(self) -> bool:
        """True while a flush is under way or about to begin."""
        return self._is_flush_due or self._flushing.locked()

    def after_write(self) -> None:
        """Begin a flush if memory is full. Called after each write."""
        if self._state.namespaces.memory_bytes >= self._options.memtable_bytes_max:
            self._idle_ticks = 0
            self._begin_flush()
            if self._is_flush_due and self._is_full:
                self._has_room.clear()

    def wait_for_room(self) -> None:
        """Wait while there is too much that was not flushed yet.

        Raises:
            UnavailableError: there still is, after a while.
        """
        # The event alone could be cleared just after the flush that was to set it.
        if self._is_full and not self._has_room.wait(_ROOM_TIMEOUT_S):
            raise UnavailableError("writes come faster than the disk takes them; try again later")

    def tick(self) -> None:
        """Begin what is due; called every second or so."""
        lsn, self._lsn_at_tick = self._lsn_at_tick, self._state.lsn
        memory, self._memory_at_tick = self._memory_at_tick, self._state.namespaces.memory_bytes
        is_quiet = lsn == self._lsn_at_tick or 0 < self._memory_at_tick - memory <= self._options.quiet_bytes
        self._idle_ticks = self._idle_ticks + 1 if is_quiet else 0
        self._resting = {number: ticks - 1 for number, ticks in self._resting.items() if ticks > 1}
        self._ages = {number: self._ages.get(number, 0) + 1 for number in self._state.store.segments}
        self._begin_due()

    def _begin_due(self) -> None:
        is_idle = self._is_idle
        namespaces, options = self._state.namespaces, self._options
        memory_max = options.idle_flush_bytes if is_idle else options.memtable_bytes_max
        log_max = options.idle_flush_bytes * 4 if is_idle else options.log_bytes_max
        is_written = self._state.lsn > self._state.store.manifest.lsn
        is_worthwhile = self._state.log.size_bytes >= log_max or (is_idle and self._has_many_new_dead)
        has_failed = self._frozen is not None and not self._flushing.locked()
        if namespaces.memory_bytes >= memory_max or (is_written and is_worthwhile) or has_failed:
            self._begin_flush()
        if self._work_later is not None:
            with self._scheduling:
                work = None if self._is_working else self._next_work(is_idle=is_idle)
                self._is_working = self._is_working or work is not None
            if work is not None:
                self._work_later(partial(self._work, work))

    def flush_soon(self) -> None:
        """Begin a flush, for the memory that others need."""
        self._begin_flush()

    @property
    def is_settled(self) -> bool:
        """True if nothing is left to do that a pause would be used for, but for comparisons of recall."""
        with self._scheduling:
            work = self._next_work(is_idle=True)
            is_working = self._is_working or self._is_flush_due
        is_flush_due = self._state.namespaces.memory_bytes >= self._options.idle_flush_bytes
        return not is_working and not is_flush_due and (work is None or work.name == _COMPARE)

    def flush(self) -> None:
        """Flush now, in this thread.

        Raises:
            UnavailableError: the disk failed; what is in memory stays there.
        """
        with self._flushing:
            self._is_flush_due = False
            if self._state.is_closed:
                return
            if self._frozen is None:
                self._frozen = freeze(self._state)
            if self._frozen is not None:
                flush(self._state, self._frozen, self._options.build)
                self._frozen = None
                self.counts["flush"] += 1
        self._has_room.set()

    def settle(self) -> None:
        """Flush, and do all that would be done in a pause, in this thread."""
        self.flush()
        while not self._state.is_closed and (work := self._next_work(is_idle=True)) is not None:
            work.run()
            self.counts[work.name] += 1

    def close(self) -> None:
        """Begin nothing more, and wait for the flush under way."""
        self._state.is_closed = True
        self._has_room.set()
        with self._flushing, self._state.store.committing:
            pass

    @property
    def _is_full(self) -> bool:
        return self._state.namespaces.memory_bytes >= 2 * self._options.memtable_bytes_max

    def _begin_flush(self) -> None:
        if self._flush_later is None or self._state.is_closed:
            return
        with self._scheduling:
            is_first, self._is_flush_due = not self._is_flush_due, True
        if is_first:
            self._flush_later(self._flush_or_log)

    def _flush_or_log(self) -> None:
        try:
            self.flush()
        except PinyonError as error:
            log.warning("index %s: flush failed: %s", self._state.definition().name, error.message)
        give_back_memory()

    @property
    def _is_idle(self) -> bool:
        return self._idle_ticks >= self._options.idle_ticks

    @property
    def _has_many_new_dead(self) -> bool:
        """True if so many rows of a segment died since the last flush that it is worth one to be rid of them."""
        segments, share = self._state.store.segments, self._options.compaction.dead_share
        return any(
            entry.dead_count < share * entry.row_count <= segments[entry.number].dead_count
            for entry in self._state.store.manifest.segments
            if entry.number in segments
        )

    def _work(self, work: _Task) -> None:
        is_done = False
        try:
            if not self._state.is_closed:
                self.under_way = work.name
                work.run()
                self.counts[work.name] += 1
            is_done = True
        except PinyonError as error:
            if not self._state.is_closed:  # Else its folder may be gone.
                log.warning("index %s: maintenance failed: %s", self._state.definition().name, error.message)
            return
        finally:
            if not is_done:
                # What failed once may fail again: let the others have their turn.
                self._resting |= dict.fromkeys((live.number for live in work.segments), _REST_TICKS)
            self.under_way = ""
            self._is_working = False
            give_back_memory()
        if not self._state.is_closed:
            self._begin_due()

    def _next_work(self, *, is_idle: bool) -> _Task | None:
        """What is most urgent; None if nothing is."""
        segments = [live for live in self._state.store.segments.values() if live.number not in self._resting]
        for live in segments:
            if live.has_graph and live.structures is not None and live.structures.graph is None:
                return _Task("open graph", partial(self._open_graph, live), [live])
        inputs = choose(segments, self._state.store.manifest.lsn, self._options.compaction, is_idle=is_idle)
        if inputs:
            return _Task("compact", partial(compact, self._state, inputs, self._options.build), inputs)
        for live in segments:
            untuned = self._untuned(live)
            if untuned and (is_idle or (not live.efforts and self._is_old(live))):
                return _Task("tune", partial(self._tune, live, untuned), [live])
        for live in sorted(segments, key=lambda live: -live.row_count):
            if is_idle and self._wants_graph(live):
                return _Task("build graph", partial(self._build_graph, live), [live])
        return _Task(_COMPARE, self._compare_recall) if self.watch.has_waiting else None

    def _is_old(self, live: LiveSegment) -> bool:
        return self._ages.get(live.number, 0) >= _OLD_TICKS

    @property
    def _has_dense(self) -> bool:
        return self._state.definition().dimension is not None

    def _wants_graph(self, live: LiveSegment) -> bool:
        return (
            live.structures is not None
            and self._has_dense
            and not live.has_graph
            and 0 < self._options.graph_rows_min <= live.row_count
            and graph_build_bytes(live) <= self._options.graph_build_bytes_max
        )

    def _open_graph(self, live: LiveSegment) -> None:
        assert live.structures is not None
        try:
            live.structures.graph = open_graph(self._state.store, live)
        except DataLossError as error:
            # Nothing is lost: the rows are searched without it, and another is built.
            log.warning("index %s: %s; the graph is built anew", self._state.definition().name, error.message)
            live.has_graph = False
            self._commit_changes(live)

    def _queries(self, live: LiveSegment) -> Float32s | None:
        """Queries of callers to tune a dedicated segment with; None while they are too few."""
        return self.watch.queries(live.segment.namespaces[0].name)

    def _untuned(self, live: LiveSegment) -> list[str]:
        """The structures of a segment of which it is not known how to find what is wanted, and may become known."""
        if live.structures is None or not self._has_dense:
            return []
        present = ["quantised"] if live.structures.graph is None else ["quantised", "graph"]
        wanted = self.watch.wanted(self.target_recall)
        return [name for name in present if self._is_untuned(live, name, wanted)]

    def _is_untuned(self, live: LiveSegment, structure: str, wanted: float) -> bool:
        table = live.efforts.get(structure)
        if table is None or (live.number, structure) in self._outdated:
            return True
        # What was tuned for it and does not reach it never will; a table from before the start is tried once more.
        is_new = wanted > self._tuned_for.get((live.number, structure), 0.0)
        is_short = wanted < 1 and is_new and table.effort_for(wanted) is None
        # Its own rows, which a graph now has, would say too much for it.
        return is_short and (structure != "graph" or self._queries(live) is not None)

    def _tune(self, live: LiveSegment, structures: Sequence[str]) -> None:
        live.efforts = {**live.efforts, **self._measured(live, structures)}
        self._commit_changes(live)

    def _measured(self, live: LiveSegment, structures: Sequence[str]) -> dict[str, EffortTable]:
        tuner = Tuner(live, self._state.definition().metric, self._queries(live), check=self._state.check_open)
        wanted = self.watch.wanted(self.target_recall)
        current = self._state.store.segments
        self._tuned_for = {key: target for key, target in self._tuned_for.items() if key[0] in current}
        self._tuned_for |= {(live.number, name): wanted for name in structures}
        self._outdated = {key for key in self._outdated if key[0] in current}
        self._outdated -= {(live.number, name) for name in structures}
        graph = None if live.structures is None else live.structures.graph
        return {
            name: tuner.quantised(wanted) if name == "quantised" or graph is None else tuner.graph(wanted, graph)
            for name in structures
        }

    def _build_graph(self, live: LiveSegment) -> None:
        assert live.structures is not None
        tuner = Tuner(live, self._state.definition().metric, check=self._state.check_open)
        wanted = self.watch.wanted(self.target_recall)
        efforts = build_graph(self._state.store, live, lambda: self._should_stop(live), tuner, wanted)
        if efforts is None:
            return
        self._tuned_for[live.number, "graph"] = wanted
        live.efforts = {**live.efforts, "graph": efforts}
        live.structures.graph = open_graph(self._state.store, live)
        live.has_graph = True
        self._commit_changes(live)

    def _compare_recall(self) -> None:
        kept = self.watch.take()
        if kept is None:
            return
        with self._state.lock:
            namespace = self._state.namespaces.by_name.get(kept.namespace)
            view = None if namespace is None else namespace.view(self._state.lsn)
        target = self.target_recall
        if view is None or target >= 1:
            return
        recall = compare(view, kept.plan, self.watch.raised(target))
        mean = None if recall is None else self.watch.add(recall, target)
        if mean is not None:
            searched = [part.live for part in view.parts if part.live.structures is not None]
            self._outdated |= {
                (live.number, name) for live in searched for name in live.efforts if self._queries(live) is not None
            }
            log_event(
                log,
                logging.WARNING,
                "recall below target; searches try harder",
                index=self._state.definition().name,
                target=target,
                recall=round(mean, 4),
                loss_factor=self.watch.gauge.loss_factor,
            )

    def _should_stop(self, live: LiveSegment) -> bool:
        return self._state.is_closed or live.number not in self._state.store.segments

    def _commit_changes(self, live: LiveSegment) -> None:
        """Make durable what was found out about a segment."""
        store = self._state.store
        with store.committing:
            if not self._state.is_closed and live.number in store.segments:
                store.commit(lsn=store.manifest.lsn, namespaces=store.manifest.namespaces)
