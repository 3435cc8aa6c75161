"""Queries of which it is known what they should find: rows of a segment, or what callers asked.

What callers ask is not there yet, mostly. A row of which there are near copies would be found far more easily: they are
next to it, and nothing else is. So rows are held back together with their copies: where these are thousands of things,
some versions of each, a query is a thing of which no version is there. Queries and rows that are left are then to each
other as those of the next thing that comes. (Measured on real texts, repeated with noise, and on vectors of few hidden
dimensions, with 3 to 12 versions each: such queries lose 0.9 to 1.6 times as much as queries from outside. Rows that
were moved away from their copies instead lost from hardly anything to 12 times as much. The table is in decision 13.)

The nearest 100 are farther away and in more partitions than the nearest 10, so both are looked for. As each query tells
of ten times as many neighbours, a part of the queries is enough for the 100.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from pinyon.ann import exact
from pinyon.ann.effort import FEW, MANY
from pinyon.engine.part import LiveSegment
from pinyon.engine.true_neighbours import true_neighbours
from pinyon.model.metric import Metric
from pinyon.model.ordered import is_member
from pinyon.model.record import Float32s, Float64s, Int64s, Mask
from pinyon.segment.checked_column import CheckedColumn

_MANY_QUERIES: Final = 128
"""Queries for many results."""

_COPIES_MAX: Final = 50
_COPY_GAP: Final = 1.5
"""Neighbours are near copies up to a gap: where the squared distance of the next one is so many times as large."""

_HELD_BACK_SHARE: Final = 0.05
"""The share of all rows that may be held back. A graph to which twelve copies of a thing are added last hardly leads to
them: .82 of these are found where .97 of the others are."""

_QUERIES_MIN: Final = 16
"""So many rows are taken even where they have so many copies that more are held back."""

_CHUNK_BYTES: Final = 4 * 1024 * 1024
_TINY: Final = 1e-300
_COSINE_ROUNDING: Final = 1e-12
"""By how much the cosine of an angle may differ from what it is."""

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
    """

    queries: Float32s
    nearest: Int64s
    has_ties: Mask
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
        held_back: the rows that are the queries and their near copies, ascending int64; none where callers asked them.
        few: queries for few results.
        many: those of them that are asked for many; None where nothing is.
    """

    held_back: Int64s
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
    """Choose queries, and find their true neighbours among all rows that are not held back.

    Args:
        live: a dedicated segment.
        metric: how to compare.
        queries: what callers asked, `(q, dimension)` float32; None to take rows.
        queries_max: how many rows to take at most.
        has_many: whether to ask some of them for many results.
        check: called many times a second, and raises to stop.
        seed: chooses rows.
    """
    assert live.structures is not None
    assert live.segment.dense is not None
    dense, structures = live.segment.dense, live.structures
    if queries is None:
        chosen = _chosen_rows(live.row_count, queries_max, np.random.default_rng(seed))
        queries, neighbours, held_back = _with_copies(live, metric, chosen, check)
    else:
        neighbours, held_back = np.zeros((len(queries), 0), np.int64), np.zeros(0, np.int64)

    def nearest(of: Float32s, count: int) -> Int64s:
        """One more than is asked for tells whether it is as good as the last."""
        return true_neighbours(dense, structures, of, count + 1, held_back, check)

    is_left = ~is_member(neighbours, held_back)
    # Long rows were not among the neighbours.
    is_known = (is_left.sum(axis=1) > FEW) & (len(structures.space.long_rows) == 0)
    few = np.empty((len(queries), FEW + 1), np.int64)
    for number in np.flatnonzero(is_known):
        few[number] = neighbours[number, is_left[number]][: FEW + 1]
    few[~is_known] = nearest(queries[~is_known], FEW)
    searched = _Rows(dense, metric, held_back)
    sample = _sample(searched, queries, few)
    if not has_many:
        return Samples(held_back, sample, None)
    # Rows of the same partition are side by side, so from all over.
    some = queries[np.linspace(0, len(queries) - 1, min(_MANY_QUERIES, len(queries))).astype(np.int64)]
    return Samples(held_back, sample, _sample(searched, some, nearest(some, MANY)))


def _chosen_rows(row_count: int, queries_max: int, rng: np.random.Generator) -> Int64s:
    """Rows that may be queries, in random order."""
    most = min(max(row_count // 64, _QUERIES_MIN), max(row_count // 16, 1))
    return rng.choice(row_count, min(queries_max, most), replace=False)


def _with_copies(
    live: LiveSegment, metric: Metric, chosen: Int64s, check: Callable[[], None]
) -> tuple[Float32s, Int64s, Int64s]:
    """As many of the chosen rows as may be held back with their near copies.

    Returns:
        The vectors of these rows, `(q, dimension)` in the order of the rows, their nearest neighbours, `(q, m)` best
        first, none of them long, and all rows that are held back, ascending.
    """
    assert live.structures is not None
    assert live.segment.dense is not None
    dense, structures = live.segment.dense, live.structures
    queries = dense.rows(chosen)
    # So many copies, and one row more that tells where they end; the row itself is mostly the nearest.
    count = min(_COPIES_MAX, live.row_count // 64) + 1
    # Long rows are among the best from anywhere, and tell nothing of what is near.
    neighbours = true_neighbours(dense, structures, queries, count + 1, structures.space.long_rows, check)
    held_back: set[int] = set()
    kept = 0
    for row, query, near in zip(chosen.tolist(), queries, neighbours, strict=True):
        others = near[near != row][:count]
        more = {row, *others[are_copies(dense.rows(others), query, metric)].tolist()} - held_back
        if len(held_back) + len(more) > _HELD_BACK_SHARE * live.row_count and kept >= _QUERIES_MIN:
            break
        held_back |= more
        kept += 1
    order = np.argsort(chosen[:kept])
    return queries[order], neighbours[order], np.array(sorted(held_back), np.int64)


def are_copies(neighbours: Float32s, row: Float32s, metric: Metric) -> Mask:
    """Which neighbours, `(n, dimension)`, of a row, `(dimension,)`, are near copies of it: all up to the last gap."""
    # In float32, squares of numbers from 1e19 on are infinite.
    wide, others = row.astype(np.float64), neighbours.astype(np.float64)
    if metric is Metric.EUCLIDEAN:
        squares, rounding = np.vecdot(others - wide, others - wide), _TINY
    else:
        lengths = np.sqrt(np.vdot(wide, wide) * np.vecdot(others, others))
        squares, rounding = 1 - others @ wide / np.maximum(lengths, _TINY), _COSINE_ROUNDING
    squares = np.maximum(squares, max(_ROUNDING * squares.max(initial=0), rounding))
    ordered = np.sort(squares)
    gaps = np.flatnonzero(ordered[1:] >= _COPY_GAP * ordered[:-1])
    copies: Mask = squares <= (ordered[gaps[-1]] if len(gaps) else -1)
    return copies


def _sample(rows: _Rows, queries: Float32s, neighbours: Int64s) -> Sample:
    """Queries of which one neighbour more is known than is looked for: it tells whether it is as good as the last."""
    goodness = [rows.goodness(query, near[-2:]) for query, near in zip(queries, neighbours, strict=True)]
    has_ties = np.array([each[1] >= _rounded_down(each[0]) for each in goodness], np.bool_)
    return Sample(queries, neighbours[:, :-1], has_ties, rows)


def _rounded_down(goodness: float) -> float:
    return goodness - _ROUNDING * abs(goodness)
