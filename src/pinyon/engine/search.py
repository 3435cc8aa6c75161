"""A query over a view: score its rows, keep the best, score these exactly, sort.

With a dense vector, every row is scored, but for those that the codes of a full block say are far, and what sparse
values add is known exactly by then. With only a sparse one, the rows that share an index with it are. Numbers are kept
as "goodness" (see `pinyon.ann.exact`): larger is better for every metric.
"""

from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal

import numpy as np

from pinyon.ann import exact
from pinyon.ann.exact import Float64s
from pinyon.ann.exact_sparse import dots_at, is_member
from pinyon.engine import part_search
from pinyon.engine.block import Block
from pinyon.engine.matching import matching_mask
from pinyon.engine.part_efforts import scored_in_block
from pinyon.engine.part_search import search_part
from pinyon.engine.places import Place, ids_of, record_at
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.sparse_search import frequencies as frequencies_of
from pinyon.engine.sparse_search import rows_with_all, sparse_dots
from pinyon.engine.view import BlockView, MemtableView, View
from pinyon.filter.ast import Filter
from pinyon.filter.evaluate import evaluate
from pinyon.model.record import Float32s, Int64s, Mask, Match, UInt32s

_GATHER_SHARE = 8
"""Below one row in so many, scoring only the chosen rows is cheaper than scoring the block: copying rows costs about
as much as reading them."""


@dataclass(frozen=True, slots=True)
class _SparseHits:
    """What the sparse values of a view say; all are rows of the memtable, ascending.

    Attributes:
        rows: those that share an index with the query.
        dots: their exact dot products with it.
        required: those that have all required indices; None where none is required.
    """

    rows: Int64s
    dots: Float64s
    required: Int64s | None


@dataclass(frozen=True, slots=True)
class _Scored:
    """Rows of one block that may be results: `rows` and approximate `goodness`, both `(m,)`."""

    part: BlockView
    rows: Int64s
    goodness: Float32s


def search(view: View, plan: SearchPlan) -> list[Match]:
    """The best matches of the view, best first, ties by id; as many as `top_k` when that many rows qualify."""
    places: list[Place] = []
    goodness: list[Float64s] = [np.zeros(0)]
    for memtable in view.memtables:
        hits = _sparse_hits(memtable, plan)
        found, scores = (_dense_candidates if plan.dense is not None else _sparse_candidates)(memtable, hits, plan)
        places += found
        goodness.append(scores)
    for part in view.parts:
        best = search_part(part, view.lsn, plan)
        places += [(part.live, row) for row in best.rows.tolist()]
        goodness.append(best.goodness)
    return _sorted_matches(places, np.concatenate(goodness), plan)


def _sparse_hits(view: MemtableView, plan: SearchPlan) -> _SparseHits:
    required = None
    if plan.required_indices is not None and len(plan.required_indices):
        required = rows_with_all(view, plan.required_indices)
    if plan.sparse is None:
        return _SparseHits(np.zeros(0, np.int64), np.zeros(0), required)
    # Where more than life and score decides, how many rows can be left out is not known yet.
    is_plain = plan.dense is None and plan.filter is None and required is None
    return _SparseHits(*sparse_dots(view, plan.sparse, plan.top_k if is_plain else None), required)


def _sparse_candidates(view: MemtableView, hits: _SparseHits, plan: SearchPlan) -> tuple[list[Place], Float64s]:
    """The best of the hits, with the exact goodness of each."""
    qualified = np.zeros(len(hits.rows), np.bool_)
    for part, mine in view.split(hits.rows):
        qualified[mine] = _qualify(view, part, hits.rows[mine] - part.first_row, plan.filter)
    if hits.required is not None:
        qualified &= is_member(hits.rows, hits.required)
    rows, dots = hits.rows[qualified], hits.dots[qualified]
    chosen = exact.best_candidates(exact.to_float32(dots), plan.top_k, slack=0.0)
    rows = rows[chosen]
    candidates: list[Place] = [
        (part.block, row) for part, mine in view.split(rows) for row in (rows[mine] - part.first_row).tolist()
    ]
    return candidates, dots[chosen]


def _qualify(view: MemtableView, part: BlockView, rows: Int64s, condition: Filter | None) -> Mask | Literal[True]:
    """Which of some rows of a block are alive and pass the filter."""
    alive = part.block.alive_at(rows, view.lsn)
    if condition is None:
        return True if alive is None else alive
    passed = evaluate(condition, part.block.columns.first_rows(part.row_count))[rows]
    return passed if alive is None else passed & alive


def _dense_candidates(view: MemtableView, hits: _SparseHits, plan: SearchPlan) -> tuple[list[Place], Float64s]:
    """Rows that may be the best of all blocks, with the exact goodness of each."""
    scored = [each for each in (_score_block(view, part, hits, plan) for part in view.blocks) if len(each.rows)]
    candidates: list[Place] = []
    if not scored:
        return candidates, np.zeros(0)
    starts = [0, *accumulate(len(each.rows) for each in scored)]
    goodness = np.concatenate([each.goodness for each in scored])
    if len(hits.rows):
        _add_dots(view, scored, starts, hits, goodness)
    chosen = exact.best_candidates(goodness, plan.top_k, _slack(scored, goodness, plan))
    exact_goodness: list[Float64s] = []
    row_numbers: list[Int64s] = []
    for each, (start, end) in zip(scored, pairwise(starts), strict=True):
        rows = each.rows[chosen[(chosen >= start) & (chosen < end)] - start]
        candidates += [(each.part.block, row) for row in rows.tolist()]
        row_numbers.append(rows + each.part.first_row)
        exact_goodness.append(_exact_goodness(each.part.block, rows, plan))
    return candidates, np.concatenate(exact_goodness) + dots_at(np.concatenate(row_numbers), hits.rows, hits.dots)


