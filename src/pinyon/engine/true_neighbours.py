"""The true nearest rows of a few vectors, found by looking at all rows of a segment: what a search should find."""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from pinyon.engine.structures import Structures
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s, Int64s
from pinyon.segment.checked_column import CheckedColumn

_CHUNK_BYTES: Final = 4 * 1024 * 1024
"""Of rows that are looked at together, and of their goodness for all queries."""

_FIRST_ROWS: Final = 256


def true_neighbours(
    dense: CheckedColumn[np.float32],
    structures: Structures,
    vectors: Float32s,
    top_k: int,
    without: Int64s,
    check: Callable[[], None],
) -> Int64s:
    """The nearest rows of each vector, best first, `(q, top_k)` int64.

    Args:
        dense: all rows of the segment.
        structures: of the segment.
        vectors: `(q, dimension)` float32, as they came.
        top_k: how many rows to find for each.
        without: rows that are not to be found, ascending int64.
        check: called for each few MiB of rows or of goodness, and raises to stop.
    """
    space, mean, row_count = structures.space, structures.mean, structures.quantised.row_count
    queries = np.array([space.query(vector) for vector in vectors], np.float32).reshape(vectors.shape)
    best = _Best(np.full((len(vectors), top_k), -np.inf, np.float32), np.zeros((len(vectors), top_k), np.int64))
    start, step = 0, max(_CHUNK_BYTES // (4 * max(space.dimension, len(vectors))), _FIRST_ROWS)
    while start < row_count:
        check()
        # Few rows first, so that of the others only those are looked at that are better than most.
        stop = min(start + min(step, max(4 * start, _FIRST_ROWS)), row_count)
        # What all rows have in common tells them not apart, and would take the digits that do.
        rows = space.rows(dense.slice(start, stop)) - mean
        goodness = queries @ rows.T
        if space.metric is Metric.EUCLIDEAN:
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
