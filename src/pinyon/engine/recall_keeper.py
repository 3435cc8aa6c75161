"""What keeps the promised recall of an index: efforts that are known for every structure, graphs, and comparisons.

What must hold:

- a structure is tuned for the highest recall that it is asked for; one that a tuning could not bring there is not tuned
  for the same recall again;
- where queries found too little, the segments that they were searched in are tuned again, where there are enough
  queries of callers to do so with;
- what is found out about a segment is durable when the task that found it out ends.

Thread rule: any thread may ask; only one at a time does what is to be done (see `pinyon.engine.maintenance`).
"""

import logging
import threading
from collections.abc import Sequence
from typing import Final, NamedTuple

from pinyon.ann.effort import EffortTable
from pinyon.ann.partitions import partition_count
from pinyon.engine.graph_memory import GraphMemory
from pinyon.engine.graphs import build_graph, graph_build_bytes, open_graph
from pinyon.engine.index_state import IndexState
from pinyon.engine.maintenance_options import MaintenanceOptions
from pinyon.engine.part import GRAPH, QUANTISED, LiveSegment, for_many
from pinyon.engine.recall_watch import RecallWatch, compare
from pinyon.engine.tuning import GRAPH_QUERIES, Tuner, is_for_many
from pinyon.errors import DataLossError
from pinyon.model.recall import tagged_recall
from pinyon.model.record import Float32s
from pinyon.telemetry import log_event

_LARGER_TIMES: Final = 1.5
"""How many times the partitions a segment is searched in, if it is larger than one that was tuned. A smaller one takes
about as many, whatever its size: of real texts, 50 to 84 at 38,000, 100,000 and 1,000,000 rows."""

log = logging.getLogger(__name__)


class _Example(NamedTuple):
    """What was measured with the quantised rows of a segment, and how many rows that has."""

    row_count: int
    efforts: dict[str, EffortTable]


