"""A query over a view: score every row of every block, keep the best, score these exactly, sort.

Numbers are kept as "goodness" (see `pinyon.ann.exact`): larger is better for every metric.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pinyon.ann import exact
from pinyon.ann.exact_sparse import sparse_dots
from pinyon.engine.block import Block
from pinyon.engine.view import BlockView, View
from pinyon.filter.ast import Filter
from pinyon.filter.evaluate import evaluate
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s, Int64s, Mask, Match, SparseColumn, SparseVector

_GATHER_SHARE = 8
"""Below one row in so many, scoring only the chosen rows is cheaper than scoring the block: copying rows costs about
as much as reading them."""


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """What to look for. At least one of `dense` and `sparse` is given; `dense` has the index's dimension.

    With only `sparse`, rows that share no index with it are not results. With both, a row's score is the sum.
    """

    metric: Metric
    top_k: int
    dense: Float32s | None
    sparse: SparseVector | None
    filter: Filter | None
    include_values: bool
    include_metadata: bool


@dataclass(frozen=True, slots=True)
class _Scored:
    """Rows of one block that may be results: `rows`, approximate `goodness` and exact sparse part, each `(m,)`."""

    block: Block
    rows: Int64s
    goodness: Float32s
    sparse_part: NDArray[np.float64]


def search(view: View, plan: SearchPlan) -> list[Match]:
    """The best matches of the view, best first, ties by id; as many as `top_k` when that many rows qualify."""
    scored = [part for part in (_score_block(view, part, plan) for part in view.blocks) if len(part.rows)]
    if not scored:
        return []
    goodness = np.concatenate([part.goodness for part in scored])
    chosen = exact.best_candidates(goodness, plan.top_k, _slack(scored, goodness, plan))
    ends = np.cumsum([len(part.rows) for part in scored])
    candidates: list[tuple[Block, int]] = []
    scores: list[NDArray[np.float64]] = []
    for part, start, end in zip(scored, [0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        mine = chosen[(chosen >= start) & (chosen < end)] - start
        candidates += [(part.block, row) for row in part.rows[mine].tolist()]
        scores.append(_exact_goodness(part, mine, plan))
    return _sorted_matches(candidates, np.concatenate(scores), plan)


def _score_block(view: View, part: BlockView, plan: SearchPlan) -> _Scored:
    block, row_count = part
    mask = _mask(view, part, plan.filter)
    sparse_part = np.zeros(row_count)
    if plan.sparse is not None:
        sparse_part, overlaps = sparse_dots(_sparse_column(block, row_count), plan.sparse)
        if plan.dense is None:
            mask = overlaps if mask is None else mask & overlaps
    rows = np.arange(row_count) if mask is None else np.flatnonzero(mask)
    sparse_part = sparse_part[rows] if mask is not None else sparse_part
    if plan.dense is None:
        return _Scored(block, rows, exact.to_float32(sparse_part), sparse_part)
    goodness = _dense_goodness(block, row_count, rows, plan)
    if plan.sparse is not None:
        goodness = exact.to_float32(goodness + sparse_part)
    return _Scored(block, rows, goodness, sparse_part)


def _dense_goodness(block: Block, row_count: int, rows: Int64s, plan: SearchPlan) -> Float32s:
    assert plan.dense is not None
    assert block.dense is not None
    vectors, norms = block.dense.data[:row_count], block.squared_norms.data[:row_count]
    if len(rows) * _GATHER_SHARE < row_count:
        return exact.goodness(vectors[rows], norms[rows], plan.dense, plan.metric)
    whole = exact.goodness(vectors, norms, plan.dense, plan.metric)
    return whole if len(rows) == row_count else whole[rows]


def _mask(view: View, part: BlockView, condition: Filter | None) -> Mask | None:
    """Rows that are alive and pass the filter; None for all."""
    return view.alive(part) if condition is None else _matching(view, part, condition)


def _matching(view: View, part: BlockView, condition: Filter) -> Mask:
    alive = view.alive(part)
    passed = evaluate(condition, part.block.columns.first_rows(part.row_count))
    return passed if alive is None else passed & alive


def matching_rows(view: View, condition: Filter) -> list[tuple[Block, int]]:
    """All rows that are alive and pass a filter, in no particular order."""
    rows: list[tuple[Block, int]] = []
    for part in view.blocks:
        rows += [(part.block, row) for row in np.flatnonzero(_matching(view, part, condition)).tolist()]
    return rows


def _slack(scored: list[_Scored], goodness: Float32s, plan: SearchPlan) -> float:
    """How far an approximate goodness may be from the exact one, over all blocks."""
    slack = float(np.abs(goodness).max()) * 2.0**-22
    if plan.dense is not None:
        squared_norm_max = max(float(part.block.squared_norms.data[part.rows].max()) for part in scored)
        slack += exact.slack(squared_norm_max, plan.dense, plan.metric)
    return slack


def _exact_goodness(part: _Scored, chosen: Int64s, plan: SearchPlan) -> NDArray[np.float64]:
    if plan.dense is None:
        return part.sparse_part[chosen]
    assert part.block.dense is not None
    rows = part.rows[chosen]
    return exact.exact_goodness(part.block.dense.data[rows], plan.dense, plan.metric) + part.sparse_part[chosen]


def _sorted_matches(
    candidates: list[tuple[Block, int]], goodness: NDArray[np.float64], plan: SearchPlan
) -> list[Match]:
    """The `top_k` best as results. Scores are compared as the float32 that the caller sees."""
    shown = exact.to_float32(goodness)
    ids = [block.ids[row] for block, row in candidates]
    order = np.argsort(-shown, kind="stable").tolist()
    descending = shown[order]
    if (descending[1:] == descending[:-1]).any():
        order.sort(key=lambda position: (-shown[position], ids[position]))
    sign = 1.0 if plan.metric.higher_is_better else -1.0
    # Adding 0.0 turns -0.0 into 0.0.
    return [_match(candidates[position], sign * float(shown[position]) + 0.0, plan) for position in order[: plan.top_k]]


def _match(place: tuple[Block, int], score: float, plan: SearchPlan) -> Match:
    block, row = place
    dense = block.dense.data[row] if plan.include_values and block.dense is not None else None
    sparse = block.sparse(row) if plan.include_values else None
    metadata = block.metadata.row(row) if plan.include_metadata else b""
    return Match(block.ids[row], score, dense, sparse, metadata)


def _sparse_column(block: Block, row_count: int) -> SparseColumn:
    return SparseColumn(block.sparse_offsets.data[: row_count + 1], block.sparse_indices.data, block.sparse_values.data)
