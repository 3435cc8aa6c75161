"""Parsing of filter expressions: Pinecone's subset of MongoDB's query language, from JSON values to a tree.

    expression = {member, ...}                 all members hold
    member     = "$and": [expression, ...]     all of them hold
               | "$or": [expression, ...]      at least one holds
               | "$not": expression            it does not hold
               | field: value                  short for {"$eq": value}
               | field: {condition, ...}       all conditions hold
    condition  = "$eq" | "$ne": string, number or boolean
               | "$gt" | "$gte" | "$lt" | "$lte": number
               | "$in" | "$nin": list of strings or list of numbers, may be empty
               | "$exists": boolean
               | "$not": {condition, ...}      they do not all hold

A field is any string that does not begin with `$`; dots in it mean nothing. Lists of clauses and inner objects may not
be empty: an empty clause would hold for every record, and a delete would take them all.

Expressions come from callers and may be hostile. Recursion goes only through `$and`, `$or` and `$not`, which are
counted; error texts show values cut short, in length and in depth. Where Pinecone's own text for an error is known it
is kept to the letter, lower case included.
"""

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeGuard

from pinyon.errors import InvalidArgumentError
from pinyon.filter.ast import And, Compare, Equals, Exists, Filter, Not, OneOf, Or, Scalar, fields_of
from pinyon.limits import FILTER_DEPTH_MAX, FILTER_LIST_MAX

_LOGICAL_OPERATORS: Final = frozenset({"$and", "$or", "$not"})
_FIELD_OPERATORS: Final = frozenset({"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$not"})

_SHOWN_CHARACTERS_MAX: Final = 200
_SHOWN_ITEMS_MAX: Final = 5
_SHOWN_DEPTH_MAX: Final = 3


def parse(expression: Mapping[str, Any], *, filterable_fields: Collection[str] | None = None) -> Filter | None:
    """Parse a filter expression.

    Args:
        expression: a JSON object; numbers may be int or float.
        filterable_fields: the fields that a metadata schema lists; None means that there is no schema and that every
            field may be used.

    Returns:
        The filter, or None for `{}`, which holds for every record.

    Raises:
        InvalidArgumentError: the expression breaks a rule of the language, or uses a field that is not filterable.
    """
    if not isinstance(expression, Mapping):
        raise InvalidArgumentError(f"a filter must be an object, got {_shown(expression)} instead")
    if not expression:
        return None
    condition = _parse_expression(expression, depth=0)
    if filterable_fields is not None:
        _check_filterable(condition, filterable_fields)
    return condition


def _parse_expression(expression: Mapping[str, Any], depth: int) -> Filter:
    """Parse an object that is not empty. `depth` counts the logical operators around it."""
    conditions: list[Filter] = []
    for key, operand in expression.items():
        if key in _LOGICAL_OPERATORS:
            conditions.append(_parse_logical(key, operand, depth))
        elif key in _FIELD_OPERATORS:
            raise InvalidArgumentError(f"the {key} operator must be applied to a field")
        elif key.startswith("$"):
            raise InvalidArgumentError(f"{_cut(key)} is not a valid operator")
        elif isinstance(operand, Mapping):
            conditions.extend(_parse_conditions(key, operand, depth))
        else:
            conditions.append(Equals(key, _scalar("$eq", operand)))
    return _conjunction(conditions)


def _parse_logical(operator: str, operand: object, depth: int) -> Filter:
    _check_depth(depth)
    if operator == "$not":
        if not _is_object(operand):
            raise _refusal(operator, "a non-empty object", operand)
        return Not(_parse_expression(operand, depth + 1))
    if not isinstance(operand, list) or not operand or not all(_is_object(clause) for clause in operand):
        raise _refusal(operator, "a non-empty list of non-empty objects", operand)
    clauses = [_parse_expression(clause, depth + 1) for clause in operand]
    return _conjunction(clauses) if operator == "$and" else _disjunction(clauses)


def _parse_conditions(field: str, conditions: Mapping[str, Any], depth: int) -> list[Filter]:
    """Parse what follows a field; all of the result must hold."""
    if not conditions or any(not key.startswith("$") or key in ("$and", "$or") for key in conditions):
        raise InvalidArgumentError(f"illegal condition for field {_cut(field)}, got {_shown(conditions)}")
    return [_parse_condition(field, operator, operand, depth) for operator, operand in conditions.items()]


