"""Rows that may be the nearest, by their estimates."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pinyon.model.record import Float32s, Int64s, Mask


class Candidates(NamedTuple):
    """Rows that may be the nearest.

    Attributes:
        rows: `(m,)` int64, ascending.
        estimates: the estimated goodness of each, float32.
        error: the standard error of an estimate for a factor of 1: see `Quantised.errors`.
    """

    rows: Int64s
    estimates: Float32s
    error: float

    def where(self, is_kept: Mask) -> "Candidates":
        """Some of them."""
        return self._replace(rows=self.rows[is_kept], estimates=self.estimates[is_kept])


class Aim(NamedTuple):
    """What a search among allowed rows is to find: so many results, and this share of the best on average."""

    top_k: int
    recall: float


def best_places(estimates: Float32s, pool: int) -> Int64s:
    """Positions, ascending, of the `pool` best estimates above minus infinity."""
    count = len(estimates)
    if pool >= count:
        return np.flatnonzero(estimates > -np.inf)
    best = np.argpartition(estimates, count - pool)[count - pool :]
    best.sort()
    return best[estimates[best] > -np.inf]


def best_of(found: Sequence[Candidates], pool: int) -> Candidates:
    """The best of what was found here and there, no row twice."""
    rows = np.concatenate([each.rows for each in found])
    estimates = np.concatenate([each.estimates for each in found])
    best = best_places(estimates, pool)
    if len(found) > 1:
        best = best[np.argsort(rows[best])]
    return Candidates(rows[best], estimates[best], found[0].error)
