"""How much effort a dedicated segment needs to find what it should: measured with rows of its own as queries.

A row is looked for among the others, as a query from outside would be; one of a graph is, before it is added to it. The
true neighbours are found by scoring all rows. Where callers' own queries are known, these are taken instead.
"""

from typing import Final

import numpy as np

from pinyon.ann import exact
from pinyon.ann.effort import Effort, EffortTable, measure_graph, measure_quantised
from pinyon.ann.exact import Float64s
from pinyon.ann.graph import Graph
from pinyon.engine.part import LiveSegment
from pinyon.engine.structures import Structures
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s, Int64s

_QUERIES: Final = 256
_TOP_K: Final = 10
_CHUNK_BYTES: Final = 8 * 1024 * 1024
_ROUNDING: Final = 1e-9
"""By how much of itself the goodness of a row may differ when it is computed among others."""

_MARGIN: Final = 0.003
"""Recall of queries from outside is a little lower than that of rows of the segment."""


class Tuner:
    """Sample queries of one segment and their true neighbours.

    Attributes:
        rows: the rows that are the queries, ascending; -1 each where the queries came from outside.
    """

    def __init__(self, live: LiveSegment, metric: Metric, queries: Float32s | None = None, seed: int = 1) -> None:
        """Take `queries`, `(q, dimension)`, or else choose some, and find their neighbours by looking at all rows."""
        assert live.structures is not None
        assert live.segment.dense is not None
        self._structures: Structures = live.structures
        self._dense = live.segment.dense
        self._metric = metric
        rng = np.random.default_rng(seed)
        self.rows: Int64s = np.sort(rng.choice(live.row_count, min(_QUERIES, live.row_count), replace=False))
        self._queries: Float32s = self._dense.rows(self.rows) if queries is None else queries
        if queries is not None:
            self.rows = np.full(len(queries), -1)
        self._nearest = self._true_neighbours(live.row_count)

    def quantised(self, target_recall: float) -> EffortTable:
        """Efforts of the quantised rows."""
        structure = self._structures.quantised

        def search(number: int, effort: Effort) -> Int64s:
            rows = structure.candidates(self._queries[number], effort.pool + 1, probes=effort.probes).rows
            return self._best(number, rows)

        count = structure.partition_count
        return measure_quantised(search, self._nearest, structure.row_count, count, target_recall + _MARGIN)

    def graph(self, target_recall: float, graph: Graph) -> EffortTable:
        """Efforts of a graph. One that does not have the sample queries yet tells the truth."""

        def search(number: int, effort: Effort) -> Int64s:
            return self._best(number, graph.search(self._queries[number], effort.pool + 1))

        return measure_graph(search, self._nearest, self._structures.quantised.row_count, target_recall + _MARGIN)

    def _best(self, number: int, rows: Int64s) -> Int64s:
        """As many of the true neighbours as the found rows are worth: equally good ones may stand for each other."""
        found = self._goodness(number, rows[rows != self.rows[number]])
        last = self._goodness(number, self._nearest[number]).min()
        good = np.count_nonzero(found >= last - _ROUNDING * abs(last))
        nearest: Int64s = self._nearest[number, :good]
        return nearest

    def _goodness(self, number: int, rows: Int64s) -> Float64s:
        return exact.exact_goodness(self._dense.rows(rows), self._queries[number], self._metric)

    def _true_neighbours(self, row_count: int) -> Int64s:
        space = self._structures.space
        queries = np.stack([space.query(query) for query in self._queries])
        best_rows = np.zeros((len(self.rows), 0), np.int64)
        best = np.zeros((len(self.rows), 0), np.float32)
        step = max(_CHUNK_BYTES // (4 * space.dimension), 256)
        for start in range(0, row_count, step):
            stop = min(start + step, row_count)
            vectors = space.rows(self._dense.slice(start, stop))
            goodness = queries @ vectors.T
            if self._metric is Metric.EUCLIDEAN:
                goodness = 2 * goodness - np.vecdot(vectors, vectors)
            mine = np.flatnonzero((self.rows >= start) & (self.rows < stop))
            goodness[mine, self.rows[mine] - start] = -np.inf
            rows = np.broadcast_to(np.arange(start, stop), goodness.shape)
            best, best_rows = _keep(np.hstack((best, goodness)), np.hstack((best_rows, rows)))
        return best_rows


def _keep(goodness: Float32s, rows: Int64s) -> tuple[Float32s, Int64s]:
    kept = np.argpartition(-goodness, min(_TOP_K, goodness.shape[1]) - 1, axis=1)[:, :_TOP_K]
    return np.take_along_axis(goodness, kept, 1), np.take_along_axis(rows, kept, 1)
