"""Filters agree: the tree over columns, the tree over one record, and a direct reading of Pinecone's documentation."""

import contextlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pinyon.errors import InvalidArgumentError
from pinyon.filter.ast import Exists, Filter, Not, Or
from pinyon.filter.evaluate import evaluate
from pinyon.filter.matcher import matches
from pinyon.filter.parser import parse
from pinyon.model.record import Metadata
from pinyon.testing.filter_strategies import (
    Expression,
    ListColumns,
    every_record,
    expressions,
    json_values,
    metadata,
    near_expressions,
)

_RECORDS = every_record()
_COLUMNS = ListColumns(_RECORDS)
_EVERY_RECORD: Filter = Or((Exists("genre"), Not(Exists("genre"))))


def _parsed(expression: Expression) -> Filter:
    return parse(expression) or _EVERY_RECORD


@settings(deadline=None)
@given(expressions())
def test_columns_and_single_records_agree(expression: Expression) -> None:
    condition = _parsed(expression)
    answers = zip(_RECORDS, evaluate(condition, _COLUMNS).tolist(), strict=True)
    assert [record for record, answer in answers if answer is not matches(condition, record)] == []


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
