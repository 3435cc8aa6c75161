"""Evaluation over columns: what it asks of them, and the edges that the property test meets rarely."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from pinyon.filter.ast import And, Compare, Equals, Exists, Filter, Not, OneOf, Or, fields_of
from pinyon.filter.evaluate import Columns, evaluate
from pinyon.limits import FILTER_LIST_MAX
from pinyon.model.record import Float64s, Int64s, Mask, Metadata
from pinyon.testing.filter_strategies import ListColumns

_ROWS: list[Metadata] = [{"n": 1.0}, {"n": 2.0, "s": "a"}, {"s": ["a", "b"]}, {"n": True}, {}]


@dataclass
class CountingColumns:
    """`ListColumns` that keep a list of what was asked."""

    columns: ListColumns
    calls: list[str] = field(default_factory=list)

    @property
    def row_count(self) -> int:
        """Rows of every mask."""
        return self.columns.row_count

    def numbers(self, field: str) -> tuple[Int64s, Float64s]:
        """Count, and pass on."""
        self.calls.append(f"numbers {field}")
        return self.columns.numbers(field)

    def any_string(self, field: str, wanted: frozenset[str]) -> Mask:
        """Count, and pass on."""
        self.calls.append(f"any_string {field}")
        return self.columns.any_string(field, wanted)

    def boolean(self, field: str, wanted: bool) -> Mask:
        """Count, and pass on."""
        self.calls.append(f"boolean {field} {wanted}")
        return self.columns.boolean(field, wanted)

    def exists(self, field: str) -> Mask:
        """Count, and pass on."""
        self.calls.append(f"exists {field}")
        return self.columns.exists(field)


def _rows(condition: Filter, columns: Columns) -> list[int]:
    mask = evaluate(condition, columns)
    assert mask.shape == (columns.row_count,)
    assert mask.dtype == np.bool_
    return np.flatnonzero(mask).tolist()


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        (Equals("n", 1.0), [0]),
        (Equals("n", True), [3]),
        (Equals("s", "a"), [1, 2]),
        (OneOf("n", (2.0, 3.0)), [1]),
        (OneOf("n", ()), []),
        (OneOf("s", ("b", 1.0, True)), [2]),
        (OneOf("n", ("b", 1.0, True)), [0, 3]),
        (Compare("n", "$gt", 1.0), [1]),
        (Compare("n", "$gte", 1.0), [0, 1]),
        (Compare("n", "$lt", 2.0), [0]),
        (Compare("n", "$lte", 2.0), [0, 1]),
        (Exists("n"), [0, 1, 3]),
        (Exists("missing"), []),
        (Not(Equals("s", "a")), [0, 3, 4]),
        (And((Exists("n"), Exists("s"))), [1]),
        (Or((Exists("n"), Exists("s"))), [0, 1, 2, 3]),
    ],
)
def test_evaluates(condition: Filter, rows: list[int]) -> None:
    assert _rows(condition, ListColumns(_ROWS)) == rows


def test_no_rows_give_an_empty_mask() -> None:
    assert _rows(Not(And((Equals("n", 1.0), Equals("s", "a")))), ListColumns([])) == []


def test_and_stops_when_no_row_is_left() -> None:
    columns = CountingColumns(ListColumns(_ROWS))
    assert _rows(And((Exists("missing"), Exists("n"))), columns) == []
    assert columns.calls == ["exists missing"]


def test_or_stops_when_all_rows_match() -> None:
    columns = CountingColumns(ListColumns(_ROWS))
    assert _rows(Or((Not(Exists("missing")), Exists("n"))), columns) == [0, 1, 2, 3, 4]
    assert columns.calls == ["exists missing"]


@pytest.mark.parametrize(
    ("values", "calls"),
    [
        (tuple(map(str, range(FILTER_LIST_MAX))), ["any_string n"]),
        (tuple(map(float, range(FILTER_LIST_MAX))), ["numbers n"]),
    ],
)
def test_long_list_asks_for_its_column_once(values: tuple[str | float, ...], calls: list[str]) -> None:
    columns = CountingColumns(ListColumns(_ROWS))
    evaluate(OneOf("n", values), columns)
    assert columns.calls == calls


def test_rows_of_numbers_may_come_in_any_order_and_be_shared() -> None:
    class SortedColumn(ListColumns):
        def numbers(self, field: str) -> tuple[Int64s, Float64s]:
            rows, values = np.array([4, 0, 2]), np.array([-1.0, 3.0, 7.0])
            rows.flags.writeable = values.flags.writeable = False
            return rows, values

    columns = SortedColumn([{}] * 5)
    assert _rows(Compare("n", "$lt", 4.0), columns) == [0, 4]
    assert _rows(OneOf("n", (7.0, -1.0)), columns) == [2, 4]


def test_fields_of_names_every_field_read() -> None:
    condition = And((Equals("a", 1.0), Not(Or((OneOf("b", ()), Compare("c", "$gt", 1.0)))), Exists("a")))
    assert list(fields_of(condition)) == ["a", "b", "c", "a"]