def _score_block(view: MemtableView, part: BlockView, hits: _SparseHits, plan: SearchPlan) -> _Scored:
    mask = _mask(view, part, hits.required, plan.filter)
    found = _estimated(part, mask, plan)
    if found is not None:
        return found
    rows = np.arange(part.row_count) if mask is None else np.flatnonzero(mask)
    return _Scored(part, rows, _dense_goodness(part.block, part.row_count, rows, plan))


def _estimated(part: BlockView, alive: Mask | None, plan: SearchPlan) -> _Scored | None:
    """The rows that codes say are worth a score; None where all are to be scored."""
    codes, least, query = part.block.codes, scored_in_block(part, plan), plan.dense
    if codes is None or least is None or query is None:
        return None
    best = codes.best(
        query, plan.top_k, least, alive, lambda rows: _dense_goodness(part.block, part.row_count, rows, plan)
    )
    return None if best is None else _Scored(part, best.rows, best.goodness)


def _add_dots(
    view: MemtableView, scored: list[_Scored], starts: list[int], hits: _SparseHits, goodness: Float32s
) -> None:
    """Add what sparse values give to the goodness of all scored rows, which begin at `starts`, block by block."""
    by_first_row = {each.part.first_row: (each.rows, start) for each, start in zip(scored, starts, strict=False)}
    places, dots = [np.zeros(0, np.int64)], [np.zeros(0)]
    for part, mine in view.split(hits.rows):
        rows, start = by_first_row.get(part.first_row, (np.zeros(0, np.int64), 0))
        if len(rows) == part.row_count:
            places.append(hits.rows[mine] + (start - part.first_row))
            dots.append(hits.dots[mine])
        else:
            touched = hits.rows[mine] - part.first_row
            is_scored = is_member(touched, rows)
            places.append(start + np.searchsorted(rows, touched[is_scored]))
            dots.append(hits.dots[mine][is_scored])
    at = np.concatenate(places)
    goodness[at] = exact.to_float32(np.concatenate(dots) + goodness[at].astype(np.float64))


def _dense_goodness(block: Block, row_count: int, rows: Int64s, plan: SearchPlan) -> Float32s:
    assert plan.dense is not None
    assert block.dense is not None
    vectors, norms = block.dense.data[:row_count], block.squared_norms.data[:row_count]
    if len(rows) * _GATHER_SHARE < row_count:
        return exact.goodness(vectors[rows], norms[rows], plan.dense, plan.metric)
    whole = exact.goodness(vectors, norms, plan.dense, plan.metric)
    return whole if len(rows) == row_count else whole[rows]


def _mask(view: MemtableView, part: BlockView, required: Int64s | None, condition: Filter | None) -> Mask | None:
    """Rows that are alive, have what is required and pass the filter; None for all."""
    mask = view.alive(part) if condition is None else matching_mask(view, part, condition)
    if required is None:
        return mask
    has_required = np.zeros(part.row_count, np.bool_)
    start, end = np.searchsorted(required, (part.first_row, part.end))
    has_required[required[start:end] - part.first_row] = True
    return has_required if mask is None else has_required & mask


def frequencies(view: View, indices: UInt32s) -> list[int]:
    """How many rows that the view sees have each of `indices` in their sparse vector."""
    terms, where = np.unique(indices, return_inverse=True)
    counts = np.zeros(len(terms), np.int64)
    for memtable in view.memtables:
        counts += frequencies_of(memtable, terms)
    for part in view.parts:
        counts += part_search.frequencies(part, view.lsn, terms)
    found: list[int] = counts[where].tolist()
    return found


def _slack(scored: list[_Scored], goodness: Float32s, plan: SearchPlan) -> float:
    """How far an approximate goodness may be from the exact one, over all blocks."""
    assert plan.dense is not None
    squared_norm_max = max(float(each.part.block.squared_norms.data[each.rows].max()) for each in scored)
    return exact.slack_of_sums(goodness, squared_norm_max, plan.dense, plan.metric)


def _exact_goodness(block: Block, rows: Int64s, plan: SearchPlan) -> Float64s:
    assert plan.dense is not None
    assert block.dense is not None
    return exact.exact_goodness(block.dense.data[rows], plan.dense, plan.metric)


def _sorted_matches(places: list[Place], goodness: Float64s, plan: SearchPlan) -> list[Match]:
    """The `top_k` best as results. Scores are compared as the float32 that the caller sees."""
    shown = exact.to_float32(goodness)
    order = np.argsort(-shown, kind="stable")
    if plan.top_k < len(order):  # Ids tell only those apart that are as good as the last.
        order = order[: np.searchsorted(-shown[order], -shown[order[plan.top_k - 1]], side="right")]
    ids = ids_of([places[position] for position in order.tolist()])
    descending = shown[order].tolist()
    ranked = sorted(range(len(order)), key=lambda rank: (-descending[rank], ids[rank]))[: plan.top_k]
    sign = 1.0 if plan.metric.higher_is_better else -1.0
    # Adding 0.0 turns -0.0 into 0.0.
    return [_match(places[int(order[rank])], ids[rank], sign * descending[rank] + 0.0, plan) for rank in ranked]


def _match(place: Place, id_: str, score: float, plan: SearchPlan) -> Match:
    if not plan.include_values and not plan.include_metadata:
        return Match(id_, score)
    record = record_at(place)
    return Match(
        id_,
        score,
        record.dense if plan.include_values else None,
        record.sparse if plan.include_values else None,
        record.metadata if plan.include_metadata else b"",
    )
