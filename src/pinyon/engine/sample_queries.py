"""Queries of which it is known what they should find: rows of a segment, or what callers asked.

A row of which there are near duplicates is found far more easily than what callers ask for: its duplicates are next to
it, and nothing else is. Such a row is moved away from them, in a random direction, as far as its 20th neighbour is. So
is a query of a caller who asks for what is there.

The nearest 100 are farther away and in more partitions than the nearest 10, so both are looked for. As each query tells
of ten times as many neighbours, a part of the queries is enough for the 100: rows without near duplicates, as long as
there are enough. Rows that were moved away would have pools grow to thousands, where queries from outside lose nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from pinyon.ann import exact
from pinyon.ann.effort import FEW, MANY
from pinyon.ann.exact import Float64s
from pinyon.engine.part import LiveSegment
from pinyon.engine.true_neighbours import true_neighbours
from pinyon.model.metric import Metric
from pinyon.model.ordered import is_member
from pinyon.model.record import Float32s, Int64s, Mask
from pinyon.segment.checked_column import CheckedColumn

_MANY_QUERIES: Final = 128
"""Queries for many results."""

_FAR_RANK: Final = 20
_DUPLICATE_SHARE: Final = 0.5
"""A row has near duplicates if the nearest is nearer than so much of the squared distance of the 20th."""

_COPY_SHARE: Final = 0.02
"""… and a query of a caller is one: rows that are near to what was asked are what makes it easy."""

_CHUNK_BYTES: Final = 4 * 1024 * 1024
_TINY: Final = 1e-300
_LARGEST: Final = float(np.finfo(np.float32).max)
_ROUNDING: Final = 1e-9
"""By how much of itself the goodness of a row may differ when it is computed among others."""


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """The rows of a segment, of which `without`, ascending int64, are not to be found."""

    dense: CheckedColumn[np.float32]
    metric: Metric
    without: Int64s

    def goodness(self, query: Float32s, rows: Int64s) -> Float64s:
        step = max(_CHUNK_BYTES // (4 * len(query)), 1)
        parts = (rows[start : start + step] for start in range(0, len(rows), step))
        scored = [exact.exact_goodness(self.dense.rows(part), query, self.metric) for part in parts]
        return np.concatenate([np.zeros(0), *scored])


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Queries, and what they should find.

    Attributes:
        queries: `(q, dimension)` float32.
        nearest: their true neighbours, `(q, k)` int64.
        has_ties: `(q,)`, where more rows are as good as the last of these; equally good rows may stand for each other.
        moved_share: of the queries, those that were moved away from near duplicates.
    """

    queries: Float32s
    nearest: Int64s
    has_ties: Mask
    moved_share: float
    _rows: _Rows

    @property
    def top_k(self) -> int:
        """How many rows each query should find."""
        return int(self.nearest.shape[1])

    def every(self, step: int) -> "Sample":
        """Each `step`th of the queries."""
        return replace(self, queries=self.queries[::step], nearest=self.nearest[::step], has_ties=self.has_ties[::step])

    def best(self, number: int, rows: Int64s) -> Int64s:
        """As many true neighbours of a query as the rows are worth that were found for it."""
        nearest: Int64s = self.nearest[number]
        return nearest[: np.count_nonzero(self.is_found(number, rows))]

    def is_found(self, number: int, rows: Int64s) -> Mask:
        """Which of some rows are true neighbours of a query, or as good."""
        nearest = self.nearest[number]
        if not self.has_ties[number]:
            return np.isin(rows, nearest)
        query = self.queries[number]
        least = _rounded_down(self._rows.goodness(query, nearest).min())
        return (self._rows.goodness(query, rows) >= least) & ~is_member(rows, self._rows.without)


class Samples(NamedTuple):
    """What a segment is measured with.

    Attributes:
        rows: those that are the queries, ascending int64; -1 each where callers asked them.
        few: queries for few results.
        many: those of them that are asked for many; None where nothing is.
    """

    rows: Int64s
    few: Sample
    many: Sample | None