def _parse_condition(field: str, operator: str, operand: object, depth: int) -> Filter:
    match operator:
        case "$eq":
            return Equals(field, _scalar(operator, operand))
        case "$ne":
            return Not(Equals(field, _scalar(operator, operand)))
        case "$gt" | "$gte" | "$lt" | "$lte":
            return Compare(field, operator, _number(operator, operand))
        case "$in":
            return OneOf(field, _values(operator, operand))
        case "$nin":
            return Not(OneOf(field, _values(operator, operand)))
        case "$exists":
            return _exists(field, operand)
        case "$not":
            return _negation(field, operand, depth)
        case _:
            raise InvalidArgumentError(f"{_cut(operator)} is not a valid operator")


def _exists(field: str, operand: object) -> Filter:
    if not isinstance(operand, bool):
        raise _refusal("$exists", "a boolean", operand)
    return Exists(field) if operand else Not(Exists(field))


def _negation(field: str, operand: object, depth: int) -> Filter:
    _check_depth(depth)
    if not _is_object(operand):
        raise _refusal("$not", "a non-empty object", operand)
    return Not(_conjunction(_parse_conditions(field, operand, depth + 1)))


def _scalar(operator: str, operand: object) -> Scalar:
    if isinstance(operand, (str, bool)):
        return operand
    if not _is_number(operand):
        raise _refusal(operator, "a string, boolean or a number", operand)
    return _number(operator, operand)


def _number(operator: str, operand: object) -> float:
    if not _is_number(operand):
        raise _refusal(operator, "a number", operand)
    number = _float64(operand)
    if not math.isfinite(number):
        raise _refusal(operator, "a finite 64-bit number", operand)
    return number


def _values(operator: str, operand: object) -> tuple[Scalar, ...]:
    """Return the members of a list, each once."""
    if not isinstance(operand, list):
        raise _refusal(operator, "a list of strings or a list of numbers", operand)
    if len(operand) > FILTER_LIST_MAX:
        raise InvalidArgumentError(
            f"the {operator} operator must be followed by at most {FILTER_LIST_MAX} values, got {len(operand)}"
        )
    if all(isinstance(value, str) for value in operand):
        return tuple(dict.fromkeys(operand))
    if all(_is_number(value) for value in operand):
        return tuple(dict.fromkeys(_number(operator, value) for value in operand))
    raise _refusal(operator, "a list of strings or a list of numbers", operand)


def _conjunction(conditions: Sequence[Filter]) -> Filter:
    return conditions[0] if len(conditions) == 1 else And(tuple(conditions))


def _disjunction(conditions: Sequence[Filter]) -> Filter:
    return conditions[0] if len(conditions) == 1 else Or(tuple(conditions))


def _is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether `value` is an object with members."""
    return isinstance(value, Mapping) and len(value) > 0


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _float64(number: int | float) -> float:
    """Round to float64, as metadata is; an integer beyond its range is an infinity."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _check_depth(depth: int) -> None:
    if depth >= FILTER_DEPTH_MAX:
        raise InvalidArgumentError(f"$and, $or and $not must not be nested more than {FILTER_DEPTH_MAX} deep")


def _check_filterable(condition: Filter, filterable_fields: Collection[str]) -> None:
    for field in fields_of(condition):
        if field not in filterable_fields:
            raise InvalidArgumentError(f"field {_cut(field)} is not filterable: the metadata schema does not list it")


def _refusal(operator: str, expected: str, operand: object) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"the {operator} operator must be followed by {expected}, got {_shown(operand)} instead"
    )


def _shown(value: object) -> str:
    return _cut(_json(value, _SHOWN_DEPTH_MAX))


def _json(value: object, depth: int) -> str:
    """Write `value` as JSON, leaving out what is deep. Numbers are doubles: REST and gRPC give the same text."""
    match value:
        case bool() | None:
            return json.dumps(value)
        case str():
            return json.dumps(value, ensure_ascii=False)
        case int() | float():
            return json.dumps(_float64(value))
        case list() if depth > 0:
            return f"[{_joined(_json(item, depth - 1) for item in value)}]"
        case Mapping() if depth > 0:
            return f"{{{_joined(f'{_json(key, 0)}:{_json(item, depth - 1)}' for key, item in value.items())}}}"
    return "..."


def _joined(items: Iterator[str]) -> str:
    shown = list(islice(items, _SHOWN_ITEMS_MAX + 1))
    return ",".join(shown if len(shown) <= _SHOWN_ITEMS_MAX else [*shown[:-1], "..."])


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else text[:_SHOWN_CHARACTERS_MAX] + "..."
