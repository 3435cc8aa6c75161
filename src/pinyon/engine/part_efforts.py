"""Which way a query goes through a part or a block, and how far: what searches do, and what it costs."""

from typing import Final

from pinyon.ann.effort import Effort
from pinyon.ann.estimates import ENOUGH_RECALL_MAX, scored_min
from pinyon.ann.graph import Graph
from pinyon.engine.part import GRAPH, QUANTISED, Part
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.view import BlockView

EXACT_ROWS_MAX: Final = 512
"""So few rows are scored in float64 at once; of more, those that are best in float32."""

_FEW_BYTES: Final = 2 * 1024 * 1024
_FEW_ROWS: Final = 1500
"""To score no more rows than these, and of no more bytes, takes less time than to estimate them first."""

_POOL_SHARE: Final = 4
"""Candidates for each result, at least."""

_FILTERED_POOL_MIN: Final = 640
"""Candidates with a filter, at least: the nearest of fewer rows are farther away, and more alike. They are scored only
as far as needed."""

_GRAPH_SHARE: Final = 3
"""A graph is asked where one row in so many is alive and allowed at least: it cannot pass over the others."""

_GRAPH_SCORED_SHARE: Final = 4
"""A graph looks for so many rows for each that is then scored exactly: its own order is nearly right."""

_UNTUNED_POOL: Final = 512
_UNTUNED_GRAPH_POOL: Final = 128
"""Candidates while it is not known how many are needed."""


def structure_for(part: Part, plan: SearchPlan, row_count: int, *, has_filter: bool) -> str | None:
    """What chooses which of the `row_count` rows that may be results are scored; None where all of them are.

    All are where they are few, or nothing else does. GRAPH comes before QUANTISED, but where few of its rows are alive,
    or a filter leaves few of them. As it may find too few of those, it is used only where QUANTISED would do too.
    """
    structures = part.live.structures
    if structures is None or plan.dense is None or plan.target_recall >= 1:
        return None
    if row_count <= max(2 * scored_min(plan.top_k), min(_FEW_BYTES // plan.dense.nbytes, _FEW_ROWS)):
        return None
    has_graph = structures.graph is not None and part.live.reach(GRAPH, plan.target_recall, plan.top_k).is_reached
    left = row_count if has_filter else part.live.alive_count
    uses_graph = has_graph and _GRAPH_SHARE * left >= part.row_count
    if uses_graph and not has_filter:
        return GRAPH
    if not part.live.reach(QUANTISED, plan.target_recall, plan.top_k).is_reached:
        return None
    return GRAPH if uses_graph else QUANTISED


def scored_about(pool: int, plan: SearchPlan) -> int:
    """How many of a pool of rows that were estimated are scored, about: of real texts 1.2 to 2 times the least."""
    return pool if plan.target_recall > ENOUGH_RECALL_MAX else min(pool, 2 * scored_min(plan.top_k))


def graph_pool(part: Part, plan: SearchPlan) -> int:
    """How many rows to look for in the graph."""
    effort = _effort(part, GRAPH, plan) or Effort(pool=max(_UNTUNED_GRAPH_POOL, 2 * plan.top_k))
    return max(effort.pool, plan.top_k)


def graph_count(part: Part, pool: int, allowed_count: int | None) -> int:
    """How many rows to look for in the graph, so that a pool of them is alive and allowed; None where all are allowed.

    As many allowed rows are near the query as elsewhere, or there is something that both have in common.
    """
    if allowed_count is None:
        return with_dead(part, pool)
    count = pool * part.row_count // max(allowed_count, 1)
    return count + count // 4


def with_dead(part: Part, count: int) -> int:
    """How many rows to ask for, so that about `count` of them are alive."""
    return min(count * part.live.row_count // max(part.live.alive_count, 1), part.live.row_count)


def scored_count(graph: Graph, pool: int, top_k: int) -> int:
    """How many of the rows that a graph found, nearest first, are worth an exact score, where it looked for `pool`."""
    return len(graph.long_rows) + max(pool // _GRAPH_SCORED_SHARE, _POOL_SHARE * top_k)


def may_estimate(plan: SearchPlan) -> bool:
    """True if codes may choose rows of blocks: what a filter leaves, and what sparse values add, they cannot tell."""
    is_plain = plan.sparse is None and plan.filter is None and plan.required_indices is None
    return plan.dense is not None and is_plain and plan.target_recall <= ENOUGH_RECALL_MAX


def scored_in_block(block: BlockView, plan: SearchPlan) -> int | None:
    """How many rows of a block in memory are scored at least, where its codes choose them; None for all."""
    codes = block.block.codes
    # It may not have been full when the view was taken.
    if codes is None or block.row_count < codes.row_count or not may_estimate(plan):
        return None
    return codes.scored_min(plan.top_k)


def quantised_effort(part: Part, plan: SearchPlan) -> Effort:
    """How far to look among the quantised rows."""
    effort = _effort(part, QUANTISED, plan) or Effort(pool=max(_UNTUNED_POOL, 20 * plan.top_k))
    enough = Effort(max(effort.pool, _POOL_SHARE * plan.top_k), effort.probes)
    return enough if plan.filter is None else Effort(max(enough.pool, _FILTERED_POOL_MIN), enough.probes)


def _effort(part: Part, structure: str, plan: SearchPlan) -> Effort | None:
    """What was measured to reach the recall that the plan wants."""
    return part.live.reach(structure, plan.target_recall, plan.top_k).effort