def draw_samples(
    live: LiveSegment,
    metric: Metric,
    queries: Float32s | None,
    queries_max: int,
    *,
    has_many: bool,
    check: Callable[[], None],
    seed: int,
) -> Samples:
    """Choose queries, and find their true neighbours among all rows that are none.

    Args:
        live: a dedicated segment.
        metric: how to compare.
        queries: what callers asked, `(q, dimension)` float32; None to take rows.
        queries_max: how many rows to take at most.
        has_many: whether to ask some of them for many results.
        check: called many times a second, and raises to stop.
        seed: chooses rows, and where they are moved to.
    """
    assert live.structures is not None
    assert live.segment.dense is not None
    dense, structures = live.segment.dense, live.structures
    rng = np.random.default_rng(seed)
    if queries is None:
        rows, near_share = _chosen_rows(live.row_count, queries_max, rng), _DUPLICATE_SHARE
        queries = dense.rows(rows)
    else:
        queries, rows, near_share = queries.copy(), np.full(len(queries), -1), _COPY_SHARE
    # Long rows are among the best from anywhere, and tell nothing of what is near.
    long_rows = structures.space.long_rows
    neighbours = true_neighbours(dense, structures, queries, _FAR_RANK, np.union1d(rows, long_rows), check)
    is_moved = np.zeros(len(rows), np.bool_)
    for number, near in enumerate(neighbours):
        query = queries[number]
        moved = moved_away(query, dense.rows(near), metric, near_share, rng)
        is_moved[number] = moved is not query
        queries[number] = moved
    is_for_many = asked_for_many(is_moved) if has_many else np.zeros(len(rows), np.bool_)
    asked = is_moved | is_for_many | (len(long_rows) > 0)
    # One more than is asked for tells whether it is as good as the last.
    found = true_neighbours(dense, structures, queries[asked], (MANY if has_many else FEW) + 1, rows, check)
    neighbours[asked, : FEW + 1] = found[:, : FEW + 1]
    searched = _Rows(dense, metric, rows)
    few = _sample(searched, queries, neighbours[:, : FEW + 1], is_moved)
    many = None
    if has_many:
        many = _sample(searched, queries[is_for_many], found[is_for_many[asked]], is_moved[is_for_many])
    return Samples(rows, few, many)


def _chosen_rows(row_count: int, queries_max: int, rng: np.random.Generator) -> Int64s:
    """Rows to be queries, ascending: so few that the others are as near to one another as all rows are."""
    most = min(max(row_count // 64, 16), max(row_count // 16, 1))
    return np.sort(rng.choice(row_count, min(queries_max, most), replace=False))


def _sample(rows: _Rows, queries: Float32s, neighbours: Int64s, is_moved: Mask) -> Sample:
    """Queries of which one neighbour more is known than is looked for."""
    goodness = [rows.goodness(query, near[-2:]) for query, near in zip(queries, neighbours, strict=True)]
    has_ties = np.array([each[1] >= _rounded_down(each[0]) for each in goodness], np.bool_)
    return Sample(queries, neighbours[:, :-1], has_ties, float(is_moved.mean()), rows)


def _rounded_down(goodness: float) -> float:
    return goodness - _ROUNDING * abs(goodness)


def asked_for_many(is_moved: Mask) -> Mask:
    """Which queries are asked for many results; some that were moved only if the others are too few."""
    numbers = np.flatnonzero(~is_moved)
    if len(numbers) < min(_MANY_QUERIES, len(is_moved)) / 2:
        numbers = np.arange(len(is_moved))
    chosen = np.zeros(len(is_moved), np.bool_)
    # Rows of the same partition are side by side, so from all over.
    chosen[numbers[np.linspace(0, len(numbers) - 1, min(_MANY_QUERIES, len(numbers))).astype(np.int64)]] = True
    return chosen


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
