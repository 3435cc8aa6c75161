"""What parses into which tree, and the text of each refusal."""

import math
from typing import Any

import pytest

from pinyon.errors import InvalidArgumentError
from pinyon.filter.ast import And, Compare, Equals, Exists, Filter, Not, OneOf, Or
from pinyon.filter.parser import parse
from pinyon.limits import FILTER_DEPTH_MAX, FILTER_LIST_MAX

_DRAMA = Equals("genre", "drama")


@pytest.mark.parametrize(
    ("expression", "condition"),
    [
        ({"genre": "drama"}, _DRAMA),
        ({"year": 2020}, Equals("year", 2020.0)),
        ({"new": True}, Equals("new", True)),
        ({"": ""}, Equals("", "")),
        ({"a.b c$": 1.5}, Equals("a.b c$", 1.5)),
        ({"genre": {"$eq": "drama"}}, _DRAMA),
        ({"genre": {"$ne": "drama"}}, Not(_DRAMA)),
        ({"year": {"$gt": 1}}, Compare("year", "$gt", 1.0)),
        ({"year": {"$gte": 1}}, Compare("year", "$gte", 1.0)),
        ({"year": {"$lt": 1}}, Compare("year", "$lt", 1.0)),
        ({"year": {"$lte": 1}}, Compare("year", "$lte", 1.0)),
        ({"genre": {"$in": ["a", "b"]}}, OneOf("genre", ("a", "b"))),
        ({"year": {"$nin": [1, 2.5]}}, Not(OneOf("year", (1.0, 2.5)))),
        ({"year": {"$in": [1, 2, 1.0]}}, OneOf("year", (1.0, 2.0))),
        ({"genre": {"$in": []}}, OneOf("genre", ())),
        ({"genre": {"$exists": True}}, Exists("genre")),
        ({"genre": {"$exists": False}}, Not(Exists("genre"))),
        ({"$and": [{"genre": "drama"}, {"year": {"$gt": 1}}]}, And((_DRAMA, Compare("year", "$gt", 1.0)))),
        ({"$or": [{"genre": "drama"}, {"year": {"$gt": 1}}]}, Or((_DRAMA, Compare("year", "$gt", 1.0)))),
        ({"$or": [{"genre": "drama"}]}, _DRAMA),
        ({"$not": {"genre": "drama"}}, Not(_DRAMA)),
        ({"genre": {"$not": {"$eq": "drama"}}}, Not(_DRAMA)),
        ({"genre": "drama", "year": {"$gte": 1, "$lt": 2}},
         And((_DRAMA, Compare("year", "$gte", 1.0), Compare("year", "$lt", 2.0)))),
        ({"year": {"$not": {"$gte": 1, "$lt": 2}}},
         Not(And((Compare("year", "$gte", 1.0), Compare("year", "$lt", 2.0))))),
        ({"$or": [{"genre": "drama"}, {"new": True}], "year": 1},
         And((Or((_DRAMA, Equals("new", True))), Equals("year", 1.0)))),
    ],
)  # fmt: skip
def test_parses(expression: dict[str, Any], condition: Filter) -> None:
    parsed = parse(expression)
    assert parsed == condition
    assert repr(parsed) == repr(condition)  # 1, 1.0 and True are equal, and must not be mixed up


def test_empty_filter_is_none() -> None:
    assert parse({}) is None
    assert parse({}, filterable_fields=[]) is None


_SCALAR = "a string, boolean or a number"
_LIST = "a list of strings or a list of numbers"
_FINITE = "a finite 64-bit number"
_OBJECT = "a non-empty object"
_OBJECTS = "a non-empty list of non-empty objects"


