"""Filters agree: the tree over columns, the tree over one record, and a direct reading of Pinecone's documentation."""

import contextlib
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pinyon.engine.growable import GrowableBytes
from pinyon.engine.metadata_columns import MetadataColumns, RowColumns
from pinyon.errors import InvalidArgumentError
from pinyon.filter.ast import Exists, Filter, Not, Or
from pinyon.filter.evaluate import evaluate
from pinyon.filter.parser import parse
from pinyon.filter.scanned_columns import ScannedColumns
from pinyon.filter.select import select
from pinyon.model.record import Metadata
from pinyon.testing.filter_matcher import matches
from pinyon.testing.filter_strategies import (
    Expression,
    ListColumns,
    every_record,
    expressions,
    json_values,
    metadata,
    near_expressions,
)
from pinyon.testing.stored_filters import encoded_column, stored_columns

_RECORDS = every_record()
_COLUMNS = ListColumns(_RECORDS)
_EVERY_RECORD: Filter = Or((Exists("genre"), Not(Exists("genre"))))
_EMPTY_RECORDS = 5000
_STORED = {
    "all fields": stored_columns(_RECORDS, chunk_rows=50),
    "some fields": stored_columns(_RECORDS, chunk_rows=50, fields=["genre", "a.b"]),
    # So few rows match that they are held as rows, not as a mask.
    "among many rows": stored_columns(_RECORDS + [{}] * _EMPTY_RECORDS),
}


def _memtable_columns(records: list[Metadata]) -> RowColumns:
    block, column = GrowableBytes(), encoded_column(records)
    block.extend(np.frombuffer(column.data, np.uint8), column.offsets)
    return MetadataColumns(block).first_rows(len(records))


def _parsed(expression: Expression) -> Filter:
    return parse(expression) or _EVERY_RECORD


@settings(deadline=None)
@given(expressions())
def test_columns_and_single_records_agree(expression: Expression) -> None:
    condition = _parsed(expression)
    answers = zip(_RECORDS, evaluate(condition, _COLUMNS).tolist(), strict=True)
    assert [record for record, answer in answers if answer is not matches(condition, record)] == []


@settings(deadline=None)
@given(expressions(), st.sampled_from(sorted(_STORED)))
def test_stored_columns_select_what_single_records_match(expression: Expression, stored: str) -> None:
    condition = _parsed(expression)
    columns = _STORED[stored]
    expected = [row for row, record in enumerate(_RECORDS) if matches(condition, record)]
    if matches(condition, {}):
        expected += range(len(_RECORDS), columns.row_count)
    selection = select(condition, columns)
    assert selection.rows().tolist() == expected
    assert np.flatnonzero(selection.mask()).tolist() == expected
    assert selection.count == len(expected)


@settings(deadline=None)
@given(expressions(), st.lists(metadata(), max_size=12), st.integers(1, 5), st.integers(0, 3))
def test_any_records_are_indexed_as_they_are(
    expression: Expression, records: list[Metadata], chunk_rows: int, fields_max: int
) -> None:
    condition = _parsed(expression)
    expected = [row for row, record in enumerate(records) if matches(condition, record)]
    for columns in (
        stored_columns(records, chunk_rows=chunk_rows, fields_max=fields_max),
        ScannedColumns(encoded_column(records)),
        _memtable_columns(records),
    ):
        assert select(condition, columns).rows().tolist() == expected
        assert np.flatnonzero(evaluate(condition, columns)).tolist() == expected


@settings(deadline=None)
@given(expressions())
def test_parsed_filter_means_what_the_documentation_says(expression: Expression) -> None:
    condition = _parsed(expression)
    assert [r for r in _RECORDS if matches(condition, r) is not _reads_as_true(expression, r)] == []


@settings(deadline=None)
@given(expressions(), st.lists(metadata(), max_size=5))
def test_negation_takes_the_rest(expression: Expression, records: list[Metadata]) -> None:
    condition = _parsed(expression)
    columns = ListColumns(records)
    assert evaluate(Not(condition), columns).tolist() == (~evaluate(condition, columns)).tolist()


@settings(deadline=None)
@given(near_expressions() | json_values())
def test_any_json_value_parses_or_is_an_invalid_argument(value: Any) -> None:
    with contextlib.suppress(InvalidArgumentError):
        assert parse(value) is not None or value == {}


# A second reading of the language, straight from the expression. It shares nothing with `pinyon.filter`.


def _reads_as_true(expression: Expression, record: Metadata) -> bool:
    return all(_member(key, operand, record) for key, operand in expression.items())


def _member(key: str, operand: Any, record: Metadata) -> bool:
    if key == "$and":
        return all(_reads_as_true(clause, record) for clause in operand)
    if key == "$or":
        return any(_reads_as_true(clause, record) for clause in operand)
    if key == "$not":
        return not _reads_as_true(operand, record)
    conditions = operand if isinstance(operand, dict) else {"$eq": operand}
    return _field(conditions, key, record)


def _field(conditions: Expression, field: str, record: Metadata) -> bool:
    stored = record.get(field)
    elements = stored if isinstance(stored, list) else [] if stored is None else [stored]
    return all(_condition(operator, operand, elements, field, record) for operator, operand in conditions.items())


def _condition(operator: str, operand: Any, elements: list[Any], field: str, record: Metadata) -> bool:
    number = next((element for element in elements if type(element) is float), None)
    answers = {
        "$eq": lambda: any(_same(element, operand) for element in elements),
        "$ne": lambda: not any(_same(element, operand) for element in elements),
        "$in": lambda: any(_same(element, value) for element in elements for value in operand),
        "$nin": lambda: not any(_same(element, value) for element in elements for value in operand),
        "$gt": lambda: number is not None and number > float(operand),
        "$gte": lambda: number is not None and number >= float(operand),
        "$lt": lambda: number is not None and number < float(operand),
        "$lte": lambda: number is not None and number <= float(operand),
        "$exists": lambda: (field in record) is operand,
        "$not": lambda: not _field(operand, field, record),
    }
    return bool(answers[operator]())


def _same(element: Any, value: Any) -> bool:
    kinds = [float if type(each) is int else type(each) for each in (element, value)]
    return kinds[0] is kinds[1] and kinds[0](element) == kinds[1](value)
