"""How much effort a dedicated segment needs to find what it should: measured with rows of its own as queries.

Rows are held back and looked for among the others, as queries from outside would be; a graph is asked before they are
added to it. The true neighbours are found by scoring all rows. Where enough of callers' own queries are known, these
are taken instead.

A row of which there are near duplicates is found far more easily than what callers ask for: its duplicates are next to
it, and nothing else is. Such a row is moved away from them, in a random direction, as far as its 20th neighbour is. So
is a query of a caller who asks for what is there.

The nearest 100 are farther away and in more partitions than the nearest 10, so both are looked for. As each query tells
of ten times as many neighbours, a part of the queries is enough for the 100: rows without near duplicates, as long as
there are enough. Rows that were moved away would have pools grow to thousands, where queries from outside lose nothing.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np

from pinyon.ann import exact
from pinyon.ann.effort import FEW, MANY, Effort, EffortTable, measure_graph, measure_quantised, pool_max
from pinyon.ann.exact import Float64s
from pinyon.ann.exact_sparse import is_member
from pinyon.ann.graph import Graph
from pinyon.engine.part import GRAPH, QUANTISED, LiveSegment, for_many
from pinyon.engine.part_efforts import scored_count
from pinyon.engine.structures import Structures
from pinyon.engine.true_neighbours import true_neighbours
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s, Int64s, Mask

GRAPH_QUERIES: Final = 1024
"""Sample queries for a graph, which answers each in a fraction of a millisecond: the recall is known to 0.002."""

_QUERIES: Final = 256
"""… for the quantised rows, where each takes 0.1 s of CPU a million rows, with all efforts together."""

_MANY_QUERIES: Final = 128
"""… for many results, of those above."""

_MANY_ROWS_MIN: Final = 4000
"""With fewer rows, the nearest `MANY` of them are not near."""

_FAR_RANK: Final = 20
_DUPLICATE_SHARE: Final = 0.5
"""A row has near duplicates if the nearest is nearer than so much of the squared distance of the 20th."""

_COPY_SHARE: Final = 0.02
"""… and a query of a caller is one: rows that are near to what was asked are what makes it easy."""

_CHUNK_BYTES: Final = 4 * 1024 * 1024
_FOUND_AT_ONCE: Final = 5000
"""Rows that a graph finds by one call of each thread: others wait for it, 15 ms."""

_TINY: Final = 1e-300
_LARGEST: Final = float(np.finfo(np.float32).max)
_ROUNDING: Final = 1e-9
"""By how much of itself the goodness of a row may differ when it is computed among others."""

_MEASURED_RECALL_MIN: Final = 0.995
"""Up to which recall efforts are measured, whatever is promised: a query may ask for more than the index promises."""

_MARGIN: Final = 0.003
"""Recall of queries from outside is a little lower than that of rows of the segment."""

_OUTSIDE_TIMES: Final = 1.2
"""… and of quantised rows without near duplicates, it loses so many times as much (measured on real texts)."""

_MOVED_TIMES: Final = {QUANTISED: 2.0, GRAPH: 1.15}
"""… and where rows have near duplicates, so many times as much as rows that were moved away from theirs: what is near
to those is still in fewer partitions than what is near to a query (measured on real texts, repeated with noise)."""


class _Sample(NamedTuple):
    """Queries, and what they should find.

    Attributes:
        queries: `(q, dimension)`.
        nearest: their true neighbours, `(q, k)`.
        has_ties: where more rows are as good as the last of these; equally good rows may stand for each other.
        moved_share: of the queries, those that were moved away from near duplicates.
    """

    queries: Float32s
    nearest: Int64s
    has_ties: Mask
    moved_share: float

    @property
    def top_k(self) -> int:
        return int(self.nearest.shape[1])

    def every(self, step: int) -> "_Sample":
        return _Sample(self.queries[::step], self.nearest[::step], self.has_ties[::step], self.moved_share)


class Tuner:
    """Sample queries of one segment and their true neighbours.

    Attributes:
        rows: the rows that are the queries, ascending; -1 each where the queries came from outside.
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
        """Take `queries`, `(q, dimension)`, or else up to `queries_max` rows, and find their neighbours among all rows.

        `check` is called many times a second, and raises to stop the tuning. A graph is searched by some `threads`.
        """
        assert live.structures is not None
        assert live.segment.dense is not None
        self._is_from_outside = queries is not None
        self._structures: Structures = live.structures
        self._dense = live.segment.dense
        self._metric = metric
        self._check = check
        self._threads = threads
        rng = np.random.default_rng(seed)
        count = min(queries_max, _query_count_max(live.row_count))
        self.rows: Int64s = np.sort(rng.choice(live.row_count, count, replace=False))
        if queries is None:
            self._queries, near_share = self._dense.rows(self.rows), _DUPLICATE_SHARE
        else:
            self._queries, self.rows, near_share = queries.copy(), np.full(len(queries), -1), _COPY_SHARE
        self._few, self._many = self._samples(near_share, rng, has_many=is_for_many(live))

    def quantised(self, target_recall: float) -> dict[str, EffortTable]:
        """Efforts of the quantised rows, by the names that `LiveSegment.efforts` has."""
        few = self._few.every(-(-len(self._queries) // _QUERIES))
        tables = {QUANTISED: self._quantised(few, target_recall, self._loss_times(few, QUANTISED))}
        if self._many is not None:
            times = 1.0 if self._is_from_outside else _OUTSIDE_TIMES
            tables[for_many(QUANTISED)] = self._quantised(self._many, target_recall, times)
        return tables

    def graph(self, target_recall: float, graph: Graph) -> dict[str, EffortTable]:
        """Efforts of a graph, by name. One that does not have the sample queries yet tells the truth."""
        few = self._graph(self._few, target_recall, graph, self._loss_times(self._few, GRAPH))
        if self._many is None:
            return {GRAPH: few}
        # What does not find few rows is not asked for many.
        is_used = few.effort_for(target_recall) is not None
        return {
            GRAPH: few,
            for_many(GRAPH): self._graph(self._many, target_recall, graph) if is_used else EffortTable(),
        }

    def _loss_times(self, few: _Sample, structure: str) -> float:
        """How many times as much queries from outside lose as a sample does, of few results."""
        return 1.0 if self._is_from_outside else 1.0 + (_MOVED_TIMES[structure] - 1.0) * few.moved_share

    def _quantised(self, sample: _Sample, target_recall: float, loss_times: float = 1.0) -> EffortTable:
        """Efforts for queries that lose so many times as much as the sample."""
        structure = self._structures.quantised
        promised = target_recall + _MARGIN
        goals = [1 - (1 - recall) / loss_times for recall in (promised, max(promised, _MEASURED_RECALL_MIN))]
        ranks: dict[int, Int64s] = {}

        def search_one(number: int, effort: Effort) -> Int64s:
            self._check()
            if effort.probes is not None:
                found = structure.candidates(sample.queries[number], effort.pool + 1, probes=effort.probes)
                return self._best(sample, number, found.rows)
            # Smaller pools of all rows are parts of the largest one.
            if number not in ranks:
                ranks[number] = self._ranks(sample, number)
            found_count = int(np.searchsorted(ranks[number], effort.pool, side="right"))
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
            *goals,
        ).with_losses(loss_times)

    def _graph(self, sample: _Sample, target_recall: float, graph: Graph, loss_times: float = 1.0) -> EffortTable:
        """The same of a graph."""
        goal = 1 - (1 - max(target_recall + _MARGIN, _MEASURED_RECALL_MIN)) / loss_times

        def search(effort: Effort) -> Iterator[Int64s]:
            count = effort.pool + 1
            step = self._threads * max(_FOUND_AT_ONCE // count, 1)
            for start in range(0, len(sample.queries), step):
                self._check()
                found = graph.search_all(sample.queries[start : start + step], count, self._threads)
                for number, rows in enumerate(found, start):
                    yield self._best(sample, number, rows[: scored_count(graph, count, sample.top_k)])

        table = measure_graph(search, sample.nearest, self._structures.quantised.row_count, goal)
        return table.with_losses(loss_times)

    def _ranks(self, sample: _Sample, number: int) -> Int64s:
        """The places, ascending, that the rows found for a query have among all rows in the order of estimates.

        Places from the largest pool on are left out. Long rows, which are in every pool, are in place 0.
        """
        found = self._structures.quantised.candidates(sample.queries[number], pool_max(sample.top_k) + 1)
        places = np.empty(len(found.rows), np.int64)
        places[np.argsort(-found.estimates)] = np.arange(len(places))
        places[is_member(found.rows, self._structures.space.long_rows)] = 0
        return np.sort(places[self._is_found(sample, number, found.rows)])

    def _best(self, sample: _Sample, number: int, rows: Int64s) -> Int64s:
        """As many of the true neighbours as the found rows are worth."""
        nearest: Int64s = sample.nearest[number]
        return nearest[: np.count_nonzero(self._is_found(sample, number, rows))]

    def _is_found(self, sample: _Sample, number: int, rows: Int64s) -> Mask:
        """Which of some rows are true neighbours, or as good."""
        nearest = sample.nearest[number]
        if not sample.has_ties[number]:
            return np.isin(rows, nearest)
        query = sample.queries[number]
        least = _rounded_down(self._goodness(query, nearest).min())
        return (self._goodness(query, rows) >= least) & ~is_member(rows, self.rows)

    def _goodness(self, query: Float32s, rows: Int64s) -> Float64s:
        step = max(_CHUNK_BYTES // (4 * len(query)), 1)
        parts = (rows[start : start + step] for start in range(0, len(rows), step))
        scored = [exact.exact_goodness(self._dense.rows(part), query, self._metric) for part in parts]
        return np.concatenate([np.zeros(0), *scored])

    def _samples(
        self, near_share: float, rng: np.random.Generator, *, has_many: bool
    ) -> tuple[_Sample, _Sample | None]:
        """The queries for few results and for many, of which those with duplicates are moved away from them."""
        # Long rows are among the best from anywhere, and tell nothing of what is near.
        long_rows = self._structures.space.long_rows
        neighbours = self._true_neighbours(self._queries, _FAR_RANK, np.union1d(self.rows, long_rows))
        is_moved = np.zeros(len(self.rows), np.bool_)
        for number, rows in enumerate(neighbours):
            query = self._queries[number]
            moved = moved_away(query, self._dense.rows(rows), self._metric, near_share, rng)
            is_moved[number] = moved is not query
            self._queries[number] = moved
        is_for_many = _for_many(is_moved) if has_many else np.zeros(len(self.rows), np.bool_)
        asked = is_moved | is_for_many | (len(long_rows) > 0)
        # One more than is asked for tells whether it is as good as the last.
        found = self._true_neighbours(self._queries[asked], (MANY if has_many else FEW) + 1, self.rows)
        neighbours[asked, : FEW + 1] = found[:, : FEW + 1]
        few = self._sample(self._queries, neighbours[:, : FEW + 1], is_moved)
        if not has_many:
            return few, None
        many = self._sample(self._queries[is_for_many], found[is_for_many[asked]], is_moved[is_for_many])
        return few, many

    def _true_neighbours(self, vectors: Float32s, top_k: int, without: Int64s) -> Int64s:
        return true_neighbours(self._dense, self._structures, vectors, top_k, without, self._check)

    def _sample(self, queries: Float32s, neighbours: Int64s, is_moved: Mask) -> _Sample:
        """Queries of which one neighbour more is known than is looked for."""
        goodness = [self._goodness(query, rows[-2:]) for query, rows in zip(queries, neighbours, strict=True)]
        has_ties = np.array([each[1] >= _rounded_down(each[0]) for each in goodness], np.bool_)
        return _Sample(queries, neighbours[:, :-1], has_ties, float(is_moved.mean()))


def is_for_many(live: LiveSegment) -> bool:
    """True if a segment has so many rows that it is measured how to find many."""
    return live.row_count >= _MANY_ROWS_MIN


def _for_many(is_moved: Mask) -> Mask:
    """Which queries are asked for many results; some that were moved only if the others are too few."""
    numbers = np.flatnonzero(~is_moved)
    if len(numbers) < min(_MANY_QUERIES, len(is_moved)) / 2:
        numbers = np.arange(len(is_moved))
    chosen = np.zeros(len(is_moved), np.bool_)
    # Rows of the same partition are side by side, so from all over.
    chosen[numbers[np.linspace(0, len(numbers) - 1, min(_MANY_QUERIES, len(numbers))).astype(np.int64)]] = True
    return chosen


def _rounded_down(goodness: float) -> float:
    return goodness - _ROUNDING * abs(goodness)


def _query_count_max(row_count: int) -> int:
    """So few sample queries that the others are as near to one another as all rows are."""
    return min(max(row_count // 64, 16), max(row_count // 16, 1))


def moved_away(
    row: Float32s, neighbours: Float32s, metric: Metric, near_share: float, rng: np.random.Generator
) -> Float32s:
    """A row, `(dimension,)`, away from its near duplicates, if its neighbours, `(n, dimension)`, are such.

    They are if the nearest is nearer than `near_share` of the squared distance of the farthest.
    """
    step = rng.standard_normal(len(row))
    # In float32, squares of numbers from 1e19 on are infinite.
    wide, others = row.astype(np.float64), neighbours.astype(np.float64)
    if metric is Metric.EUCLIDEAN:
        squares = np.sort(np.vecdot(others - wide, others - wide))
        if squares[0] >= near_share * squares[-1]:
            return row
        moved = wide + step * np.sqrt(squares[-1] / np.vdot(step, step))
    else:
        length = np.sqrt(np.vdot(wide, wide))
        cosines = others @ wide / np.maximum(length * np.sqrt(np.vecdot(others, others)), _TINY)
        angles = np.sort(np.maximum(1 - cosines, 0))
        if angles[0] >= near_share * angles[-1]:
            return row
        step -= wide * (np.vdot(step, wide) / np.vdot(wide, wide))
        far = np.clip(1 - angles[-1], 0, 1)
        moved = far * wide + step * (length * np.sqrt((1 - far * far) / np.maximum(np.vdot(step, step), _TINY)))
    narrow: Float32s = np.clip(moved, -_LARGEST, _LARGEST).astype(np.float32)
    return narrow
