"""What a search takes, about, told before it is begun: what is brief may be done where others wait for it.

The numbers are CPU time for data in memory, most of them measured with 384 dimensions, and rounded up. They need not be
exact: what is told apart is a fraction of a millisecond and many milliseconds.
"""

import math
from collections.abc import Sequence
from typing import Final

from pinyon.engine.part import GRAPH, Part
from pinyon.engine.part_efforts import (
    EXACT_ROWS_MAX,
    graph_count,
    graph_pool,
    quantised_effort,
    scored_about,
    scored_count,
    scored_in_block,
    structure_for,
)
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.structures import Structures
from pinyon.engine.view import BlockView, View
from pinyon.filter.ast import Filter, value_count
from pinyon.filter.select import plan_selection

_SOURCE_US: Final = 25.0
"""To search a part or a block at all."""

_NUMBER_US: Final = 0.0003
"""To score a number of a row in float32, where all rows are scored."""

_SCORED_NUMBER_US: Final = 0.004
"""… in float64, of a row that lies anywhere."""

_GATHERED_NUMBER_US: Final = 0.0015
"""… in float32, of a row that was estimated, or that a filter left among many."""

_CODE_US: Final = 0.025
"""To estimate a row from its code."""

_SINGLE_CODE_US: Final = 0.06
"""… where the rows around it are not; sometimes a search looks twice."""

_PROBING_US: Final = 300.0
"""To choose among partitions."""

_GRAPH_ROW_US: Final = 3.0
"""To find a row in a graph, and the ways to it."""

_FILTERED_ROW_US: Final = 0.2
"""To compare a row in memory with a value of a filter."""

_READ_ROW_US: Final = 2.0
"""… a row whose metadata must be read."""

_SELECTION_COST_US: Final = 0.002
"""The unit of `pinyon.filter.plan`'s costs."""

_RESULT_US: Final = 3.0
_VALUE_US: Final = 0.2
_METADATA_BYTE_US: Final = 0.1
"""To return a result, a number of it, and a byte of its metadata, as JSON."""


def search_cost_us(view: View, plan: SearchPlan) -> float:
    """About what a search takes, in microseconds; infinity where that is not known.

    It is not by sparse values, nor where something is needed that was not read since the index was opened.
    """
    has_sparse = plan.sparse is not None and len(plan.sparse.indices) > 0
    if plan.dense is None or has_sparse or plan.required_indices is not None:
        return math.inf
    blocks = [block for memtable in view.memtables for block in memtable.blocks]
    return (
        _SOURCE_US * (len(blocks) + len(view.parts))
        + plan.top_k * _result_cost_us(blocks, view, plan)
        + sum(_block_cost_us(block, plan) for block in blocks)
        + sum(_part_cost_us(part, plan) for part in view.parts)
    )


def _result_cost_us(blocks: Sequence[BlockView], view: View, plan: SearchPlan) -> float:
    assert plan.dense is not None
    cost = _RESULT_US + (_VALUE_US * len(plan.dense) if plan.include_values else 0.0)
    if plan.include_metadata:
        means = [each.block.metadata.data.count / max(each.block.row_count, 1) for each in blocks]
        means += [part.live.segment.metadata_bytes / max(part.live.row_count, 1) for part in view.parts]
        cost += _METADATA_BYTE_US * max(means, default=0.0)
    return cost


def _block_cost_us(block: BlockView, plan: SearchPlan) -> float:
    assert plan.dense is not None
    filtering = 0.0 if plan.filter is None else _FILTERED_ROW_US * value_count(plan.filter)
    pool = scored_in_block(block, plan)
    if pool is None:
        return block.row_count * (_NUMBER_US * len(plan.dense) + filtering)
    return block.row_count * (_CODE_US + filtering) + pool * _GATHERED_NUMBER_US * len(plan.dense)


def _part_cost_us(part: Part, plan: SearchPlan) -> float:
    assert plan.dense is not None
    rows, selecting = part.row_count, 0.0
    structures = part.live.structures
    if plan.filter is not None:
        rows, selecting = _selection(part, structures, plan.filter)
    scored_us = _SCORED_NUMBER_US * len(plan.dense)
    structure = structure_for(part, plan, rows, has_filter=plan.filter is not None)
    if structures is None or structure is None:
        number_us = _NUMBER_US if plan.filter is None else _GATHERED_NUMBER_US
        return selecting + rows * (scored_us if rows <= EXACT_ROWS_MAX else number_us * len(plan.dense))
    if structure == GRAPH and structures.graph is not None:
        pool = graph_pool(part, plan)
        searched = graph_count(part, pool, None if plan.filter is None else rows)
        return selecting + searched * _GRAPH_ROW_US + scored_count(structures.graph, pool, plan.top_k) * scored_us
    if not structures.has_read("quantised"):
        return math.inf
    effort, quantised = quantised_effort(part, plan), structures.quantised
    looked_at = quantised.looked_at(effort.pool, effort.probes, None if plan.filter is None else rows)
    code_us = _CODE_US if plan.filter is None else _SINGLE_CODE_US
    scored = scored_about(min(effort.pool, rows), plan)
    return selecting + _PROBING_US + looked_at * code_us + scored * _GATHERED_NUMBER_US * len(plan.dense)


def _selection(part: Part, structures: Structures | None, condition: Filter) -> tuple[int, float]:
    """How many rows a filter selects at most, and what it takes to select them."""
    if structures is None:
        return part.row_count, part.row_count * _READ_ROW_US * value_count(condition)
    known = structures.selections.known(condition)
    if known is not None:
        return len(known), 0.0
    if not structures.columns.has_read(condition):
        return part.row_count, math.inf
    selection = plan_selection(condition, structures.columns)
    return selection.most, selection.cost * _SELECTION_COST_US
