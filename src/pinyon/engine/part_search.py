"""A query over one part: rows of a segment that are one namespace's.

Which rows may be results is known exactly: those that are alive, pass the filter and have what is required. Which of
them are worth an exact score is told by

- nothing, where they are few: all are scored;
- the graph, where there is one and a filter leaves not too few of its rows;
- the quantised rows else: all of them, those of the nearest partitions, or those that the filter leaves.

Where sparse values count too, the rows that share an index with the query are candidates of their own, by the sum of
their estimate and what the sparse values add: the others are told apart by their dense vectors alone. Whatever was
chosen is scored exactly, from the float32 rows of the file. Where too few of the chosen rows may be results, more are
looked for, in the end among all rows.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from pinyon.ann import exact, exact_sparse
from pinyon.ann.exact import Float64s
from pinyon.ann.exact_sparse import is_member
from pinyon.ann.graph import Graph
from pinyon.ann.postings import ScannedRows
from pinyon.ann.quantised import Aim
from pinyon.engine.part import GRAPH, Part
from pinyon.engine.part_efforts import EXACT_ROWS_MAX, graph_pool, quantised_effort, scored_count, structure_for
from pinyon.engine.runs import RowPostings
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.sparse_search import rows_with_all_in
from pinyon.engine.structures import Structures
from pinyon.filter.ast import Filter
from pinyon.filter.scanned_columns import ScannedColumns
from pinyon.filter.select import select
from pinyon.model.record import Float32s, Int64s, Lsn, SparseVector, UInt32s

_SCORED_AT_ONCE: Final = 16_384
"""Rows that are scored exactly at once where they lie."""

_COPIED_BYTES: Final = 4 * 1024 * 1024
"""… and the vectors that are copied for it."""

_ENOUGH_ALIVE: Final = 0.8
"""The share of the rows that a structure is asked for that must be alive: more than elsewhere may have died there."""

_NO_ROWS: Final = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Hits:
    """Rows of a segment, ascending, and their exact goodness, float64."""

    rows: Int64s
    goodness: Float64s


def search_part(part: Part, lsn: Lsn, plan: SearchPlan) -> Hits:
    """The best rows of a part that a view at `lsn` sees: at least the best `top_k` of those that were looked at."""
    sparse = _sparse_hits(part, plan.sparse)
    allowed = _allowed_rows(part, lsn, plan)
    if plan.dense is None:
        return _best_sparse(part, lsn, plan, sparse, allowed)
    structures = part.live.structures
    row_count = part.row_count if allowed is None else len(allowed)
    structure = structure_for(part, plan, row_count, has_filter=allowed is not None)
    if structures is None or structure is None:
        rows = _alive(part, lsn, np.arange(part.rows.start, part.rows.stop)) if allowed is None else allowed
        return _best_scored(part, rows, plan, sparse)
    graph = structures.graph if structure == GRAPH else None
    rows = _candidates(part, lsn, plan, allowed, structures, graph)
    if len(sparse.rows):
        rows = np.union1d(rows, _sparse_candidates(part, lsn, plan, allowed, structures, sparse))
    return _best_scored(part, rows, plan, sparse)


def matching_rows(part: Part, lsn: Lsn, condition: Filter) -> Int64s:
    """The rows of a part that a view at `lsn` sees and that pass a filter, ascending."""
    return _alive(part, lsn, _passing(part, condition))


def postings_of_part(part: Part) -> list[RowPostings]:
    """The postings of the sparse values of a part, by rows of the segment."""
    if part.live.structures is not None:
        return list(part.live.structures.runs)
    start, stop = part.rows.start, part.rows.stop
    column = part.live.segment.sparse_rows(start, stop)
    if column.offsets[0] == column.offsets[-1]:
        return []
    return [RowPostings(np.arange(start, stop), ScannedRows(column))]


def frequencies(part: Part, lsn: Lsn, terms: UInt32s) -> Int64s:
    """How many rows of a part that a view at `lsn` sees have each of `terms`, which ascend."""
    counts = np.zeros(len(terms), np.int64)
    for run in postings_of_part(part):
        alive = part.live.alive_at(run.row_numbers, lsn)
        lists = run.postings.lists(terms)
        counts += np.array(
            [len(each.rows) if alive is None else np.count_nonzero(alive[each.rows]) for each in lists], np.int64
        )
    return counts


def _allowed_rows(part: Part, lsn: Lsn, plan: SearchPlan) -> Int64s | None:
    """The rows that may be results, ascending; None where only their being alive counts."""
    allowed: Int64s | None = None
    if plan.filter is not None:
        allowed = _passing(part, plan.filter)
    if plan.required_indices is not None and len(plan.required_indices):
        required = rows_with_all_in(postings_of_part(part), plan.required_indices)
        allowed = required if allowed is None else required[is_member(required, allowed)]
    return None if allowed is None else _alive(part, lsn, allowed)


def _passing(part: Part, condition: Filter) -> Int64s:
    if part.live.structures is not None:
        return part.live.structures.selections.rows(condition)
    start, stop = part.rows.start, part.rows.stop
    columns = ScannedColumns(part.live.segment.metadata_slice(start, stop))
    return select(condition, columns).rows() + start


def _alive(part: Part, lsn: Lsn, rows: Int64s) -> Int64s:
    alive = part.live.alive_at(rows, lsn)
    return rows if alive is None else rows[alive]


def _sparse_hits(part: Part, vector: SparseVector | None) -> Hits:
    """The rows that share an index with a vector, dead ones too, and the dot product of each with it."""
    if vector is None:
        return Hits(_NO_ROWS, np.zeros(0))
    query = exact_sparse.sparse_query(vector)
    found = [_NO_ROWS], [np.zeros(0)]
    for run in postings_of_part(part):
        rows, dots = exact_sparse.sparse_dots(run.postings, query)
        found[0].append(run.row_numbers[rows])
        found[1].append(dots)
    return Hits(np.concatenate(found[0]), np.concatenate(found[1]))


def _best_sparse(part: Part, lsn: Lsn, plan: SearchPlan, sparse: Hits, allowed: Int64s | None) -> Hits:
    hits = _that_may(part, lsn, sparse, allowed)
    return _best(hits.rows, hits.goodness, plan.top_k)


def _that_may(part: Part, lsn: Lsn, hits: Hits, allowed: Int64s | None) -> Hits:
    """Those of the hits that may be results."""
    may = part.live.alive_at(hits.rows, lsn) if allowed is None else is_member(hits.rows, allowed)
    return hits if may is None else Hits(hits.rows[may], hits.goodness[may])


def _candidates(
    part: Part, lsn: Lsn, plan: SearchPlan, allowed: Int64s | None, structures: Structures, graph: Graph | None
) -> Int64s:
    """Rows that are alive and allowed and may be the nearest by their dense vectors; `graph` is asked first."""
    assert plan.dense is not None
    wanted = plan.top_k if part.live.alive_count >= plan.top_k else part.alive_count(lsn)
    if allowed is not None:
        wanted = min(plan.top_k, len(allowed))
    if graph is not None:
        rows = _from_graph(part, lsn, plan, allowed, graph)
        if rows is not None and len(rows) >= wanted:
            return rows
    effort = quantised_effort(part, plan)
    pool = effort.pool
    if allowed is not None:
        aim = Aim(plan.top_k, plan.target_recall)
        return structures.quantised.candidates(plan.dense, pool, probes=effort.probes, allowed=allowed, aim=aim).rows
    found = structures.quantised.candidates(plan.dense, _with_dead(part, pool), probes=effort.probes)
    rows = _alive(part, lsn, found.rows)
    if len(rows) >= max(wanted, _ENOUGH_ALIVE * min(pool, part.live.alive_count)):
        return rows
    alive = part.live.alive(0, part.live.row_count, lsn)
    return structures.quantised.candidates(plan.dense, pool, probes=effort.probes, alive=alive).rows


def _with_dead(part: Part, count: int) -> int:
    """How many rows to ask for, so that about `count` of them are alive."""
    return min(count * part.live.row_count // max(part.live.alive_count, 1), part.live.row_count)


def _from_graph(part: Part, lsn: Lsn, plan: SearchPlan, allowed: Int64s | None, graph: Graph) -> Int64s | None:
    """Rows of the graph that are alive and allowed; None where they are too few."""
    assert plan.dense is not None
    pool = graph_pool(part, plan)
    if allowed is None:
        rows = _alive(part, lsn, graph.search(plan.dense, _with_dead(part, pool)))
        enough = min(pool, part.live.alive_count) * _ENOUGH_ALIVE
    else:
        # As many allowed rows are near the query as elsewhere, or there is something that both have in common.
        count = pool * part.row_count // len(allowed)
        found = graph.search(plan.dense, count + count // 4)
        rows, enough = found[is_member(found, allowed)], pool
    return np.sort(rows[: scored_count(graph, pool, plan.top_k)]) if len(rows) >= enough else None


def _sparse_candidates(
    part: Part, lsn: Lsn, plan: SearchPlan, allowed: Int64s | None, structures: Structures, sparse: Hits
) -> Int64s:
    """Of the rows that share an index with the query, those that may be best by the sum of both scores."""
    assert plan.dense is not None
    hits = _that_may(part, lsn, sparse, allowed)
    rows, dots = hits.rows, hits.goodness
    pool = max(100, quantised_effort(part, plan).pool)
    if len(rows) <= pool:
        return rows
    estimated = structures.quantised.candidates(plan.dense, len(rows), allowed=rows)
    # In the space of the segment, rows are divided by its scale and the query has length 1.
    scale = structures.space.scale * float(np.linalg.norm(plan.dense.astype(np.float64)))
    return rows[exact.best_candidates(exact.to_float32(estimated.estimates * scale + dots), pool, slack=0.0)]


def _best_scored(part: Part, rows: Int64s, plan: SearchPlan, sparse: Hits) -> Hits:
    """The best of `rows`, all of which may be results, by their exact scores."""
    assert plan.dense is not None
    at_once = _SCORED_AT_ONCE if _is_range(rows) else max(_COPIED_BYTES // plan.dense.nbytes, EXACT_ROWS_MAX)
    chunks = (rows[start : start + at_once] for start in range(0, len(rows), at_once))
    goodness = np.concatenate([np.zeros(0), *(_scores(part, chunk, plan, sparse) for chunk in chunks)])
    return _best(rows, goodness, plan.top_k)


def _is_range(rows: Int64s) -> bool:
    return len(rows) > 0 and int(rows[-1]) - int(rows[0]) + 1 == len(rows)


def _scores(part: Part, rows: Int64s, plan: SearchPlan, sparse: Hits) -> Float64s:
    """Exact goodness, of the sum where sparse values count too. Of many rows only the best are scored in float64."""
    assert plan.dense is not None
    dense = part.live.segment.dense
    assert dense is not None
    vectors: Float32s = dense.slice(int(rows[0]), int(rows[-1]) + 1) if _is_range(rows) else dense.rows(rows)
    dots = exact_sparse.dots_at(rows, sparse.rows, sparse.goodness)
    if len(rows) <= EXACT_ROWS_MAX:
        return exact.exact_goodness(vectors, plan.dense, plan.metric) + dots
    norms = part.live.segment.squared_norms.rows(rows)
    approximate = exact.goodness(vectors, norms, plan.dense, plan.metric)
    summed = exact.to_float32(approximate.astype(np.float64) + dots)
    slack = exact.slack_of_sums(summed, float(norms.max()), plan.dense, plan.metric)
    chosen = exact.best_candidates(summed, plan.top_k, slack)
    goodness = np.full(len(rows), -np.inf)
    goodness[chosen] = exact.exact_goodness(vectors[chosen], plan.dense, plan.metric) + dots[chosen]
    return goodness


def _best(rows: Int64s, goodness: Float64s, top_k: int) -> Hits:
    """The rows with the best goodness, at least `top_k` where there are so many, with all ties of the last."""
    chosen = exact.best_candidates(exact.to_float32(goodness), top_k, slack=0.0)
    chosen = chosen[goodness[chosen] > -np.inf]
    return Hits(rows[chosen], goodness[chosen])
