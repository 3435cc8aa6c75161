"""Selecting the rows that match a filter, at a cost of the rows that match rather than of all.

`evaluate` makes a mask for each condition. Here, over stored columns, a condition is first planned: its posting lists
are looked up, which tells how many rows it can match. What a filter means is the same, and told there.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from pinyon.filter.ast import And, Compare, Equals, Exists, Filter, Not, OneOf, Or, Scalar
from pinyon.filter.evaluate import Columns, evaluate
from pinyon.filter.plan import Complement, Intersection, Lists, Plan, Scan, Union
from pinyon.filter.selection import Selection
from pinyon.filter.stored_columns import StoredColumns


def select(condition: Filter, columns: Columns) -> Selection:
    """Select the rows that match.

    Args:
        condition: as `pinyon.filter.parser` gives it.
        columns: the rows' metadata. Over `StoredColumns` few matching rows cost little, unless a field is not indexed;
            over others a mask is made.

    Raises:
        DataLossError: stored bytes fail their checksum when first read.
    """
    if isinstance(columns, StoredColumns):
        return plan_selection(condition, columns).select()
    return Selection.of_mask(evaluate(condition, columns))


def plan_selection(condition: Filter, columns: StoredColumns) -> Plan:
    """How to select the rows that match, with bounds of how many these are and of what it costs."""
    match condition:
        case Not(operand):
            return Complement(condition, columns, plan_selection(operand, columns))
        case And():
            return Intersection(condition, columns, list(_plan_all(condition, columns)))
        case Or(operands):
            return Union(condition, columns, [plan_selection(operand, columns) for operand in operands])
        case Equals(field) | OneOf(field) | Compare(field) | Exists(field) if not columns.is_indexed(field):
            return Scan(condition, columns)
        case Equals(field, value):
            return _any_of(condition, columns, field, (value,))
        case OneOf(field, values):
            return _any_of(condition, columns, field, values)
        case Exists(field):
            return Lists(condition, columns, [columns.rows_with(field)])
        case Compare():
            return _range((condition,), columns)


def _plan_all(condition: And, columns: StoredColumns) -> Iterator[Plan]:
    """Plan the operands of `condition`: comparisons of one field together, since both ends of a range make it small."""
    comparisons: dict[str, list[Compare]] = {}
    for operand in _flat(condition):
        if isinstance(operand, Compare) and columns.is_indexed(operand.field):
            comparisons.setdefault(operand.field, []).append(operand)
        else:
            yield plan_selection(operand, columns)
    for of_field in comparisons.values():
        yield _range(of_field, columns)


def _flat(condition: And) -> Iterator[Filter]:
    for operand in condition.operands:
        if isinstance(operand, And):
            yield from _flat(operand)
        else:
            yield operand


def _any_of(condition: Filter, columns: StoredColumns, field: str, values: Sequence[Scalar]) -> Lists:
    strings = {value for value in values if isinstance(value, str)}
    booleans = {value for value in values if isinstance(value, bool)}
    numbers = np.unique([value for value in values if not isinstance(value, (str, bool))])
    lists = columns.rows_with_strings(field, strings) if strings else []
    lists += [columns.rows_with_boolean(field, value) for value in booleans]
    if numbers.size:
        rows, stored = columns.numbers_of(field)
        starts, ends = np.searchsorted(stored, numbers), np.searchsorted(stored, numbers, side="right")
        found = np.flatnonzero(starts < ends)
        lists += [rows[start:end] for start, end in zip(starts[found].tolist(), ends[found].tolist(), strict=True)]
    return Lists(condition, columns, lists)


def _range(comparisons: Sequence[Compare], columns: StoredColumns) -> Lists:
    """Plan comparisons of one field, at least one, that all hold."""
    rows, stored = columns.numbers_of(comparisons[0].field)
    start, end = 0, rows.size
    for each in comparisons:
        # `$gt` and `$lte` part the numbers after those that equal the bound, `$gte` and `$lt` before them.
        after_equal = each.operator in ("$gt", "$lte")
        place = int(np.searchsorted(stored, each.bound, side="right" if after_equal else "left"))
        if each.operator in ("$gt", "$gte"):
            start = max(start, place)
        else:
            end = min(end, place)
    condition = comparisons[0] if len(comparisons) == 1 else And(tuple(comparisons))
    return Lists(condition, columns, [rows[start : max(start, end)]], ascending=False)
