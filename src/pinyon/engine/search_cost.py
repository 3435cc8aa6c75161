"""What a search takes, about, told before it is begun: what is brief may be done where others wait for it.

The numbers are CPU time of one core of 2021, measured with 384 dimensions, for data in memory. They need not be exact:
what is told apart is a fraction of a millisecond and many milliseconds.
"""

import math
from typing import Final

from pinyon.engine.part import Part
from pinyon.engine.part_efforts import graph_pool, is_exact, is_for_graph, quantised_effort, uses_graph
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.structures import Structures
from pinyon.engine.view import MemtableView, View
from pinyon.filter.ast import Filter
from pinyon.filter.select import plan_selection

_NUMBER_US: Final = 0.0003
"""To score a number of a row in float32."""

_SCORED_NUMBER_US: Final = 0.004
"""… of a row that lies anywhere, in float64."""

_CODE_US: Final = 0.02
"""To estimate a row from its code."""

_GRAPH_ROW_US: Final = 3.5
"""To find a row in a graph, and the ways to it."""

_FILTERED_ROW_US: Final = 0.2
"""To evaluate a filter for a row in memory."""

_READ_ROW_US: Final = 2.0
"""… for a row whose metadata must be read."""

_SELECTION_COST_US: Final = 0.002
"""The unit of `pinyon.filter.plan`'s costs."""

_RESULT_US: Final = 3.0
_WHOLE_RESULT_US: Final = 20.0
"""To return a result; with its values or metadata."""


def search_cost_us(view: View, plan: SearchPlan) -> float:
    """About what a search takes, in microseconds; infinity where that is not known: by sparse values."""
    has_sparse = plan.sparse is not None and len(plan.sparse.indices) > 0
    if plan.dense is None or has_sparse or plan.required_indices is not None:
        return math.inf
    result = _WHOLE_RESULT_US if plan.include_values or plan.include_metadata else _RESULT_US
    results = min(plan.top_k, view.record_count) * result
    memtables = sum(_memtable_cost_us(memtable, plan) for memtable in view.memtables)
    return results + memtables + sum(_part_cost_us(part, plan) for part in view.parts)


def _memtable_cost_us(view: MemtableView, plan: SearchPlan) -> float:
    assert plan.dense is not None
    row = _NUMBER_US * len(plan.dense) + (0.0 if plan.filter is None else _FILTERED_ROW_US)
    return sum(block.row_count for block in view.blocks) * row


def _part_cost_us(part: Part, plan: SearchPlan) -> float:
    assert plan.dense is not None
    rows, selecting = part.row_count, 0.0
    structures = part.live.structures
    if plan.filter is not None:
        rows, selecting = _selection(part, structures, plan.filter)
    if structures is None or is_exact(part, plan, rows, has_filter=plan.filter is not None):
        return selecting + rows * _NUMBER_US * len(plan.dense)
    scored_us = _SCORED_NUMBER_US * len(plan.dense)
    if uses_graph(part, plan) and (plan.filter is None or is_for_graph(part, rows)):
        pool = graph_pool(part, plan)
        return selecting + pool * (_GRAPH_ROW_US * part.row_count / max(rows, 1) + scored_us)
    effort = quantised_effort(part, plan)
    share = 1.0 if effort.probes is None else min(effort.probes / structures.quantised.partition_count, 1.0)
    return selecting + rows * share * _CODE_US + effort.pool * scored_us


def _selection(part: Part, structures: Structures | None, condition: Filter) -> tuple[int, float]:
    """How many rows a filter selects at most, and what it takes to select them."""
    if structures is None:
        return part.row_count, part.row_count * _READ_ROW_US
    known = structures.selections.known(condition)
    if known is not None:
        return len(known), 0.0
    selection = plan_selection(condition, structures.columns)
    return selection.most, selection.cost * _SELECTION_COST_US
