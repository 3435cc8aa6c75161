"""Columns of a block's metadata answer as the records themselves do, while rows are added."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinyon.engine import metadata_columns
from pinyon.engine.growable import GrowableBytes
from pinyon.engine.metadata_columns import MetadataColumns, RowColumns
from pinyon.filter.ast import Exists, Filter, Not, Or
from pinyon.filter.evaluate import evaluate
from pinyon.filter.parser import parse
from pinyon.model.batches import bytes_column
from pinyon.model.record import Metadata
from pinyon.protobuf.struct import encode_metadata
from pinyon.testing.filter_matcher import matches
from pinyon.testing.filter_strategies import Expression, every_record, expressions, metadata


def extend(column: GrowableBytes, rows: Sequence[Metadata]) -> None:
    encoded = bytes_column([encode_metadata(row) for row in rows])
    if encoded is None:
        column.extend_empty(len(rows))
    else:
        column.extend(np.frombuffer(encoded.data, np.uint8), encoded.offsets)


def test_every_filter_finds_what_the_matcher_finds_in_every_record() -> None:
    rows = every_record()
    column = GrowableBytes()
    extend(column, rows)
    columns = MetadataColumns(column)
    for expression in ({"genre": "drama"}, {"year": {"$in": [1, 2**53]}}, {"year": True}, {"genre": {"$ne": "1"}}):
        condition = parse(expression)
        assert condition is not None
        found = evaluate(condition, columns.first_rows(len(rows))).tolist()
        assert found == [matches(condition, row) for row in rows]


@given(expressions(), st.lists(metadata(), max_size=12), st.data())
def test_columns_follow_the_rows_in_any_steps(
    expression: Expression, rows: list[Metadata], data: st.DataObject
) -> None:
    condition: Filter = parse(expression) or Or((Exists("genre"), Not(Exists("genre"))))
    column = GrowableBytes()
    columns = MetadataColumns(column)
    written = 0
    while written < len(rows):
        step = data.draw(st.integers(1, len(rows) - written))
        extend(column, rows[written : written + step])
        written += step
        # A reader whose view is older than what others have scanned already.
        count = data.draw(st.integers(0, written))
        found = evaluate(condition, columns.first_rows(count)).tolist()
        assert found == [matches(condition, row) for row in rows[:count]]


def test_a_reader_behind_the_scanned_rows_sees_none_of_them() -> None:
    column = GrowableBytes()
    extend(column, [{"f": value} for value in (1.0, "s", True, ["s"])] * 2)
    columns = MetadataColumns(column)
    answers_of(columns.first_rows(8))
    numbers, strings, booleans, present = answers_of(columns.first_rows(5))
    assert numbers == [0, 4]
    assert strings == [False, True, False, True, False]
    assert booleans == [False, False, True, False, False]
    assert present == [True] * 5


def answers_of(rows: RowColumns) -> tuple[list[int], list[bool], list[bool], list[bool]]:
    strings = rows.any_string("f", frozenset(["s", "unknown"]))
    return rows.numbers("f")[0].tolist(), strings.tolist(), rows.boolean("f", True).tolist(), rows.exists("f").tolist()


def test_rows_without_metadata_have_no_field() -> None:
    column = GrowableBytes()
    column.extend_empty(3)
    rows = MetadataColumns(column).first_rows(3)
    assert answers_of(rows) == ([], [False] * 3, [False] * 3, [False] * 3)
    assert answers_of(MetadataColumns(column).first_rows(0)) == ([], [], [], [])


def test_many_strings_are_looked_for_at_once() -> None:
    column = GrowableBytes()
    extend(column, [{"f": f"value {number}"} for number in range(100)])
    rows = MetadataColumns(column).first_rows(100)
    wanted = frozenset(f"value {number}" for number in range(90, 10_000))
    assert np.flatnonzero(rows.any_string("f", wanted)).tolist() == list(range(90, 100))


def test_fields_that_nobody_has_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata_columns, "_COLUMNS_MAX", 3)
    column = GrowableBytes()
    extend(column, [{f"f{number}": True} for number in range(10)])
    columns = MetadataColumns(column)
    for _ in range(2):
        for number in range(10):
            assert np.flatnonzero(columns.first_rows(10).exists(f"f{number}")).tolist() == [number]
    assert len(columns._columns) == 3
