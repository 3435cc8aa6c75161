"""Search among quantised partitions: estimates for the rows of the nearest partitions, or of all.

The arrays, which may be mapped, and how they are built: `quantiser`. Thread rule: any thread may search.
"""

from typing import Final

import numpy as np

from pinyon.ann import codes
from pinyon.ann.candidates import Aim, Candidates, best_of, best_places
from pinyon.ann.encoded_rows import Asked, EncodedRows
from pinyon.ann.partition_order import PartitionOrder
from pinyon.ann.partitions import group
from pinyon.ann.quantiser import Encoder, Model, train, training_rows
from pinyon.ann.rotation import Rotation
from pinyon.ann.row_ranges import RowRanges
from pinyon.ann.space import Space
from pinyon.model.ordered import is_member
from pinyon.model.record import Float32s, Int64s, Mask, UInt64s

__all__ = ["Encoder", "Model", "Quantised", "group", "train", "training_rows"]

_SCANNED_SHARE_MAX: Final = 0.6
"""To copy the codes of more partitions than this share of all rows takes longer than to look at all where they are."""

_ENOUGH: Final = 0.8
"""The share of the rows of the nearest partitions, dead ones too, that is enough to be seen alive and allowed."""

_SPREAD_POWER: Final = 0.35
"""Of one row in ten, the nearest are in about twice as many partitions (measured on real texts)."""

_FEW_ROWS: Final = 2048
"""All of so few allowed rows are looked at, in less time than it takes to choose partitions."""

_ALLOWED_PARTITIONS_MIN: Final = 16
"""With fewer partitions that have allowed rows, chance decides in which the best of them are."""

_WIDER: Final = 2
"""How many times the partitions are looked into where too few were; and so many times the pool is returned then, as
rows that are spread out are more alike, and estimates tell them apart worse."""

_ROUNDING: Final = 1e-6
"""No estimate is surer than this: float32 has seven digits. Goodness in the space is about 1, or for a query that is
far away about as much as its length."""

_LATE_ROWS_MIN: Final = 20
"""A search among allowed rows goes on, with more partitions, while the later half of the rows that it saw has more of
the best, of so many at least, than may be missed, to the nearest whole: each time about half as many are found as
before. At .97 that is one of 20; at .99 it is none."""


