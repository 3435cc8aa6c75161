"""One space for all metrics: where the nearest row of a query is the one with the largest goodness.

Rows and queries are scaled so that no row is longer than 1, and so that goodness orders rows as the metric does:

- cosine: rows and queries of unit length, zeros stay zeros; goodness `<x, q>`;
- dotproduct: rows divided by the largest norm, queries of unit length; goodness `<x, q>`;
- euclidean: rows and queries divided by the largest norm; goodness `2 <x, q> - |x|²`.

A graph walks from row to row, and by dot products it would only ever climb to the longest. For it a dotproduct row gets
one more coordinate, `sqrt(1 - |x|²)`, and a query a zero: then all rows have unit length, and nearest by angle is
largest by dot product (Bachrach et al., Speeding up the Xbox recommender system, RecSys 2014).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from pinyon.model.metric import Metric
from pinyon.model.record import Float32s

_QUERY_NORM_MAX: Final = 1e9
"""Seen from so far away, all rows lie in one direction, and float32 still holds what is computed with such a query."""


@dataclass(frozen=True, slots=True)
class Space:
    """The space of the rows of one segment.

    Attributes:
        metric: how to compare.
        dimension: numbers of a vector.
        norm_max: length of the longest row, at least; 0 where all rows are zeros.
    """

    metric: Metric
    dimension: int
    norm_max: float

    def rows(self, dense: Float32s) -> Float32s:
        """Rows, `(n, dimension)` float32, moved into the space: the same shape, copied."""
        if self.metric is Metric.COSINE:
            return _unit_rows(dense)
        return _divided(dense, self.norm_max)

    def query(self, query: Float32s) -> Float32s:
        """A query, `(dimension,)` float32, moved into the space."""
        if self.metric is Metric.EUCLIDEAN:
            return _seen(query, self.norm_max)
        unit: Float32s = _unit_rows(query[None])[0]
        return unit

    @property
    def graph_width(self) -> int:
        """Coordinates of a row of `graph_rows`."""
        return self.dimension + (self.metric is Metric.DOTPRODUCT)

    def graph_rows(self, dense: Float32s) -> Float32s:
        """Rows as a graph holds them, `(n, graph_width)` float32."""
        rows = self.rows(dense)
        if self.metric is not Metric.DOTPRODUCT:
            return rows
        missing = np.sqrt(np.maximum(1 - np.vecdot(rows, rows), 0))
        return np.concatenate((rows, missing[:, None]), axis=1)

    def graph_query(self, query: Float32s) -> Float32s:
        """A query as a graph wants it, `(graph_width,)` float32."""
        moved = self.query(query)
        return np.append(moved, np.float32(0)) if self.metric is Metric.DOTPRODUCT else moved


def _divided(vectors: Float32s, norm: float) -> Float32s:
    if 1e-30 < norm < 1e30:
        return vectors * np.float32(1 / norm)
    divided: Float32s = (vectors.astype(np.float64) / (norm or 1.0)).astype(np.float32)
    return divided


def _unit_rows(rows: Float32s) -> Float32s:
    """Rows of length 1; zeros stay zeros."""
    with np.errstate(over="ignore", under="ignore"):
        squares = np.vecdot(rows, rows)
    unit: Float32s
    if not len(rows) or (squares.min() > 1e-24 and squares.max() < 1e30):
        unit = rows * (1 / np.sqrt(squares))[:, None]
    else:
        wide = rows.astype(np.float64)
        lengths = np.sqrt(np.vecdot(wide, wide))
        lengths[lengths == 0] = 1
        unit = (wide / lengths[:, None]).astype(np.float32)
    return unit


def _seen(query: Float32s, norm: float) -> Float32s:
    """The query divided by a norm, or one in its direction as far away as float32 allows."""
    wide = query.astype(np.float64) / (norm or 1.0)
    length = float(np.sqrt(np.vdot(wide, wide)))
    seen: Float32s = (wide * min(1.0, _QUERY_NORM_MAX / (length or 1.0))).astype(np.float32)
    return seen
