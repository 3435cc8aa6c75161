"""How much effort a dedicated segment needs to find what it should: measured with rows of its own as queries.

Rows are held back and looked for among the others, as queries from outside would be; a graph is asked before they are
added to it. The true neighbours are found by scoring all rows. Where enough of callers' own queries are known, these
are taken instead.

A row of which there are near duplicates is found far more easily than what callers ask for: its duplicates are next to
it, and nothing else is. Such a row is moved away from them, in a random direction, as far as its 20th neighbour is. So
is a query of a caller who asks for what is there.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from pinyon.ann import exact
from pinyon.ann.effort import Effort, EffortTable, measure_graph, measure_quantised, pool_max
from pinyon.ann.exact import Float64s
from pinyon.ann.exact_sparse import is_member
from pinyon.ann.graph import Graph
from pinyon.engine.part import LiveSegment
from pinyon.engine.part_efforts import scored_count
from pinyon.engine.structures import Structures
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s, Int64s

GRAPH_QUERIES: Final = 1024
"""Sample queries for a graph, which answers each in a fraction of a millisecond: the recall is known to 0.002."""

_QUERIES: Final = 256
"""… for the quantised rows, where each takes 0.1 s of CPU a million rows, with all efforts together."""

_TOP_K: Final = 10
_FAR_RANK: Final = 20
_DUPLICATE_SHARE: Final = 0.5
"""A row has near duplicates if the nearest is nearer than so much of the squared distance of the 20th."""

_COPY_SHARE: Final = 0.02
"""… and a query of a caller is one: rows that are near to what was asked are what makes it easy."""

_CHUNK_BYTES: Final = 8 * 1024 * 1024
_FIRST_ROWS: Final = 256
_TINY: Final = 1e-300
_LARGEST: Final = float(np.finfo(np.float32).max)
_ROUNDING: Final = 1e-9
"""By how much of itself the goodness of a row may differ when it is computed among others."""

_MEASURED_RECALL_MIN: Final = 0.995
"""Up to which recall efforts are measured, whatever is promised: a query may ask for more than the index promises."""

_MARGIN: Final = 0.003
"""Recall of queries from outside is a little lower than that of rows of the segment."""


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
        seed: int = 1,
    ) -> None:
        """Take `queries`, `(q, dimension)`, or else up to `queries_max` rows, and find their neighbours among all rows.

        `check` is called every few milliseconds, and raises to stop the tuning.
        """
        assert live.structures is not None
        assert live.segment.dense is not None
        self._structures: Structures = live.structures
        self._dense = live.segment.dense
        self._metric = metric
        self._check = check
        rng = np.random.default_rng(seed)
        self._row_count: Final = live.row_count
        count = min(queries_max, _query_count_max(live.row_count))
        self.rows: Int64s = np.sort(rng.choice(live.row_count, count, replace=False))
        if queries is None:
            self._queries, near_share = self._dense.rows(self.rows), _DUPLICATE_SHARE
        else:
            self._queries, self.rows, near_share = queries.copy(), np.full(len(queries), -1), _COPY_SHARE
        self._nearest = self._neighbours_without_duplicates(near_share, rng)

    def quantised(self, target_recall: float) -> EffortTable:
        """Efforts of the quantised rows."""
        structure = self._structures.quantised
        step = -(-len(self._queries) // _QUERIES)
        best_of_all: dict[int, Int64s] = {}

        def search(number: int, effort: Effort) -> Int64s:
            self._check()
            number *= step
            query = self._queries[number]
            if effort.probes is not None:
                return self._best(number, structure.candidates(query, effort.pool + 1, probes=effort.probes).rows)
            # Smaller pools of all rows are parts of the largest one.
            if number not in best_of_all:
                found = structure.candidates(query, pool_max(_TOP_K) + 1)
                best_of_all[number] = found.rows[np.argsort(-found.estimates)]
            rows = np.union1d(best_of_all[number][: effort.pool + 1], self._structures.space.long_rows)
            return self._best(number, rows)

        return measure_quantised(
            search,
            self._nearest[::step],
            structure.row_count,
            structure.partition_count,
            target_recall + _MARGIN,
            max(target_recall + _MARGIN, _MEASURED_RECALL_MIN),
        )

    def graph(self, target_recall: float, graph: Graph) -> EffortTable:
        """Efforts of a graph. One that does not have the sample queries yet tells the truth."""

        def search(number: int, effort: Effort) -> Int64s:
            self._check()
            rows = graph.search(self._queries[number], effort.pool + 1)
            return self._best(number, rows[: scored_count(graph, effort.pool + 1, _TOP_K)])

        return measure_graph(
            search,
            self._nearest,
            self._structures.quantised.row_count,
            max(target_recall + _MARGIN, _MEASURED_RECALL_MIN),
        )

    def _best(self, number: int, rows: Int64s) -> Int64s:
        """As many of the true neighbours as the found rows are worth: equally good ones may stand for each other."""
        found = self._goodness(number, rows[~is_member(rows, self.rows)])
        last = self._goodness(number, self._nearest[number]).min()
        good = np.count_nonzero(found >= last - _ROUNDING * abs(last))
        nearest: Int64s = self._nearest[number, :good]
        return nearest

    def _goodness(self, number: int, rows: Int64s) -> Float64s:
        return exact.exact_goodness(self._dense.rows(rows), self._queries[number], self._metric)

    def _neighbours_without_duplicates(self, near_share: float, rng: np.random.Generator) -> Int64s:
        """The true neighbours, `(q, _TOP_K)`, of the sample queries, of which those with duplicates are moved away."""
        # Long rows are among the best from anywhere, and tell nothing of what is near.
        long_rows = self._structures.space.long_rows
        neighbours = self._true_neighbours(self._queries, _FAR_RANK, np.union1d(self.rows, long_rows))
        is_changed = np.full(len(self.rows), len(long_rows) > 0)
        for number, rows in enumerate(neighbours):
            moved = moved_away(self._queries[number], self._dense.rows(rows), self._metric, near_share, rng)
            is_changed[number] |= moved is not self._queries[number]
            self._queries[number] = moved
        nearest = neighbours[:, :_TOP_K]
        nearest[is_changed] = self._true_neighbours(self._queries[is_changed], _TOP_K, self.rows)
        return nearest

    def _true_neighbours(self, vectors: Float32s, top_k: int, without: Int64s) -> Int64s:
        """The nearest rows of each vector, `(q, top_k)`, best first, except for some rows, which ascend."""
        space, mean = self._structures.space, self._structures.mean
        queries = np.array([space.query(vector) for vector in vectors], np.float32).reshape(vectors.shape)
        best = _Best(np.full((len(vectors), top_k), -np.inf, np.float32), np.zeros((len(vectors), top_k), np.int64))
        start, step = 0, max(_CHUNK_BYTES // (4 * space.dimension), _FIRST_ROWS)
        while start < self._row_count:
            self._check()
            # Few rows first, so that of the others only those are looked at that are better than most.
            stop = min(start + min(step, max(4 * start, _FIRST_ROWS)), self._row_count)
            # What all rows have in common tells them not apart, and would take the digits that do.
            rows = space.rows(self._dense.slice(start, stop)) - mean
            goodness = queries @ rows.T
            if self._metric is Metric.EUCLIDEAN:
                goodness = 2 * goodness - np.vecdot(rows, rows)
            goodness[:, without[(without >= start) & (without < stop)] - start] = -np.inf
            best = best.merged(goodness, start)
            start = stop
        return best.rows


class _Best(NamedTuple):
    """The best rows so far of some queries, `(q, top_k)`, best first."""

    goodness: Float32s
    rows: Int64s

    def merged(self, goodness: Float32s, first_row: int) -> "_Best":
        """With rows of which these, `(q, n)`, are the goodness, the first being number `first_row`."""
        query_count, top_k = self.rows.shape
        queries, places = np.nonzero(goodness > self.goodness[:, -1:])
        owners = np.concatenate((np.repeat(np.arange(query_count), top_k), queries))
        values = np.concatenate((self.goodness.ravel(), goodness[queries, places]))
        rows = np.concatenate((self.rows.ravel(), places + first_row))
        order = np.lexsort((-values, owners))
        starts = np.searchsorted(owners[order], np.arange(query_count))
        kept = order[starts[:, None] + np.arange(top_k)]
        return _Best(values[kept], rows[kept])


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
