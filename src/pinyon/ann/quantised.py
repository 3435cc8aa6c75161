"""Search among quantised partitions: estimates for the rows of the nearest partitions, or of all.

The arrays, which may be mapped, and how they are built: `quantiser`. Thread rule: any thread may search.
"""

import threading
from itertools import chain, pairwise
from typing import Final, NamedTuple

import numpy as np

from pinyon.ann import codes
from pinyon.ann.codes import PreparedQuery, UInt16s, UInt64s
from pinyon.ann.exact_sparse import is_member
from pinyon.ann.partitions import group
from pinyon.ann.quantiser import BLOCK_ROWS, Encoder, Model, train, training_rows
from pinyon.ann.rotation import Rotation
from pinyon.ann.row_ranges import RowRanges
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s, Int64s, Mask

__all__ = ["BLOCK_ROWS", "Candidates", "Encoder", "Model", "Quantised", "group", "train", "training_rows"]

_BLOCK_ROWS_LOG2: Final = BLOCK_ROWS.bit_length() - 1

_SCANNED_BYTES: Final = 400_000
"""Codes that are looked at together: they and what is made of them stay in a core's cache."""

_GATHER_COST: Final = 4
"""What it takes to fetch and look at the code of a single row, where one among its neighbours takes 1."""

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


class _Scratch(threading.local):
    """Memory to work in, kept by each thread: to get it anew would take as long as to use it."""

    def __init__(self) -> None:
        self.scan = codes.Scratch()
        self._words = np.zeros(0, np.uint64)

    def words(self, word_count: int, row_count: int) -> UInt64s:
        """Room for words, `(word_count, row_count)`, with anything in it."""
        size = word_count * row_count
        if size > len(self._words):
            self._words = np.empty(size, np.uint64)
        return self._words[:size].reshape(word_count, row_count)


_scratch: Final = _Scratch()


class _Spread(NamedTuple):
    """Of each partition, `(p,)` float32: the mean length of its residuals, and the mean squared length of its rows."""

    radii: Float32s
    squares: Float32s


class Quantised:
    """Encoded rows of one segment."""

    def __init__(self, model: Model, starts: Int64s, words: UInt64s, factors: Float32s, constants: Float32s) -> None:
        """Search these arrays; `words` may have any shape with the same bytes in the same order."""
        self._model = model
        self._rotation = Rotation(model.space.dimension, model.seed)
        self._long_rows = model.space.long_rows
        self._rotated_mean = self._rotation(model.mean[None])[0]
        self._word_count = codes.word_count(self._rotation.padded_width)
        self._words = words.reshape(-1, self._word_count, BLOCK_ROWS)
        self._factors, self._constants = factors, constants
        self._starts, self._sizes = starts, np.diff(starts)
        self._blocks_at_once = max(1, _SCANNED_BYTES // (8 * self._word_count * BLOCK_ROWS))
        self._spread: _Spread | None = None
        self._words_of: list[list[UInt64s]] = []

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
            if _GATHER_COST * len(rows) < ranges.row_count:
                estimates = self._estimates_of_rows(prepared, near, rows)
            else:
                positions = rows if partitions is None else ranges.positions(rows)
                estimates = self._estimates(prepared, near, partitions, ranges)[positions]
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
        per_factor = np.sqrt(2 * 64 * self._word_count / np.pi) / self._model.multiplier
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
            distances = self._distances_of_all(query)
            return self._goodness(query, distances, np.repeat(near, self._sizes), self._factors, self._constants)
        distances = self._distances_of_partitions(query, partitions.tolist(), ranges.row_count)
        return self._goodness(
            query,
            distances,
            np.repeat(near[partitions], self._sizes[partitions]),
            ranges.cut(self._factors),
            ranges.cut(self._constants),
        )

    def _distances_of_all(self, query: PreparedQuery) -> UInt16s:
        distances = np.empty((len(self._words), BLOCK_ROWS), np.uint16)
        # Numpy combines two arrays twice as fast as an array and a number.
        planes = np.repeat(query.planes, BLOCK_ROWS, axis=2)
        for start in range(0, len(self._words), self._blocks_at_once):
            part = slice(start, start + self._blocks_at_once)
            codes.distances(self._words[part], planes, _scratch.scan, distances[part])
        return distances.reshape(-1)[: self.row_count]

    def _distances_of_partitions(self, query: PreparedQuery, partitions: list[int], row_count: int) -> UInt16s:
        distances = np.empty(row_count, np.uint16)
        words_of = self._words_of_partitions()
        at_once = max(1, self._blocks_at_once * BLOCK_ROWS * self.partition_count // self.row_count)
        done = 0
        for start in range(0, len(partitions), at_once):
            parts = list(chain.from_iterable(map(words_of.__getitem__, partitions[start : start + at_once])))
            count = sum(part.shape[1] for part in parts)
            words = _scratch.words(self._word_count, count)
            if count:
                np.concatenate(parts, axis=1, out=words)
            codes.distances(words[None], query.planes, _scratch.scan, distances[None, done : done + count])
            done += count
        return distances

    def _words_of_partitions(self) -> list[list[UInt64s]]:
        """Views of the codes of each partition; made at the first search that needs them, by whichever thread."""
        if not self._words_of:
            bounds = self._starts.tolist()
            self._words_of = [
                [
                    self._words[row // BLOCK_ROWS, :, row % BLOCK_ROWS :][:, : end - row]
                    for row in (start, *range((start // BLOCK_ROWS + 1) * BLOCK_ROWS, end, BLOCK_ROWS))
                    if row < end
                ]
                for start, end in pairwise(bounds)
            ]
        return self._words_of

    def _estimates_of_rows(self, query: PreparedQuery, near: Float32s, rows: Int64s) -> Float32s:
        """Estimates of single rows, ascending."""
        distances = np.empty(len(rows), np.uint16)
        numbers = self._words.reshape(-1)
        at_once = self._blocks_at_once * BLOCK_ROWS
        for start in range(0, len(rows), at_once):
            part = rows[start : start + at_once]
            # Shifts, since a division takes four times as long.
            places = (part >> _BLOCK_ROWS_LOG2) * (self._word_count * BLOCK_ROWS) + (part & BLOCK_ROWS - 1)
            words = _scratch.words(self._word_count, len(part))
            for number in range(self._word_count):
                # Every place is there; "clip" spares numpy the copy that it makes to raise an error without harm.
                np.take(numbers[number * BLOCK_ROWS :], places, out=words[number], mode="clip")
            codes.distances(words[None], query.planes, _scratch.scan, distances[None, start : start + at_once])
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


def _best(estimates: Float32s, pool: int) -> Int64s:
    """Positions, ascending, of the `pool` best estimates above minus infinity."""
    count = len(estimates)
    if pool >= count:
        return np.flatnonzero(estimates > -np.inf)
    best = np.argpartition(estimates, count - pool)[count - pool :]
    best.sort()
    return best[estimates[best] > -np.inf]
