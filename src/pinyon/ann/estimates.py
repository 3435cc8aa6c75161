"""Rows are scored in the order of what they may be worth, as long as one that is left may be among the best.

An estimate has a standard error of its own (`pinyon.ann.quantised.Quantised.errors`): the farther a row is from its
centroid, the less its code tells. So what a row may be worth is told by both. How far the rows that were scored are off
their estimates tells in turn whether these errors are as large as they should be.
"""

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from pinyon.model.record import Float32s, Int64s

ENOUGH_RECALL_MAX: Final = 0.99
"""For more, all rows are to be scored that were chosen: one in some hundreds is missed otherwise."""

_ERRORS: Final = 2.5
"""How many standard errors above its estimate a row is reckoned with. Where errors are as large as goodness differs,
one of 400 rows is missed by that, and with 2 one of 100; of the 100 nearest of real texts none, for a third more rows
that are scored than with 2."""

_SCORED_MIN: Final = 256
_SCORED_TIMES: Final = 8


class Rest(NamedTuple):
    """Of rows that are not given: their best estimate, and the largest error."""

    estimate: float
    error: float


class Scored(NamedTuple):
    """What was scored.

    Attributes:
        places: `(m,)` int64, which of the given rows, those that may be worth most first.
        goodness: `(m,)`, theirs.
        is_enough: True if hardly any other row is among the best.
    """

    places: Int64s
    goodness: Float32s
    is_enough: bool


def scored_min(top_k: int) -> int:
    """How many rows are scored whatever their estimates are, to tell how far others are off."""
    return max(_SCORED_MIN, _SCORED_TIMES * top_k)


# Goodness may be too large for float32: then nothing is sure, and all rows are scored.
@np.errstate(over="ignore", invalid="ignore")
def score_needed(
    estimates: Float32s,
    errors: Float32s,
    score: Callable[[Int64s], Float32s],
    *,
    top_k: int,
    least: int,
    step_max: int,
    rest: Rest | None = None,
) -> Scored:
    """Score rows until hardly any that was not scored is among the best, or all are.

    Args:
        estimates: `(n,)` float32 of the rows.
        errors: `(n,)` float32, their standard errors; infinite where an estimate tells nothing.
        score: the goodness of the rows in some places.
        top_k: how many rows are looked for.
        least: so many rows are scored whatever their estimates are: `scored_min`, or more.
        step_max: no more than so many are scored at once.
        rest: what is known of further rows; None where there are none.
    """
    order = np.argsort(-(estimates + np.float32(_ERRORS) * errors))
    estimates, errors = estimates[order], errors[order]
    certainty = np.divide(1.0, errors.astype(np.float64), out=np.zeros(len(errors)), where=errors > 0)
    goodness = np.empty(len(order), np.float32)
    count, squares = 0, 0.0
    while count < len(order):
        step = least - count if count < least else count // 2
        chunk = slice(count, min(count + min(step, step_max), len(order)))
        goodness[chunk] = score(order[chunk])
        off = (goodness[chunk] - estimates[chunk]) * certainty[chunk]
        count, squares = chunk.stop, squares + float(np.vdot(off, off))
        if count < least:
            continue
        # Errors are taken to be as large as they should be at least: some rows that look best do so by chance.
        times = max(1.0, math.sqrt(squares / max(int(np.count_nonzero(certainty[:count])), 1)))
        last = np.partition(goodness[:count], count - top_k)[count - top_k]
        if last > _best_left(estimates[count:], errors[count:], _ERRORS * times, rest):
            return Scored(order[:count], goodness[:count], True)
    return Scored(order, goodness, rest is None)


def _best_left(estimates: Float32s, errors: Float32s, times: float, rest: Rest | None) -> float:
    """What a row that was not scored may be worth, so many errors above its estimate."""
    best = float((estimates + np.float32(times) * errors).max(initial=-np.inf))
    return best if rest is None else max(best, rest.estimate + times * rest.error)
