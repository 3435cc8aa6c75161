"""Exact dot products of sparse vectors: every stored non-zero is looked at once per query, in native code."""

import numpy as np
from numpy.typing import NDArray

from pinyon.model.record import Mask, SparseColumn, SparseVector


def sparse_dots(rows: SparseColumn, query: SparseVector) -> tuple[NDArray[np.float64], Mask]:
    """Dot product of each row with the query.

    Args:
        rows: `n` sparse vectors.
        query: indices unique, in any order.

    Returns:
        `(dots, overlaps)`: `(n,)` float64, summed in the row's own order so that equal rows get equal sums, and `(n,)`
        bool, True where a row shares an index with the query.
    """
    order = np.argsort(query.indices)
    indices, values = query.indices[order], query.values[order].astype(np.float64)
    start, end = int(rows.offsets[0]), int(rows.offsets[-1])
    if not len(indices) or start == end:
        return np.zeros(len(rows)), np.zeros(len(rows), np.bool_)
    stored = rows.indices[start:end]
    place = np.minimum(np.searchsorted(indices, stored), len(indices) - 1)
    hits = np.flatnonzero(indices[place] == stored)
    products = rows.values[start:end][hits] * values[place[hits]]
    row_of_hit = np.searchsorted(rows.offsets, hits + start, side="right") - 1
    dots: NDArray[np.float64] = np.bincount(row_of_hit, weights=products, minlength=len(rows))  # type: ignore[assignment]
    overlaps = np.bincount(row_of_hit, minlength=len(rows)) > 0
    return dots, overlaps
