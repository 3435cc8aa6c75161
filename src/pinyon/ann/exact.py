"""Exact scores of dense vectors, and the choice of the best: the oracle of every structure to come.

Scores are computed in two passes. The first multiplies all rows by the query in float32 with BLAS, which is fast and
releases the GIL, but whose last bits depend on where a row lies. The second computes the few best again in float64, row
by row, so that equal vectors get equal scores and ties break by id, never by chance. Between the passes every row is
kept whose float32 score could still belong to the best: see `slack`.

"Goodness" below is the score with the sign that makes larger better: the score itself, or minus the squared distance.
"""

from typing import Final

import numpy as np

from pinyon.model.metric import Metric
from pinyon.model.record import Float32s, Float64s, Int64s, Mask

_FLOAT32_ROUNDING = 2.0**-24
_FLOAT32_MAX = float(np.finfo(np.float32).max)

_COPIED_BYTES: Final = 2 * 1024 * 1024
"""Of rows that are copied at once, to be scored in float64."""


def goodness(rows: Float32s, squared_norms: Float64s, query: Float32s, metric: Metric) -> Float32s:
    """Approximate goodness of each row.

    Args:
        rows: `(n, dimension)` float32.
        squared_norms: `(n,)` float64, squared length of each row.
        query: `(dimension,)` float32.
        metric: how to compare.

    Returns:
        `(n,)` float32, within `slack` of the exact value. Where float32 could overflow or lose all bits, which is of
        some rows or with some queries, it is computed in float64 instead.
    """
    query_norm = float(np.vdot(query.astype(np.float64), query.astype(np.float64)))
    with np.errstate(over="ignore", invalid="ignore"):
        approximate = _float32_goodness(rows, squared_norms, query, query_norm, metric)
    wide = np.flatnonzero(_leaves_float32(squared_norms) | _leaves_float32(np.array(query_norm)))
    if len(wide):
        approximate[wide] = to_float32(exact_goodness_at(rows, wide, query, metric))
    return approximate


def _float32_goodness(
    rows: Float32s, squared_norms: Float64s, query: Float32s, query_norm: float, metric: Metric
) -> Float32s:
    dots: Float32s = rows @ query
    if metric is Metric.DOTPRODUCT:
        return dots
    if metric is Metric.COSINE:
        scale = np.sqrt(squared_norms * query_norm).astype(np.float32)
        return np.divide(dots, scale, out=np.zeros_like(dots), where=scale > 0)
    return (2.0 * dots - squared_norms - query_norm).astype(np.float32)


def exact_goodness(rows: Float32s, query: Float32s, metric: Metric) -> Float64s:
    """Goodness of each row in float64, `(n,)`; the same for equal rows wherever they lie."""
    wide_rows, wide_query = rows.astype(np.float64), query.astype(np.float64)
    if metric is Metric.EUCLIDEAN:
        wide_rows -= wide_query
        distances: Float64s = np.vecdot(wide_rows, wide_rows)
        return -distances
    dots: Float64s = np.vecdot(wide_rows, wide_query)
    if metric is Metric.DOTPRODUCT:
        return dots
    scale = np.sqrt(np.vecdot(wide_rows, wide_rows) * np.vdot(wide_query, wide_query))
    cosines: Float64s = np.divide(dots, scale, out=np.zeros_like(dots), where=scale > 0)
    return cosines


def exact_goodness_at(rows: Float32s, places: Int64s, query: Float32s, metric: Metric) -> Float64s:
    """The same of the rows at some places, `(m,)`, of which a few MiB are copied at a time."""
    step = max(_COPIED_BYTES // query.nbytes, 1)
    parts = (places[start : start + step] for start in range(0, len(places), step))
    return np.concatenate([np.zeros(0), *(exact_goodness(rows[part], query, metric) for part in parts)])


def to_float32(goodness: Float64s) -> Float32s:
    """The nearest float32 that is finite: an order of scores has no place for infinities, and JSON none for them."""
    return np.clip(goodness, -_FLOAT32_MAX, _FLOAT32_MAX).astype(np.float32)


def slack(squared_norm_max: float, query: Float32s, metric: Metric) -> float:
    """How far a float32 goodness may be from the exact one.

    The error of a float32 dot product of length d is at most `d * 2**-24 * |row| * |query|` (Higham, Accuracy and
    Stability of Numerical Algorithms, 3.1). The squared norms are such products too, which adds at most as much again,
    and a few more roundings follow.
    """
    roundings = (2 * len(query) + 8) * _FLOAT32_ROUNDING
    if metric is Metric.COSINE:
        return roundings
    query_norm = float(np.vdot(query.astype(np.float64), query.astype(np.float64)))
    if metric is Metric.DOTPRODUCT:
        return roundings * float(np.sqrt(squared_norm_max * query_norm))
    return 2 * roundings * (squared_norm_max + query_norm)


def slack_of_sums(sums: Float32s, squared_norm_max: float, query: Float32s, metric: Metric) -> float:
    """The same where something known exactly was added to each, and the sum rounded to float32 once more."""
    return float(np.abs(sums).max()) * 2.0**-22 + slack(squared_norm_max, query, metric)


def best_candidates(scores: Float32s, top_k: int, slack: float) -> Int64s:
    """Positions, ascending, whose score could be among the `top_k` best when each may be off by `slack`."""
    if top_k >= len(scores):
        return np.arange(len(scores))
    kth = float(np.partition(scores, len(scores) - top_k)[len(scores) - top_k])
    # float32 has no room for a bound far below the scores; `slack` covers the rounding of any other.
    bound = np.float32(max(kth - 2 * slack, -_FLOAT32_MAX))
    return np.flatnonzero(scores >= bound)


def _leaves_float32(squared_norms: Float64s) -> Mask:
    """Which vectors of these squared lengths float32 cannot multiply. Those of zeros it can."""
    return (squared_norms > 1e30) | ((squared_norms > 0) & (squared_norms < 1e-24))