class RecallKeeper:
    """Knows what is missing for the promised recall of one index, and does it.

    Attributes:
        watch: whether queries find what they should.
    """

    def __init__(self, state: IndexState, options: MaintenanceOptions, graph_memory: GraphMemory) -> None:
        """Begin with what the segments of `state` know."""
        self._state = state
        self._options = options
        self._graph_memory = graph_memory
        self._tuned_for: dict[tuple[int, str], float] = {}
        self._outdated: set[tuple[int, str]] = set()
        self._examples: dict[str, _Example] = {}
        self._guessing = threading.Lock()
        self.watch = RecallWatch()

    @property
    def target_recall(self) -> float:
        """The share of the true nearest rows that queries find on average, where they do not ask for another."""
        tagged = tagged_recall(self._state.definition().tags)
        return self._options.target_recall if tagged is None else tagged

    def guess_efforts(self) -> None:
        """Have segments that were not tuned yet searched as far as one of their namespace is, or was before it went.

        Of several that were tuned, the largest is the example.
        """
        with self._guessing:
            segments = [live for live in self._state.store.segments.values() if live.structures is not None]
            examples = {name: self._examples[name] for name in map(_namespace, segments) if name in self._examples}
            for live in sorted(segments, key=lambda live: live.row_count):
                if QUANTISED in live.efforts:
                    names = [name for name in (QUANTISED, for_many(QUANTISED)) if name in live.efforts]
                    efforts = {name: live.efforts[name] for name in names}
                    examples[_namespace(live)] = _Example(live.row_count, efforts)
            for live in segments:
                example = examples.get(_namespace(live))
                if example is not None and not live.guess and QUANTISED not in live.efforts:
                    live.guess = _guess(live, example)
            self._examples = examples

    def wants_graph_opened(self, live: LiveSegment) -> bool:
        """True if there is a graph on disk that is not searched yet, and room for it."""
        return (
            live.structures is not None
            and live.has_graph
            and live.structures.graph is None
            and self._graph_memory.has_room(live.row_count)
        )

    def wants_graph_built(self, live: LiveSegment) -> bool:
        """True if a segment is to have a graph and has none, and there is room to build and to open it."""
        return (
            live.structures is not None
            and self._has_dense
            and not live.has_graph
            and 0 < self._options.graph_rows_min <= live.row_count
            and graph_build_bytes(live.row_count, self._state.definition()) <= self._options.graph_build_bytes_max
            and self._graph_memory.has_room(live.row_count)
        )

    def untuned(self, live: LiveSegment) -> list[str]:
        """The structures of a segment of which it is not known how to find what is wanted, and may become known."""
        if live.structures is None or not self._has_dense:
            return []
        present = [QUANTISED] if live.structures.graph is None else [QUANTISED, GRAPH]
        wanted = self._wanted
        return [name for name in present if self._is_untuned(live, name, wanted)]

    def open_graph(self, live: LiveSegment) -> None:
        """Let a graph on disk be searched; one that is damaged or missing is given up, so that another is built.

        Raises:
            DataLossError: what a graph needs of the segment itself is damaged; the graph is left alone.
        """
        assert live.structures is not None
        _ = live.structures.space
        try:
            self._let_search(live)
        except DataLossError as error:
            # Nothing is lost: the rows are searched without it.
            log.warning("index %s: %s; the graph is built anew", self._state.definition().name, error.message)
            live.has_graph = False
            self._commit_changes(live)

    def build_graph(self, live: LiveSegment) -> None:
        """Build the graph of a segment and let it be searched, unless the segment goes meanwhile."""
        assert live.structures is not None
        check = self._state.check_open
        threads = self._options.build_threads
        metric = self._state.definition().metric
        tuner = Tuner(live, metric, check=check, queries_max=GRAPH_QUERIES, threads=threads)
        wanted = self._wanted
        efforts = build_graph(self._state.store, live, lambda: self._is_gone(live), tuner, wanted, threads)
        if efforts is not None:
            self._tuned_for[live.number, GRAPH] = wanted
            live.efforts = {**live.efforts, **efforts}
            self._let_search(live)
            live.has_graph = True
            self._commit_changes(live)
        if live.number not in self._state.store.segments and not self._state.is_closed:
            # No commit knows of the file, so none removes it.
            self._state.store.storage.remove(self._state.store.graph_path(live.number))

    def _let_search(self, live: LiveSegment) -> None:
        """Let a graph be searched, if nobody took the room for it meanwhile."""
        assert live.structures is not None
        if self._graph_memory.has_room(live.row_count):
            live.structures.graph = self._graph_memory.counted(open_graph(self._state.store, live))

    def tune(self, live: LiveSegment, structures: Sequence[str]) -> None:
        """Measure what some structures of a segment take for the wanted recall."""
        live.efforts = {**live.efforts, **self._measured(live, structures)}
        self._commit_changes(live)

    def compare_recall(self) -> None:
        """Compare what a query found with what it should have; where that is too little, searches try harder."""
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
            self._distrust([part.live for part in view.parts if part.live.structures is not None])
            self._warn(target, mean)

    @property
    def _has_dense(self) -> bool:
        return self._state.definition().dimension is not None

    @property
    def _wanted(self) -> float:
        """What structures are tuned for."""
        return self.watch.wanted(self.target_recall)

    def _queries(self, live: LiveSegment) -> Float32s | None:
        """Queries of callers to tune a dedicated segment with; None while they are too few."""
        return self.watch.queries(_namespace(live))

    def _is_untuned(self, live: LiveSegment, structure: str, wanted: float) -> bool:
        table = live.efforts.get(structure)
        if table is None:
            return True
        if (live.number, structure) in self._outdated:
            return self._can_be_measured(live, structure)
        # What was tuned for it and does not reach it never will; a table from before the start is tried once more.
        is_new = wanted > self._tuned_for.get((live.number, structure), 0.0)
        is_short = wanted < 1 and is_new and _falls_short(live, structure, wanted)
        return is_short and self._can_be_measured(live, structure)

    def _can_be_measured(self, live: LiveSegment, structure: str) -> bool:
        """False for a graph while queries of callers are too few: its own rows would say too much for it."""
        return structure != GRAPH or self._queries(live) is not None

    def _measured(self, live: LiveSegment, structures: Sequence[str]) -> dict[str, EffortTable]:
        metric, threads = self._state.definition().metric, self._options.build_threads
        tuner = Tuner(live, metric, self._queries(live), check=self._state.check_open, threads=threads)
        wanted = self._wanted
        graph = None if live.structures is None else live.structures.graph
        measured: dict[str, EffortTable] = {}
        for name in structures:
            measured |= tuner.quantised(wanted) if name == QUANTISED or graph is None else tuner.graph(wanted, graph)
        self._note_tuning(live, structures, wanted)
        return measured

    def _note_tuning(self, live: LiveSegment, structures: Sequence[str], wanted: float) -> None:
        """Note what was tuned for what, and forget what was noted of segments that are gone."""
        current, tuned = self._state.store.segments, [(live.number, name) for name in structures]
        self._tuned_for = {key: recall for key, recall in self._tuned_for.items() if key[0] in current}
        self._tuned_for |= dict.fromkeys(tuned, wanted)
        self._outdated = {key for key in self._outdated if key[0] in current}.difference(tuned)

    def _distrust(self, searched: Sequence[LiveSegment]) -> None:
        """Have segments tuned again, where there are queries of callers to do so with."""
        self._outdated |= {
            (live.number, name)
            for live in searched
            for name in (QUANTISED, GRAPH)
            if name in live.efforts and self._queries(live) is not None
        }

    def _warn(self, target: float, mean: float) -> None:
        log_event(
            log,
            logging.WARNING,
            "recall below target; searches try harder",
            index=self._state.definition().name,
            target=target,
            recall=round(mean, 4),
            loss_factor=self.watch.gauge.loss_factor,
        )

    def _is_gone(self, live: LiveSegment) -> bool:
        return self._state.is_closed or live.number not in self._state.store.segments

    def _commit_changes(self, live: LiveSegment) -> None:
        """Make durable what was found out about a segment."""
        store = self._state.store
        with store.committing:
            if not self._is_gone(live):
                store.commit(lsn=store.manifest.lsn, namespaces=store.manifest.namespaces)


def _falls_short(live: LiveSegment, structure: str, wanted: float) -> bool:
    """True if what was measured with a structure does not say how to find what is wanted, of few or of many rows."""
    names = [structure, for_many(structure)] if is_for_many(live) else [structure]
    return any(name not in live.efforts or live.efforts[name].effort_for(wanted) is None for name in names)


def _guess(live: LiveSegment, example: _Example) -> dict[str, EffortTable]:
    """What a search of a segment may take, by another one: known without their bytes, which may be damaged."""
    if partition_count(live.row_count) <= partition_count(example.row_count):
        return example.efforts
    return {name: table.scaled(_LARGER_TIMES) for name, table in example.efforts.items()}


def _namespace(live: LiveSegment) -> str:
    """The namespace of a dedicated segment."""
    return live.segment.namespaces[0].name
