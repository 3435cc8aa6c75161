"""How much effort a dedicated segment needs to find what it should: measured with rows of its own as queries.

Rows are held back and looked for among the others, as queries from outside would be; a graph is asked before they are
added to it. The true neighbours are found by scoring all rows. Where enough of callers' own queries are known, these
are taken instead.
"""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from pinyon.ann.effort import Effort, EffortTable, measure_graph, measure_quantised, pool_max
from pinyon.ann.graph import Graph
from pinyon.engine.part import GRAPH, QUANTISED, LiveSegment, for_many
from pinyon.engine.part_efforts import scored_count
from pinyon.engine.sample_queries import Sample, draw_samples
from pinyon.engine.structures import Structures
from pinyon.model.metric import Metric
from pinyon.model.ordered import is_member
from pinyon.model.record import Float32s, Int64s, Mask

GRAPH_QUERIES: Final = 1024
"""Sample queries for a graph, which answers each in a fraction of a millisecond: the recall is known to 0.002."""

_QUERIES: Final = 256
"""… for the quantised rows, where each takes 0.1 s of CPU a million rows, with all efforts together."""

_MANY_ROWS_MIN: Final = 4000
"""With fewer rows, the nearest `MANY` of them are not near."""

_FOUND_AT_ONCE: Final = 5000
"""Rows that a graph finds by one call of each thread: others wait for it, 15 ms."""

_MEASURED_RECALL_MIN: Final = 0.995
"""Up to which recall efforts are measured, whatever is promised: a query may ask for more than the index promises."""

_MARGIN: Final = 0.003
"""Recall of queries from outside is a little lower than that of rows of the segment."""


class Tuner:
    """Sample queries of one segment and their true neighbours.

    Attributes:
        held_back: rows that are not to be in a graph that is measured, ascending int64; none where callers asked.
    """

    def __init__(
        self,
        live: LiveSegment,
        metric: Metric,
        queries: Float32s | None = None,
        *,
        check: Callable[[], None] = lambda: None,
        queries_max: int = _QUERIES,
        threads: int = 1,
        seed: int = 1,
    ) -> None:
        """Take `queries`, `(q, dimension)`, or else up to `queries_max` rows, and find their neighbours.

        `check` is called many times a second, and raises to stop the tuning. A graph is searched by some `threads`.
        """
        assert live.structures is not None
        self._structures: Structures = live.structures
        self._check = check
        self._threads = threads
        samples = draw_samples(live, metric, queries, queries_max, has_many=is_for_many(live), check=check, seed=seed)
        self.held_back, self._few, self._many = samples
        self._others: Mask | None = None
        if len(self.held_back):
            self._others = np.ones(live.row_count, np.bool_)
            self._others[self.held_back] = False

    def quantised(self, target_recall: float) -> dict[str, EffortTable]:
        """Efforts of the quantised rows, by the names that `LiveSegment.efforts` has."""
        few = self._few.every(-(-len(self._few.queries) // _QUERIES))
        tables = {QUANTISED: self._quantised(few, target_recall)}
        if self._many is not None:
            tables[for_many(QUANTISED)] = self._quantised(self._many, target_recall)
        return tables

    def graph(self, target_recall: float, graph: Graph) -> dict[str, EffortTable]:
        """Efforts of a graph, by name. One that does not have `held_back` yet tells the truth."""
        few = self._graph(self._few, target_recall, graph)
        if self._many is None:
            return {GRAPH: few}
        # What does not find few rows is not asked for many.
        is_used = few.effort_for(target_recall) is not None
        return {
            GRAPH: few,
            for_many(GRAPH): self._graph(self._many, target_recall, graph) if is_used else EffortTable(),
        }

    def _quantised(self, sample: Sample, target_recall: float) -> EffortTable:
        structure = self._structures.quantised
        promised = target_recall + _MARGIN
        ranks: dict[int, Int64s] = {}

        def search_one(number: int, effort: Effort) -> Int64s:
            self._check()
            if effort.probes is not None:
                query = sample.queries[number]
                found = structure.candidates(query, effort.pool, probes=effort.probes, alive=self._others)
                return sample.best(number, found.rows)
            # Smaller pools of all rows are parts of the largest one.
            if number not in ranks:
                ranks[number] = self._ranks(sample, number)
            found_count = int(np.searchsorted(ranks[number], effort.pool))
            nearest: Int64s = sample.nearest[number]
            return nearest[:found_count]

        def search(effort: Effort) -> list[Int64s]:
            # In more than one thread it takes longer: each search is many short native calls.
            return [search_one(number, effort) for number in range(len(sample.queries))]

        return measure_quantised(
            search,
            sample.nearest,
            structure.row_count,
            structure.partition_count,
            promised,
            max(promised, _MEASURED_RECALL_MIN),
        )

    def _graph(self, sample: Sample, target_recall: float, graph: Graph) -> EffortTable:
        def search(effort: Effort) -> Iterator[Int64s]:
            count = effort.pool
            step = self._threads * max(_FOUND_AT_ONCE // count, 1)
            for start in range(0, len(sample.queries), step):
                self._check()
                found = graph.search_all(sample.queries[start : start + step], count, self._threads)
                for number, rows in enumerate(found, start):
                    yield sample.best(number, rows[: scored_count(graph, count, sample.top_k)])

        goal = max(target_recall + _MARGIN, _MEASURED_RECALL_MIN)
        return measure_graph(search, sample.nearest, self._structures.quantised.row_count, goal)

    def _ranks(self, sample: Sample, number: int) -> Int64s:
        """The places, ascending, that the rows found for a query have among all others in the order of estimates.

        Places from the largest pool on are left out. Long rows, which are in every pool, are in place 0.
        """
        query, pool = sample.queries[number], pool_max(sample.top_k)
        found = self._structures.quantised.candidates(query, pool, alive=self._others)
        places = np.empty(len(found.rows), np.int64)
        places[np.argsort(-found.estimates)] = np.arange(len(places))
        places[is_member(found.rows, self._structures.space.long_rows)] = 0
        return np.sort(places[sample.is_found(number, found.rows)])


def is_for_many(live: LiveSegment) -> bool:
    """True if a segment has so many rows that it is measured how to find many."""
    return live.row_count >= _MANY_ROWS_MIN
