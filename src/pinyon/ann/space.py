"""One space for all metrics: where the nearest row of a query is the one with the largest goodness.

Rows and queries are moved and scaled so that most rows are no longer than 1, and that goodness orders rows as the
metric does:

- cosine: rows and queries of unit length, zeros stay zeros; goodness `<x, q>`;
- dotproduct: rows divided by the scale, queries of unit length; goodness `<x, q>`;
- euclidean: rows and queries less the origin, divided by the scale; goodness `2 <x, q> - |x|²`.

The origin is in the middle of the rows: what all of them have in common tells them not apart, and would take the digits
that do. To subtract it loses none, as the difference of two float32 numbers is rounded by its own size, not by theirs.

The scale is what most rows are like, and not the longest of them: beside one row that is a hundred times as long, the
numbers of all others would be rounded to zero. The few rows far beyond the scale are *long*: it is known which they
are, and every search has them scored. By dot product they are near to every second query; by distance nothing is near
to them, so that no way in a graph leads there.

A graph walks from row to row, and by dot products it would only ever climb to the longest. For it a dotproduct row gets
one more coordinate, `sqrt(1 - |x|²)`, and a query a zero: then all rows have unit length, and nearest by angle is
largest by dot product (Bachrach et al., Speeding up the Xbox recommender system, RecSys 2014).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pinyon.model.metric import Metric
from pinyon.model.record import Float32s, Int64s

_LENGTH_MAX: Final = 1e9
"""Seen from so far away, all rows lie in one direction, and float32 still holds what is computed with such a vector."""

_SAMPLE_ROWS: Final = 1024
_MEDIAN_ROWS: Final = 256
"""Rows that say where the others are, and of them those whose median is taken, for which all numbers are sorted."""

_CENTRAL_SHARE: Final = 0.9
_SCALED_SHARE: Final = 0.99
"""Shares of euclidean rows: those whose mean is the origin, and those that are no longer than the scale. The rows
beyond are rounded worse in a graph, so they must be few where 97 % are to be found."""

_LONG_ROWS_MAX: Final = 64
_LONG_FACTOR: Final = 2
"""At most so many rows are long, and only those that are so much longer than the rest."""

_LEAST_WORTH: Final = float(np.finfo(np.float32).tiny)
_MOST_WORTH: Final = float(np.finfo(np.float32).max)

_NO_ROWS: Final = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """The space of the rows of one segment.

    Attributes:
        metric: how to compare.
        dimension: numbers of a vector.
        scale: what has length 1 in the space; 0 where all rows are zeros, and of no meaning for cosine.
        origin: `(dimension,)` float32; zeros but for euclidean.
        long_rows: ascending; none for cosine, and for dotproduct all that are longer than the scale.
    """

    metric: Metric
    dimension: int
    scale: float
    origin: Float32s
    long_rows: Int64s

    def rows(self, dense: Float32s) -> Float32s:
        """Rows, `(n, dimension)` float32, moved into the space: the same shape, copied."""
        if self.metric is Metric.COSINE:
            return _unit_rows(dense)
        return _seen(dense, self.origin, self.scale)

    def query(self, query: Float32s) -> Float32s:
        """A query, `(dimension,)` float32, moved into the space."""
        is_euclidean = self.metric is Metric.EUCLIDEAN
        moved = _seen(query[None], self.origin, self.scale) if is_euclidean else _unit_rows(query[None])
        only: Float32s = moved[0]
        return only

    def worth(self, goodness: Float32s, query: Float32s) -> Float32s:
        """What the goodness of rows in the space is worth: goodness as `pinyon.ann.exact` has it, for the query."""
        if self.metric is not Metric.EUCLIDEAN:
            return self.worth_of_difference(goodness, query)
        moved = self.query(query)
        return self.worth_of_difference(goodness - np.vdot(moved, moved), query)

    def worth_of_difference(self, difference: Float32s, query: Float32s) -> Float32s:
        """What differences of goodness in the space are worth: more than nothing, also for a query of zeros."""
        scale = self.scale or 1.0
        if self.metric is Metric.COSINE:
            return difference
        length = float(np.linalg.norm(query.astype(np.float64))) if self.metric is Metric.DOTPRODUCT else scale
        with np.errstate(over="ignore"):
            return difference * np.float32(np.clip(scale * length, _LEAST_WORTH, _MOST_WORTH))

    @property
    def graph_width(self) -> int:
        """Coordinates of a row of `graph_rows`."""
        return graph_width(self.dimension, self.metric)

    def graph_rows(self, dense: Float32s) -> Float32s:
        """Rows as a graph holds them, `(n, graph_width)` float32. Long ones are there at length 1."""
        rows = self.rows(dense)
        if self.metric is not Metric.DOTPRODUCT:
            return rows
        squares = np.vecdot(rows, rows)
        rows /= np.sqrt(np.maximum(squares, 1))[:, None]
        return np.concatenate((rows, np.sqrt(np.maximum(1 - squares, 0))[:, None]), axis=1)

    def graph_query(self, query: Float32s) -> Float32s:
        """A query as a graph wants it, `(graph_width,)` float32."""
        moved = self.query(query)
        return np.append(moved, np.float32(0)) if self.metric is Metric.DOTPRODUCT else moved


def graph_width(dimension: int, metric: Metric) -> int:
    """Coordinates of a row as a graph holds it."""
    return dimension + (metric is Metric.DOTPRODUCT)


def choose_space(metric: Metric, sample: Float32s, squared_norms: NDArray[np.float64]) -> Space:
    """The space that suits some rows, of which none is said to be long.

    Args:
        metric: how to compare.
        sample: `(m, dimension)` float32, at least one, in any order.
        squared_norms: `(n,)` float64, the squared length of each row.
    """
    origin, scale = np.zeros(sample.shape[1], np.float32), 1.0
    if metric is Metric.EUCLIDEAN:
        origin, scale = _middle(sample[:: -(-len(sample) // _SAMPLE_ROWS)].astype(np.float64))
    elif metric is Metric.DOTPRODUCT:
        scale = float(np.sqrt(np.delete(squared_norms, long_rows(squared_norms)).max()))
    return Space(metric, sample.shape[1], scale, origin, _NO_ROWS)


def long_rows(squares: NDArray[np.floating]) -> Int64s:
    """The long ones, ascending, of rows with these squared lengths: as stored for dotproduct, else in the space."""
    rank = len(squares) - 1 - min(_LONG_ROWS_MAX, len(squares) // _LONG_ROWS_MAX)
    rest = np.partition(squares, rank)[rank]
    return np.flatnonzero(squares > _LONG_FACTOR**2 * rest) if rest > 0 else _NO_ROWS


def _middle(sample: NDArray[np.float64]) -> tuple[Float32s, float]:
    """Origin and scale of euclidean rows. A mean of all could be taken anywhere by one row that is far enough away."""
    squares = _squared_distances(sample, np.median(sample[:: -(-len(sample) // _MEDIAN_ROWS)], axis=0))
    origin = sample[squares <= np.quantile(squares, _CENTRAL_SHARE)].mean(axis=0).astype(np.float32)
    lengths = np.sqrt(_squared_distances(sample, origin))
    return origin, float(np.quantile(lengths, _SCALED_SHARE) or lengths.max())


def _squared_distances(rows: NDArray[np.float64], point: NDArray[np.floating]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.vecdot(rows - point, rows - point)
    return found


def _seen(vectors: Float32s, origin: Float32s, scale: float) -> Float32s:
    """Vectors less the origin, divided by the scale; those beyond `_LENGTH_MAX` are brought that near."""
    if 1e-30 < scale < 1e30:
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            seen: Float32s = (vectors - origin) * np.float32(1 / scale)
            if np.vecdot(seen, seen).max(initial=0) < _LENGTH_MAX**2:
                return seen
    wide = (vectors.astype(np.float64) - origin) / (scale or 1.0)
    lengths = np.sqrt(np.vecdot(wide, wide))
    near: Float32s = (wide * (_LENGTH_MAX / np.maximum(lengths, _LENGTH_MAX))[:, None]).astype(np.float32)
    return near


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