@pytest.mark.parametrize(
    ("expression", "operator", "expected", "shown"),
    [
        ({"f": None}, "$eq", _SCALAR, "null"),
        ({"f": ["a"]}, "$eq", _SCALAR, '["a"]'),
        ({"f": {"$eq": None}}, "$eq", _SCALAR, "null"),
        ({"f": {"$eq": {}}}, "$eq", _SCALAR, "{}"),
        ({"f": {"$ne": ["a"]}}, "$ne", _SCALAR, '["a"]'),
        ({"f": {"$gt": "5"}}, "$gt", "a number", '"5"'),
        ({"f": {"$gte": None}}, "$gte", "a number", "null"),
        ({"f": {"$lt": [1]}}, "$lt", "a number", "[1.0]"),
        ({"f": {"$lte": True}}, "$lte", "a number", "true"),
        ({"f": {"$in": "a"}}, "$in", _LIST, '"a"'),
        ({"f": {"$in": [None]}}, "$in", _LIST, "[null]"),
        ({"f": {"$in": [True]}}, "$in", _LIST, "[true]"),
        ({"f": {"$in": [1, True]}}, "$in", _LIST, "[1.0,true]"),
        ({"f": {"$nin": ["a", 1]}}, "$nin", _LIST, '["a",1.0]'),
        ({"f": {"$exists": 1}}, "$exists", "a boolean", "1.0"),
        ({"f": {"$eq": math.nan}}, "$eq", _FINITE, "NaN"),
        ({"f": {"$lt": -math.inf}}, "$lt", _FINITE, "-Infinity"),
        ({"f": 10**400}, "$eq", _FINITE, "Infinity"),
        ({"f": {"$in": [1, -(10**5000)]}}, "$in", _FINITE, "-Infinity"),
        ({"f": {"$not": {}}}, "$not", _OBJECT, "{}"),
        ({"f": {"$not": "a"}}, "$not", _OBJECT, '"a"'),
        ({"$not": {}}, "$not", _OBJECT, "{}"),
        ({"$not": [{"f": 1}]}, "$not", _OBJECT, '[{"f":1.0}]'),
        ({"$and": []}, "$and", _OBJECTS, "[]"),
        ({"$and": ["f"]}, "$and", _OBJECTS, '["f"]'),
        ({"$or": {"f": 1}}, "$or", _OBJECTS, '{"f":1.0}'),
        ({"$or": [{"f": 1}, {}]}, "$or", _OBJECTS, '[{"f":1.0},{}]'),
    ],
)
def test_refuses_operand(expression: dict[str, Any], operator: str, expected: str, shown: str) -> None:
    message = f"the {operator} operator must be followed by {expected}, got {shown} instead"
    assert _refusal(expression) == message


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ([], "a filter must be an object, got [] instead"),
        (None, "a filter must be an object, got null instead"),
        ("genre", 'a filter must be an object, got "genre" instead'),
        ({"f": {"$contains": "x"}}, "$contains is not a valid operator"),
        ({"$nor": [{"f": 1}]}, "$nor is not a valid operator"),
        ({"$eq": 1}, "the $eq operator must be applied to a field"),
        ({"f": {}}, "illegal condition for field f, got {}"),
        ({"f": {"eq": "a"}}, 'illegal condition for field f, got {"eq":"a"}'),
        ({"f": {"$eq": "ü", "g": 1}}, 'illegal condition for field f, got {"$eq":"ü","g":1.0}'),
        ({"f": {"$or": [{"$eq": 1}]}}, 'illegal condition for field f, got {"$or":[{"$eq":1.0}]}'),
        ({"f": {"$not": {"g": 1}}}, 'illegal condition for field f, got {"g":1.0}'),
    ],
)
def test_refuses_expression(expression: Any, message: str) -> None:
    assert _refusal(expression) == message


def _refusal(expression: Any, **options: Any) -> str:
    with pytest.raises(InvalidArgumentError) as refusal:
        parse(expression, **options)
    return refusal.value.message


def test_list_may_be_as_long_as_the_limit() -> None:
    values = [str(number) for number in range(FILTER_LIST_MAX)]
    assert parse({"f": {"$in": values}}) == OneOf("f", tuple(values))
    message = "the $nin operator must be followed by at most 10000 values, got 10001"
    assert _refusal({"f": {"$nin": [*values, "one more"]}}) == message


def _nested(operator: str, levels: int) -> dict[str, Any]:
    expression: dict[str, Any] = {"f": 1}
    for _ in range(levels):
        expression = {operator: expression if operator == "$not" else [expression]}
    return expression


_TOO_DEEP = "$and, $or and $not must not be nested more than 64 deep"


@pytest.mark.parametrize("operator", ["$and", "$or", "$not"])
def test_logical_operators_nest_up_to_the_limit(operator: str) -> None:
    assert parse(_nested(operator, FILTER_DEPTH_MAX)) is not None
    assert _refusal(_nested(operator, FILTER_DEPTH_MAX + 1)) == _TOO_DEEP


def test_not_after_a_field_counts_as_nesting() -> None:
    conditions: dict[str, Any] = {"$eq": 1}
    for _ in range(FILTER_DEPTH_MAX):
        conditions = {"$not": conditions}
    assert parse({"f": conditions}) is not None
    assert _refusal({"f": {"$not": conditions}}) == _TOO_DEEP
    assert _refusal({"$not": {"f": conditions}}) == _TOO_DEEP


@pytest.mark.parametrize("operator", ["$and", "$or", "$not"])
def test_hostile_nesting_of_operators_is_refused(operator: str) -> None:
    assert _refusal(_nested(operator, 100_000)) == _TOO_DEEP


@pytest.mark.parametrize("operator", ["$eq", "$gt", "$in", "$exists", "$not", "$regex"])
def test_hostile_nesting_of_values_is_refused(operator: str) -> None:
    hostile: Any = []
    for _ in range(100_000):
        hostile = [{operator: hostile}]
    assert _refusal({"f": {operator: hostile}})
    assert _refusal({"$and": hostile})


def test_error_text_shows_only_the_beginning_of_a_large_value() -> None:
    text = _refusal({"f" * 1000: {"g": "x" * 1000}})
    assert text == f'illegal condition for field {"f" * 200}..., got {{"g":"{"x" * 194}...'
    assert _refusal({"f": [1] * 1000}).endswith("got [1.0,1.0,1.0,1.0,1.0,...] instead")
    assert _refusal({"f": [[[[1]]]]}).endswith("got [[[...]]] instead")
    assert _refusal({"f": {"g": {"h": {"i": {"j": 1}}}}}).endswith('got {"g":{"h":{"i":...}}}')


def test_schema_limits_fields() -> None:
    expression = {"$or": [{"genre": "drama"}, {"year": {"$not": {"$in": [1]}}}, {"tags": {"$exists": True}}]}
    assert parse(expression, filterable_fields={"genre", "year", "tags"}) == parse(expression)
    message = "field year is not filterable: the metadata schema does not list it"
    assert _refusal(expression, filterable_fields=["genre", "tags"]) == message
