"""Filters and metadata for property tests, and metadata columns over Python dicts. Needs hypothesis.

Strategies draw from a few fields and values, so that matches, near misses (1, True, "1") and lists are all common.
`every_record` holds each combination of them: a filter tried on it is tried on all that it could confuse.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias, TypeGuard

import numpy as np
from hypothesis import strategies as st

from pinyon.model.record import Float64s, Int64s, Mask, Metadata, MetadataValue

Expression: TypeAlias = dict[str, Any]

FIELDS = ("genre", "year", "a.b")
STRINGS = ("drama", "1", "")
NUMBERS = (0, -0.0, 1, 1.5, 2, 2**53, 2**53 + 1)
"""2**53 + 1 is not a float64: it is 2**53 once stored, and once parsed."""

STORED_VALUES: Sequence[MetadataValue] = (
    *STRINGS,
    *map(float, NUMBERS),
    True,
    False,
    [],
    ["drama"],
    ["1", "", "1"],
)

_COMPARISONS = ("$gt", "$gte", "$lt", "$lte")
_OPERATORS = ("$eq", "$ne", *_COMPARISONS, "$in", "$nin", "$exists", "$not", "$and", "$or")


@dataclass(frozen=True, slots=True)
class ListColumns:
    """`pinyon.filter.evaluate.Columns` over one dict a row; rows without metadata have an empty one."""

    rows: Sequence[Metadata]

    @property
    def row_count(self) -> int:
        """Rows of every mask."""
        return len(self.rows)

    def numbers(self, field: str) -> tuple[Int64s, Float64s]:
        """Return the rows whose `field` is a number, and those numbers."""
        found = [(row, float(value)) for row, value in self._values(field) if _is_number(value)]
        return np.array([row for row, _ in found], np.int64), np.array([number for _, number in found], np.float64)

    def any_string(self, field: str, wanted: frozenset[str]) -> Mask:
        """Mark the rows whose `field` is a string in `wanted`, or a list with a member in it."""
        return self._mask([row for row, value in self._values(field) if not wanted.isdisjoint(_strings(value))])

    def boolean(self, field: str, wanted: bool) -> Mask:
        """Mark the rows whose `field` is the boolean `wanted`."""
        return self._mask([row for row, value in self._values(field) if value is wanted])

    def exists(self, field: str) -> Mask:
        """Mark the rows that have `field`, whatever its value."""
        return self._mask([row for row, _ in self._values(field)])

    def _values(self, field: str) -> list[tuple[int, MetadataValue]]:
        return [(row, metadata[field]) for row, metadata in enumerate(self.rows) if field in metadata]

    def _mask(self, rows: list[int]) -> Mask:
        mask = np.zeros(self.row_count, np.bool_)
        mask[rows] = True
        return mask


def every_record() -> list[Metadata]:
    """Return every record with any of `STORED_VALUES`, or none, in the first two fields, and nothing in the last."""
    choices: list[list[Metadata]] = [[{}, *({field: value} for value in STORED_VALUES)] for field in FIELDS[:2]]
    return [first | second for first, second in product(*choices)]


def metadata() -> st.SearchStrategy[Metadata]:
    """Draw the metadata of one record."""
    return st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(STORED_VALUES))


def expressions() -> st.SearchStrategy[Expression]:
    """Draw valid filter expressions, `{}` among them, with every operator of the language."""
    return st.just(Expression()) | _clauses()


def json_values() -> st.SearchStrategy[Any]:
    """Draw any JSON value. Numbers may be NaN, infinite, or too large for float64."""
    scalars = st.none() | _scalars() | st.integers() | st.just(-(10**400)) | st.floats() | st.text()
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys(), inner, max_size=3), max_leaves=6
    )


def near_expressions() -> st.SearchStrategy[Expression]:
    """Draw expressions with up to two members that may break any rule."""
    wrong = st.dictionaries(_keys(), json_values() | expressions(), max_size=2)
    members = st.dictionaries(st.sampled_from(FIELDS), wrong, max_size=1)
    return st.builds(lambda *parts: parts[0] | parts[1] | parts[2], expressions(), wrong, members)


def _keys() -> st.SearchStrategy[str]:
    return st.sampled_from([*FIELDS, *_OPERATORS, "$regex", "$", ""]) | st.text()


def _strings(value: MetadataValue) -> list[str]:
    if isinstance(value, list):
        return value
    return [value] if isinstance(value, str) else []


def _is_number(value: MetadataValue) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _numbers() -> st.SearchStrategy[float]:
    return st.sampled_from(NUMBERS)


def _scalars() -> st.SearchStrategy[str | float | bool]:
    return st.sampled_from(STRINGS) | _numbers() | st.booleans()


def _clauses() -> st.SearchStrategy[Expression]:
    return st.recursive(_field_clauses(), _logical_clauses, max_leaves=6)


def _field_clauses() -> st.SearchStrategy[Expression]:
    """Draw objects of one or two fields, each with a value or an object of operators."""
    return st.dictionaries(st.sampled_from(FIELDS), _scalars() | _conditions(), min_size=1, max_size=2)


def _conditions() -> st.SearchStrategy[Expression]:
    """Draw what may follow a field: one or two operators, or `$not` around such and perhaps others beside it."""
    plain = _any_of_keys(
        {
            **dict.fromkeys(("$eq", "$ne"), _scalars()),
            **dict.fromkeys(_COMPARISONS, _numbers()),
            **dict.fromkeys(("$in", "$nin"), _value_lists()),
            "$exists": st.booleans(),
        }
    )
    return plain | st.builds(lambda inner, beside: {**beside, "$not": inner}, plain, st.just(Expression()) | plain)


def _value_lists() -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(STRINGS), max_size=4) | st.lists(_numbers(), max_size=4)


def _logical_clauses(clauses: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    """Draw `$and`, `$or` and `$not` around `clauses`, some with fields beside them."""
    lists = st.lists(clauses, min_size=1, max_size=3)
    logical = _any_of_keys({"$and": lists, "$or": lists, "$not": clauses})
    return logical | st.builds(lambda left, right: {**left, **right}, logical, _field_clauses())


def _any_of_keys(members: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Expression]:
    """Draw an object with one or two of `members`. With more, hardly a record would match."""
    chosen = st.sets(st.sampled_from(sorted(members)), min_size=1, max_size=2)
    return chosen.flatmap(lambda keys: st.fixed_dictionaries({key: members[key] for key in sorted(keys)}))
