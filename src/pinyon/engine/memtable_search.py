"""A query over a memtable: score its rows, keep those that may be the best, score these exactly.

With a dense vector, every row is scored, but for those that the codes of a full block say are far, and what sparse
values add is known exactly by then. With only a sparse one, the rows that share an index with it are. Rows are rows of
the memtable, ascending, unless they are said to be rows of a block.
"""

from typing import Final, Literal, NamedTuple

import numpy as np

from pinyon.ann import exact
from pinyon.ann.exact_sparse import dots_at
from pinyon.engine.block import Block
from pinyon.engine.matching import matching_mask
from pinyon.engine.part_efforts import scored_in_block
from pinyon.engine.part_scoring import NO_HITS, Hits, best_hits
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.sparse_search import rows_with_all, sparse_dots
from pinyon.engine.view import BlockView, MemtableView
from pinyon.filter.ast import Filter
from pinyon.filter.evaluate import evaluate
from pinyon.model.ordered import is_member
from pinyon.model.record import Float32s, Int64s, Mask

_GATHER_SHARE: Final = 8
"""Below one row in so many, scoring only the chosen rows is cheaper than scoring the block: copying rows costs about
as much as reading them."""


class _Scored(NamedTuple):
    """Rows of one block that may be results and their approximate goodness, `(m,)` both; the largest squared length."""

    rows: Int64s
    goodness: Float32s
    squared_norm_max: float


def search_memtable(view: MemtableView, plan: SearchPlan) -> Hits:
    """The best rows that the view sees: at least `top_k` where so many qualify."""
    required = None
    if plan.required_indices is not None and len(plan.required_indices):
        required = rows_with_all(view, plan.required_indices)
    sparse = _sparse_hits(view, plan, required)
    return (_best_sparse if plan.dense is None else _best_dense)(view, plan, sparse, required)


def _sparse_hits(view: MemtableView, plan: SearchPlan, required: Int64s | None) -> Hits:
    """Rows that share an index with the query, dead ones too, and their exact dot products with it."""
    if plan.sparse is None:
        return NO_HITS
    # Where more than life and score decides, how many rows can be left out is not known yet.
    is_plain = plan.dense is None and plan.filter is None and required is None
    return Hits(*sparse_dots(view, plan.sparse, plan.top_k if is_plain else None))


def _best_sparse(view: MemtableView, plan: SearchPlan, sparse: Hits, required: Int64s | None) -> Hits:
    qualified = np.zeros(len(sparse.rows), np.bool_)
    for block, mine in view.split(sparse.rows):
        qualified[mine] = _qualify(view, block, sparse.rows[mine] - block.first_row, plan.filter)
    if required is not None:
        qualified &= is_member(sparse.rows, required)
    return best_hits(sparse.rows[qualified], sparse.goodness[qualified], plan.top_k)


def _qualify(view: MemtableView, block: BlockView, rows: Int64s, condition: Filter | None) -> Mask | Literal[True]:
    """Which of some rows of a block are alive and pass the filter."""
    alive = block.block.alive_at(rows, view.lsn)
    if condition is None:
        return True if alive is None else alive
    passed = evaluate(condition, block.block.columns.first_rows(block.row_count))[rows]
    return passed if alive is None else passed & alive


def _best_dense(view: MemtableView, plan: SearchPlan, sparse: Hits, required: Int64s | None) -> Hits:
    """The rows that may be the best by their approximate goodness, over all blocks, with the exact one."""
    assert plan.dense is not None
    scored = [_score_block(view, block, plan, sparse, required) for block in view.blocks]
    rows = np.concatenate([NO_HITS.rows, *(each.rows for each in scored)])
    if not len(rows):
        return NO_HITS
    goodness = np.concatenate([each.goodness for each in scored])
    slack = exact.slack_of_sums(goodness, max(each.squared_norm_max for each in scored), plan.dense, plan.metric)
    best = rows[exact.best_candidates(goodness, plan.top_k, slack)]
    found = [
        exact.exact_goodness_at(_dense(block.block), best[mine] - block.first_row, plan.dense, plan.metric)
        for block, mine in view.split(best)
    ]
    return Hits(best, np.concatenate(found) + dots_at(best, sparse.rows, sparse.goodness))


def _score_block(
    view: MemtableView, block: BlockView, plan: SearchPlan, sparse: Hits, required: Int64s | None
) -> _Scored:
    mask = _mask(view, block, required, plan.filter)
    rows, goodness = _estimated(block, mask, plan) or _all_scored(block, mask, plan)
    hits = _inside(block, sparse.rows)
    if hits.start < hits.stop:
        dots = np.zeros(block.row_count)
        dots[sparse.rows[hits] - block.first_row] = sparse.goodness[hits]
        goodness = exact.to_float32(goodness + dots[rows])
    squared_norm_max = float(block.block.squared_norms.data[rows].max(initial=0.0))
    return _Scored(rows + block.first_row, goodness, squared_norm_max)


def _mask(view: MemtableView, block: BlockView, required: Int64s | None, condition: Filter | None) -> Mask | None:
    """Rows of a block that are alive, have what is required and pass the filter; None for all."""
    mask = view.alive(block) if condition is None else matching_mask(view, block, condition)
    if required is None:
        return mask
    has_required = np.zeros(block.row_count, np.bool_)
    has_required[required[_inside(block, required)] - block.first_row] = True
    return has_required if mask is None else has_required & mask


def _inside(block: BlockView, rows: Int64s) -> slice:
    """Which of `rows` are in the block."""
    start, end = np.searchsorted(rows, (block.first_row, block.end)).tolist()
    return slice(start, end)


def _estimated(block: BlockView, alive: Mask | None, plan: SearchPlan) -> tuple[Int64s, Float32s] | None:
    """The rows of a block that its codes say are worth a score; None where all are to be scored."""
    codes, least, query = block.block.codes, scored_in_block(block, plan), plan.dense
    if codes is None or least is None or query is None:
        return None
    return codes.best(query, plan.top_k, least, alive, lambda rows: _goodness(block, rows, plan))


def _all_scored(block: BlockView, mask: Mask | None, plan: SearchPlan) -> tuple[Int64s, Float32s]:
    rows = np.arange(block.row_count) if mask is None else np.flatnonzero(mask)
    return rows, _goodness(block, rows, plan)


def _goodness(block: BlockView, rows: Int64s, plan: SearchPlan) -> Float32s:
    """Approximate goodness of some rows of a block."""
    assert plan.dense is not None
    row_count = block.row_count
    vectors, norms = _dense(block.block)[:row_count], block.block.squared_norms.data[:row_count]
    if len(rows) * _GATHER_SHARE < row_count:
        return exact.goodness(vectors[rows], norms[rows], plan.dense, plan.metric)
    whole = exact.goodness(vectors, norms, plan.dense, plan.metric)
    return whole if len(rows) == row_count else whole[rows]


def _dense(block: Block) -> Float32s:
    assert block.dense is not None
    return block.dense.data
