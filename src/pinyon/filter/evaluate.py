"""Evaluation of a filter over columns: one mask for all rows, never a Python loop over them.

What a filter means, for one record (`pinyon.testing.filter_matcher` says the same, one record at a time):

- a number equals a number (all are float64: 1 is 1.0), a string a string, a boolean a boolean, and never across;
- a stored list of strings equals each of its members;
- only a stored number is less or greater than a bound;
- `Not` takes whatever its operand leaves, so records without the field match `$ne` and `$nin`.

The stored side stands behind `Columns`. It answers for one field and one kind of value and knows no operators, so
that a column in memory and posting lists on disk both fit it; comparing numbers and combining masks is done here.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import numpy as np

from pinyon.filter.ast import And, Compare, Equals, Exists, Filter, Not, OneOf, Or, Scalar
from pinyon.model.record import Float64s, Int64s, Mask

_COMPARISONS: Final[Mapping[str, np.ufunc]] = {
    "$gt": np.greater,
    "$gte": np.greater_equal,
    "$lt": np.less,
    "$lte": np.less_equal,
}


class Columns(Protocol):
    """The metadata of rows 0 to `row_count - 1`, read by field.

    Every mask is `(row_count,)` bool and belongs to the caller, who may overwrite it. No method raises for a field
    that no row has: it answers that no row matches.

    Thread safety: may be called from many threads at once.
    """

    @property
    def row_count(self) -> int:
        """Rows of every mask."""

    def numbers(self, field: str) -> tuple[Int64s, Float64s]:
        """Return the rows whose `field` is a number, and those numbers.

        Returns:
            `(rows, values)`, both `(n,)`: distinct rows in any order, values finite. They may be shared, and are
            only read.
        """

    def any_string(self, field: str, wanted: frozenset[str]) -> Mask:
        """Mark the rows whose `field` is a string in `wanted`, or a list with a member in it.

        `wanted` may hold 10,000 strings, and may be empty.
        """

    def boolean(self, field: str, wanted: bool) -> Mask:
        """Mark the rows whose `field` is the boolean `wanted`."""

    def exists(self, field: str) -> Mask:
        """Mark the rows that have `field`, whatever its value."""


def evaluate(condition: Filter, columns: Columns) -> Mask:
    """Mark the rows that match.

    Args:
        condition: as `pinyon.filter.parser` gives it; recursion goes as deep as it is nested, which the parser bounds.
        columns: the rows' metadata.

    Returns:
        `(row_count,)` bool, owned by the caller.
    """
    match condition:
        case Equals(field, value):
            return _any_of(columns, field, (value,))
        case OneOf(field, values):
            return _any_of(columns, field, values)
        case Compare():
            return _compare(columns, condition)
        case Exists(field):
            return columns.exists(field)
        case Not(operand):
            mask = evaluate(operand, columns)
            return np.logical_not(mask, out=mask)
        case And(operands):
            return _all(operands, columns)
        case Or(operands):
            return _any(operands, columns)


def _any_of(columns: Columns, field: str, values: Sequence[Scalar]) -> Mask:
    """Mark the rows whose `field` equals one of `values`: at most four calls of `columns`, however many values."""
    strings = frozenset(value for value in values if isinstance(value, str))
    booleans = {value for value in values if isinstance(value, bool)}
    numbers = [value for value in values if not isinstance(value, (str, bool))]
    mask = columns.any_string(field, strings) if strings else np.zeros(columns.row_count, np.bool_)
    for boolean in booleans:
        mask |= columns.boolean(field, boolean)
    if numbers:
        rows, stored = columns.numbers(field)
        mask[rows[np.isin(stored, numbers)]] = True
    return mask


def _compare(columns: Columns, condition: Compare) -> Mask:
    rows, stored = columns.numbers(condition.field)
    mask = np.zeros(columns.row_count, np.bool_)
    mask[rows[_COMPARISONS[condition.operator](stored, condition.bound)]] = True
    return mask


def _all(operands: Sequence[Filter], columns: Columns) -> Mask:
    mask = np.ones(columns.row_count, np.bool_)
    for operand in operands:
        if not mask.any():
            break
        mask &= evaluate(operand, columns)
    return mask


def _any(operands: Sequence[Filter], columns: Columns) -> Mask:
    mask = np.zeros(columns.row_count, np.bool_)
    for operand in operands:
        if mask.all():
            break
        mask |= evaluate(operand, columns)
    return mask
