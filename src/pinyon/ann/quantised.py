"""Search among quantised partitions: estimates for the rows of the nearest partitions, or of all.

The arrays, which may be mapped, and how they are built: `quantiser`. Thread rule: any thread may search.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np

from pinyon.ann import codes
from pinyon.ann.codes import PreparedQuery, UInt16s, UInt64s
from pinyon.ann.exact_sparse import is_member
from pinyon.ann.partitions import group
from pinyon.ann.quantiser import Encoder, Model, train, training_rows
from pinyon.ann.rotation import Rotation
from pinyon.ann.row_ranges import RowRanges
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s, Int64s, Mask

__all__ = ["Candidates", "Encoder", "Model", "Quantised", "group", "train", "training_rows"]

_COPIED_BYTES: Final = 400_000
"""Codes that are copied at once: they stay in a core's cache until they were looked at."""

_GATHERED_SHARE_MAX: Final = 0.65
"""To fetch the codes of more than this share of all rows takes longer than to look at all where they are.

Measured at 6,000 to 1,500,000 rows of 256 to 3,072 dimensions: as long at 0.58 to 0.78. Where the codes of partitions
would be copied, fetching single ones is faster at any share.
"""

_SCANNED_SHARE_MAX: Final = 0.6
"""To copy the codes of more partitions than this share of all rows takes longer than to look at all where they are."""

_TOWARDS_QUERY: Final = 0.25
"""How far towards a query the best rows of a partition lie, in radii: about what is best for some 400 dimensions."""

_ENOUGH: Final = 0.8
"""The share of the rows of the nearest partitions, dead ones too, that is enough to be seen alive and allowed."""

_EVEN_SHARE: Final = 0.7
"""A filter that leaves at least so much of what it leaves elsewhere near a query has nothing to do with the query."""

_SPREAD_POWER: Final = 0.35
"""Of one row in ten, the nearest are in about twice as many partitions (measured on real texts)."""

_FEW_ROWS: Final = 2048


class Candidates(NamedTuple):
    """Rows, `(m,)` int64 ascending, that may be the nearest, and the estimated goodness of each, float32."""

    rows: Int64s
    estimates: Float32s


class _Spread(NamedTuple):
    """Of each partition, `(p,)` float32: the mean length of its residuals, and the mean squared length of its rows."""

    radii: Float32s
    squares: Float32s