class Quantised:
    """Encoded rows of one segment."""

    def __init__(self, model: Model, starts: Int64s, words: UInt64s, factors: Float32s, constants: Float32s) -> None:
        """Search these arrays."""
        self._model = model
        self._rotation = Rotation(model.space.dimension, model.seed)
        self._long_rows = model.space.long_rows
        self._rotated_mean = self._rotation(model.mean[None])[0]
        self._rows = EncodedRows(starts, words, factors, constants)
        self._order: PartitionOrder | None = None

    @property
    def space(self) -> Space:
        """Where estimates are goodness."""
        return self._model.space

    @property
    def least_sure_row(self) -> int:
        """The row with the largest error, but for long ones."""
        factors = self._rows.factors.copy()
        factors[self._long_rows] = -1
        return int(factors.argmax())

    @property
    def row_count(self) -> int:
        """Rows, dead ones too."""
        return self._rows.row_count

    @property
    def partition_count(self) -> int:
        """How many partitions there are; more `probes` than these mean all."""
        return self._rows.partition_count

    def candidates(
        self,
        query: Float32s,
        pool: int,
        *,
        probes: int | None = None,
        allowed: Int64s | None = None,
        alive: Mask | None = None,
        aim: Aim | None = None,
    ) -> Candidates:
        """The rows with the best estimates.

        Args:
            query: `(dimension,)` float32, as it came.
            pool: how many rows to return, at least 1.
            probes: look into so many of the nearest partitions; None for all. Where few of their rows are allowed and
                alive, further ones are visited.
            allowed: rows that may be returned, ascending int64; None for all.
            alive: `(row_count,)`, True where a row may be returned; None for all.
            aim: with `allowed`, look into further partitions while that finds more of the best; None: never.

        Returns:
            `pool` candidates, or twice as many where `aim` took further partitions, or all rows that may be returned
            where they are fewer; and of the long rows, those that may be. Their estimates are off by more than the
            goodness of other rows.
        """
        if allowed is not None and alive is not None:
            allowed, alive = allowed[alive[allowed]], None
        moved = self._model.space.query(query)
        prepared = codes.prepare(self._rotation(moved[None])[0] - self._rotated_mean)
        near = self._model.centroids @ moved
        asked = Asked(moved, prepared, near, near * np.float32(self._model.multiplier))
        if allowed is not None:
            found = self._among_allowed(asked, pool, probes, allowed, aim)
            return self._with_long_rows(found, self._long_rows[is_member(self._long_rows, allowed)], asked)
        partitions, ranges = self._visited(asked, probes, pool, alive)
        estimates = self._rows.estimates_of_partitions(asked, partitions, ranges)
        if alive is not None:
            estimates[~ranges.cut(alive)] = -np.inf
        best = best_places(estimates, pool)
        found = Candidates(best if partitions is None else ranges.rows(best), estimates[best], prepared.error)
        long_rows = self._long_rows if alive is None else self._long_rows[alive[self._long_rows]]
        return self._with_long_rows(found, long_rows, asked)

    def looked_at(self, pool: int, probes: int | None, allowed_count: int | None = None) -> float:
        """About how many estimates `candidates` makes; `allowed_count` is that of allowed rows, None for all."""
        if allowed_count is not None and (probes is None or allowed_count <= _FEW_ROWS):
            return allowed_count
        share = 1.0 if probes is None else min(probes / self.partition_count, 1.0)
        if allowed_count is None:
            return share * self.row_count
        fewest = allowed_count * _ALLOWED_PARTITIONS_MIN / self.partition_count
        return min(max(self._enough(share * self.row_count, pool, allowed_count), fewest), allowed_count)

    def _enough(self, size: float, pool: int, allowed_count: int) -> float:
        """How many allowed rows are to be looked at, where partitions with `size` rows are enough of all."""
        spread: float = (allowed_count / self.row_count) ** (1 - _SPREAD_POWER)
        return max(_ENOUGH * size * spread, pool)

    def errors(self, rows: Int64s, error: float) -> Float32s:
        """The standard errors of the estimates of some rows, infinite for long ones; `error` is `Candidates.error`."""
        errors: Float32s = np.take(self._rows.factors, rows)
        errors *= np.float32(error)
        np.maximum(errors, np.float32(_ROUNDING * max(error, 1)), out=errors)
        if len(self._long_rows):
            errors[is_member(rows, self._long_rows)] = np.inf
        return errors

    def _with_long_rows(self, found: Candidates, long_rows: Int64s, asked: Asked) -> Candidates:
        missing = long_rows[~is_member(long_rows, found.rows)]
        if not len(missing):
            return found
        rows = np.concatenate((found.rows, missing))
        estimates = np.concatenate((found.estimates, self._rows.estimates(asked, missing)))
        order = np.argsort(rows)
        return found._replace(rows=rows[order], estimates=estimates[order])

    def _partitions(self, asked: Asked) -> Int64s:
        """All partitions, the one that promises most first."""
        if self._order is None:
            self._order = PartitionOrder(
                self._model, self._rows.starts, self._rows.factors, self._rotation.padded_width
            )
        return self._order.order(asked.query, asked.near)

    def _visited(
        self, asked: Asked, probes: int | None, pool: int, alive: Mask | None
    ) -> tuple[Int64s | None, RowRanges]:
        """The partitions to look into, ascending, and their rows; None for all of them."""
        total = self.partition_count
        count = total if probes is None else max(probes, 1)
        if count < total:
            order = self._partitions(asked)
            enough = max(_ENOUGH * float(self._rows.sizes[order[:count]].sum()), pool)
            count = max(count, int(np.searchsorted(np.cumsum(self._rows.sizes[order]), enough)) + 1)
            while count < total:
                partitions = np.sort(order[:count])
                ranges = self._rows.ranges(partitions)
                if ranges.row_count > _SCANNED_SHARE_MAX * self.row_count:
                    break
                if alive is None:
                    return partitions, ranges
                seen = int(np.count_nonzero(ranges.cut(alive)))
                if seen >= enough:
                    return partitions, ranges
                count = int(count * min(enough / max(seen, 1), 4)) + 1
        return None, self._rows.ranges(None)

    def _among_allowed(
        self, asked: Asked, pool: int, probes: int | None, allowed: Int64s, aim: Aim | None
    ) -> Candidates:
        """The allowed rows with the best estimates, of the nearest partitions that have any.

        The nearest of fewer rows are farther away, in more partitions, and where a filter has to do with the query, in
        others than those that promise most. So what was found tells whether to look further.
        """
        if probes is None or len(allowed) <= _FEW_ROWS:
            return best_of([self._estimated(asked, allowed)], pool)
        order = self._partitions(asked)
        counts = np.diff(np.searchsorted(allowed, self._rows.starts))
        size = float(self._rows.sizes[order[: max(probes, 1)]].sum())
        order = order[counts[order] > 0]
        seen = np.cumsum(counts[order])
        enough = self._enough(size, pool, len(allowed))
        count = max(int(np.searchsorted(seen, enough)) + 1, _ALLOWED_PARTITIONS_MIN)
        looked_at: list[Candidates] = []
        done = 0
        while count < len(order) and seen[count - 1] <= _SCANNED_SHARE_MAX * len(allowed):
            looked_at.append(self._estimated(asked, self._rows.ranges(np.sort(order[done:count])).select(allowed)))
            found = best_of(looked_at, pool)
            half = int(np.searchsorted(seen, seen[count - 1] / 2)) + 1
            if aim is None or not self._has_late(found, aim, order[:half]):
                return found
            done, count, pool = count, _WIDER * count, _WIDER * pool if done == 0 else pool
        looked_at.append(self._estimated(asked, self._rows.ranges(np.sort(order[done:])).select(allowed)))
        return best_of(looked_at, pool)

    def _has_late(self, found: Candidates, aim: Aim, early: Int64s) -> bool:
        """True if more of the best of what was found than may be missed are in none of some partitions."""
        is_early = np.zeros(self.partition_count, np.bool_)
        is_early[early] = True
        # Long rows are found anyway.
        estimates = np.where(is_member(found.rows, self._long_rows), -np.inf, found.estimates)
        best = found.rows[best_places(estimates, max(2 * aim.top_k, _LATE_ROWS_MIN))]
        late_count = int(np.count_nonzero(~is_early[np.searchsorted(self._rows.starts, best, side="right") - 1]))
        return late_count > round((1 - aim.recall) * len(best))

    def _estimated(self, asked: Asked, rows: Int64s) -> Candidates:
        """Single rows, ascending."""
        return Candidates(rows, self._rows.estimates(asked, rows), asked.prepared.error)
