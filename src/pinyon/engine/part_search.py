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

from typing import Final

import numpy as np

from pinyon.ann import exact, exact_sparse
from pinyon.ann.candidates import Aim, Candidates
from pinyon.ann.graph import Graph
from pinyon.ann.postings import ScannedRows
from pinyon.ann.quantised import Quantised
from pinyon.engine.part import GRAPH, Part
from pinyon.engine.part_efforts import graph_count, graph_pool, quantised_effort, scored_count, structure_for, with_dead
from pinyon.engine.part_scoring import Hits, best_estimated, best_hits, best_scored
from pinyon.engine.runs import RowPostings
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.sparse_search import rows_with_all_in
from pinyon.engine.structures import Structures
from pinyon.filter.ast import Filter
from pinyon.filter.scanned_columns import ScannedColumns
from pinyon.filter.select import select
from pinyon.model.ordered import is_member
from pinyon.model.record import Int64s, Lsn, SparseVector, UInt32s

_ENOUGH_ALIVE: Final = 0.8
"""The share of the rows that a structure is asked for that must be alive: more than elsewhere may have died there."""

_NO_ROWS: Final = np.zeros(0, np.int64)


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
        every = _alive(part, lsn, np.arange(part.rows.start, part.rows.stop)) if allowed is None else allowed
        return best_scored(part, every, plan, sparse)
    graph = structures.graph if structure == GRAPH else None
    rows = None if graph is None else _from_graph(part, lsn, plan, allowed, graph)
    if rows is None:
        found = _from_quantised(part, lsn, plan, allowed, structures.quantised)
        if not len(sparse.rows):
            return best_estimated(part, found, structures.quantised, plan)
        rows = found.rows
    if len(sparse.rows):
        rows = np.union1d(rows, _sparse_candidates(part, lsn, plan, allowed, structures, sparse))
    return best_scored(part, rows, plan, sparse)


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
    return best_hits(hits.rows, hits.goodness, plan.top_k)


def _that_may(part: Part, lsn: Lsn, hits: Hits, allowed: Int64s | None) -> Hits:
    """Those of the hits that may be results."""
    may = part.live.alive_at(hits.rows, lsn) if allowed is None else is_member(hits.rows, allowed)
    return hits if may is None else Hits(hits.rows[may], hits.goodness[may])


def _from_quantised(part: Part, lsn: Lsn, plan: SearchPlan, allowed: Int64s | None, rows: Quantised) -> Candidates:
    """Quantised rows that are alive and allowed and may be the nearest by their dense vectors."""
    assert plan.dense is not None
    effort = quantised_effort(part, plan)
    pool = effort.pool
    if allowed is not None:
        aim = Aim(plan.top_k, plan.target_recall)
        return rows.candidates(plan.dense, pool, probes=effort.probes, allowed=allowed, aim=aim)
    found = rows.candidates(plan.dense, with_dead(part, pool), probes=effort.probes)
    is_alive = part.live.alive_at(found.rows, lsn)
    if is_alive is not None:
        found = found.where(is_alive)
    if len(found.rows) >= max(_wanted(part, lsn, plan), _ENOUGH_ALIVE * min(pool, part.live.alive_count)):
        return found
    alive = part.live.alive(0, part.live.row_count, lsn)
    return rows.candidates(plan.dense, pool, probes=effort.probes, alive=alive)


def _wanted(part: Part, lsn: Lsn, plan: SearchPlan) -> int:
    """How many results there are, without a filter."""
    return plan.top_k if part.live.alive_count >= plan.top_k else part.alive_count(lsn)


def _from_graph(part: Part, lsn: Lsn, plan: SearchPlan, allowed: Int64s | None, graph: Graph) -> Int64s | None:
    """Rows of the graph that are alive and allowed; None where they are too few."""
    assert plan.dense is not None
    pool = graph_pool(part, plan)
    found = graph.search(plan.dense, graph_count(part, pool, None if allowed is None else len(allowed)))
    if allowed is None:
        rows, enough = _alive(part, lsn, found), min(pool, part.live.alive_count) * _ENOUGH_ALIVE
    else:
        rows, enough = found[is_member(found, allowed)], pool
    found_count, rows = len(rows), rows[: scored_count(graph, pool, plan.top_k)]
    wanted = _wanted(part, lsn, plan) if allowed is None else min(plan.top_k, len(allowed))
    return np.sort(rows) if found_count >= enough and len(rows) >= wanted else None


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