class Quantised:
    """Encoded rows of one segment."""

    def __init__(self, model: Model, starts: Int64s, words: UInt64s, factors: Float32s, constants: Float32s) -> None:
        """Search these arrays."""
        self._model = model
        self._rotation = Rotation(model.space.dimension, model.seed)
        self._long_rows = model.space.long_rows
        self._rotated_mean = self._rotation(model.mean[None])[0]
        self._words, self._factors, self._constants = words, factors, constants
        self._starts, self._sizes = starts, np.diff(starts)
        self._copied_rows = max(1, _COPIED_BYTES // (words.itemsize * words.shape[1]))
        self._spread: _Spread | None = None

    @property
    def row_count(self) -> int:
        """Rows, dead ones too."""
        return len(self._factors)

    @property
    def partition_count(self) -> int:
        """How many partitions there are; more `probes` than these mean all."""
        return len(self._sizes)

    def candidates(
        self,
        query: Float32s,
        pool: int,
        *,
        probes: int | None = None,
        allowed: Int64s | None = None,
        alive: Mask | None = None,
    ) -> Candidates:
        """The rows with the best estimates.

        Args:
            query: `(dimension,)` float32, as it came.
            pool: how many rows to return, at least 1.
            probes: look into so many of the nearest partitions; None for all. Where few of their rows are allowed and
                alive, further ones are visited, until about as many such rows were seen as the `probes` partitions have
                rows.
            allowed: rows that may be returned, ascending int64; None for all.
            alive: `(row_count,)`, True where a row may be returned; None for all.

        Returns:
            `pool` candidates, or all rows that may be returned where they are fewer; and of the long rows, those that
            may be. Their estimates are off by more than the goodness of other rows.
        """
        if allowed is not None and alive is not None:
            allowed, alive = allowed[alive[allowed]], None
        moved = self._model.space.query(query)
        prepared = codes.prepare(self._rotation(moved[None])[0] - self._rotated_mean)
        near = self._model.centroids @ moved
        partitions, ranges = self._visited(moved, near, probes, pool, allowed, alive)
        near *= np.float32(self._model.multiplier)
        if allowed is not None:
            rows = allowed if partitions is None else ranges.select(allowed)
            if len(rows) > _GATHERED_SHARE_MAX * self.row_count:
                estimates = self._estimates(prepared, near, None, ranges)[rows]
            else:
                estimates = self._estimates_of_rows(prepared, near, rows)
            best = _best(estimates, pool)
            found = Candidates(rows[best], estimates[best])
            return self._with_long_rows(found, self._long_rows[is_member(self._long_rows, allowed)], prepared, near)
        estimates = self._estimates(prepared, near, partitions, ranges)
        if alive is not None:
            estimates[~ranges.cut(alive)] = -np.inf
        best = _best(estimates, pool)
        found = Candidates(best if partitions is None else ranges.rows(best), estimates[best])
        long_rows = self._long_rows if alive is None else self._long_rows[alive[self._long_rows]]
        return self._with_long_rows(found, long_rows, prepared, near)

    def _with_long_rows(self, found: Candidates, long_rows: Int64s, query: PreparedQuery, near: Float32s) -> Candidates:
        missing = long_rows[~is_member(long_rows, found.rows)]
        if not len(missing):
            return found
        rows = np.concatenate((found.rows, missing))
        estimates = np.concatenate((found.estimates, self._estimates_of_rows(query, near, missing)))
        order = np.argsort(rows)
        return Candidates(rows[order], estimates[order])

    def _visited(
        self,
        query: Float32s,
        near: Float32s,
        probes: int | None,
        pool: int,
        allowed: Int64s | None,
        alive: Mask | None,
    ) -> tuple[Int64s | None, RowRanges]:
        """The partitions to look into, ascending, and their rows; None for all of them.

        `near` are the dot products of `query`, which is in the space, and centroids.
        """
        total = self.partition_count
        count = total if probes is None else max(probes, 1)
        if allowed is not None and len(allowed) <= _FEW_ROWS:
            count = total  # All are looked at, in less time than it takes to choose partitions.
        if count < total:
            order = np.argsort(-self._promise(query, near))
            counts = self._sizes if allowed is None else np.diff(np.searchsorted(allowed, self._starts))
            enough = max(self._enough(order[:count], counts, len(allowed) if allowed is not None else None), pool)
            count = max(count, int(np.searchsorted(np.cumsum(counts[order]), enough)) + 1)
            while count < total:
                partitions = np.sort(order[:count])
                ranges = RowRanges(self._starts[partitions], self._starts[partitions + 1])
                if ranges.row_count > _SCANNED_SHARE_MAX * self.row_count:
                    break
                if alive is None:
                    return partitions, ranges
                seen = int(np.count_nonzero(ranges.cut(alive)))
                if seen >= enough:
                    return partitions, ranges
                count = int(count * min(enough / max(seen, 1), 4)) + 1
        return None, RowRanges(self._starts[:1], self._starts[-1:])

    def _enough(self, nearest: Int64s, counts: Int64s, allowed_count: int | None) -> float:
        """How many rows that may be returned to look at; `nearest` are the partitions that would do without a filter.

        The nearest of fewer rows are farther away, in more partitions. Where the filter leaves less near the query than
        elsewhere, partitions tell little of which of the rest are near, so that the bound is their number alone.
        """
        size = float(self._sizes[nearest].sum())
        if allowed_count is None:
            return _ENOUGH * size
        share = allowed_count / self.row_count
        if float(counts[nearest].sum()) < _EVEN_SHARE * share * size:
            return _ENOUGH * size
        return min(_ENOUGH * size, size * float(share ** (1 - _SPREAD_POWER)))

    def _promise(self, query: Float32s, near: Float32s) -> Float32s:
        """About the best goodness to be found in each partition.

        Rows lie around a centroid in all directions. Those that lie towards the query are nearer than the centroid, by
        a part of the radius: this finds the ten nearest of real texts in a third fewer rows than centroids alone do.
        """
        spread = self._spread or self._measured_spread()
        if self._model.space.metric is not Metric.EUCLIDEAN:
            return near + spread.radii * np.float32(_TOWARDS_QUERY)
        squares = spread.squares - 2 * near  # Less |q|².
        distances = np.sqrt(np.maximum(squares + np.vdot(query, query), 0))
        return spread.radii * distances * np.float32(2 * _TOWARDS_QUERY) - squares

    def _measured_spread(self) -> _Spread:
        # The numbers of a rotated vector sum up to about sqrt(2 D / pi) times its length, so a factor tells the length.
        per_factor = np.sqrt(2 * self._rotation.padded_width / np.pi) / self._model.multiplier
        starts, used = self._starts[:-1], self._sizes > 0
        radii = np.zeros(self.partition_count, np.float32)
        factors = self._factors
        if len(self._long_rows):  # They are found anyway, and would make their partitions promise what is not there.
            factors = factors.copy()
            factors[self._long_rows] = 0
        radii[used] = np.add.reduceat(factors, starts[used]) / self._sizes[used] * per_factor
        squares = np.vecdot(self._model.centroids, self._model.centroids) + radii * radii
        self._spread = _Spread(radii, squares)
        return self._spread

    def _estimates(
        self, query: PreparedQuery, near: Float32s, partitions: Int64s | None, ranges: RowRanges
    ) -> Float32s:
        """Estimates of all rows of some partitions, one after another."""
        if partitions is None:
            distances = _distances(query, [self._words], self.row_count)
            return self._goodness(query, distances, np.repeat(near, self._sizes), self._factors, self._constants)
        distances = _distances(query, self._words_of_partitions(partitions), ranges.row_count)
        return self._goodness(
            query,
            distances,
            np.repeat(near[partitions], self._sizes[partitions]),
            ranges.cut(self._factors),
            ranges.cut(self._constants),
        )

    def _words_of_partitions(self, partitions: Int64s) -> Iterator[UInt64s]:
        at_once = max(1, self._copied_rows * self.partition_count // self.row_count)
        for first in range(0, len(partitions), at_once):
            some = partitions[first : first + at_once]
            yield RowRanges(self._starts[some], self._starts[some + 1]).cut(self._words)

    def _words_of_rows(self, rows: Int64s) -> Iterator[UInt64s]:
        for first in range(0, len(rows), self._copied_rows):
            yield np.take(self._words, rows[first : first + self._copied_rows], axis=0)

    def _estimates_of_rows(self, query: PreparedQuery, near: Float32s, rows: Int64s) -> Float32s:
        """Estimates of single rows, ascending."""
        distances = _distances(query, self._words_of_rows(rows), len(rows))
        if len(rows) < self.partition_count:  # Few are looked for among many.
            of_rows = near[np.searchsorted(self._starts, rows, side="right") - 1]
        else:
            of_rows = np.repeat(near, np.diff(np.searchsorted(rows, self._starts)))
        return self._goodness(query, distances, of_rows, self._factors[rows], self._constants[rows])

    def _goodness(
        self,
        query: PreparedQuery,
        distances: UInt16s,
        near: Float32s,
        factors: Float32s,
        constants: Float32s,
    ) -> Float32s:
        estimates = np.multiply(distances, np.float32(-query.scale), dtype=np.float32)
        estimates += np.float32(query.offset)
        estimates *= factors
        estimates += near
        estimates += constants
        return estimates


def _distances(query: PreparedQuery, parts: Iterable[UInt64s], row_count: int) -> UInt16s:
    """The distances of codes that come in parts."""
    distances = np.empty(row_count, np.uint16)
    done = 0
    for words in parts:
        codes.distances(words, query.planes, distances[done : done + len(words)])
        done += len(words)
    return distances


def _best(estimates: Float32s, pool: int) -> Int64s:
    """Positions, ascending, of the `pool` best estimates above minus infinity."""
    count = len(estimates)
    if pool >= count:
        return np.flatnonzero(estimates > -np.inf)
    best = np.argpartition(estimates, count - pool)[count - pool :]
    best.sort()
    return best[estimates[best] > -np.inf]
