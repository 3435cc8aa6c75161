"""A filter applied to one record in plain Python: the oracle that `pinyon.filter.evaluate` is tested against.

What a filter means is told there.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Final

from pinyon.filter.ast import And, Compare, Equals, Exists, Filter, Not, OneOf, Or, Scalar
from pinyon.model.record import Metadata, MetadataValue

_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def matches(condition: Filter, metadata: Metadata) -> bool:
    """Return whether a record with `metadata` matches `condition`."""
    match condition:
        case Equals(field, value):
            return field in metadata and _equals(metadata[field], value)
        case OneOf(field, values):
            return field in metadata and any(_equals(metadata[field], value) for value in values)
        case Compare(field, operator_name, bound):
            return field in metadata and _compares(metadata[field], operator_name, bound)
        case Exists(field):
            return field in metadata
        case Not(operand):
            return not matches(operand, metadata)
        case And(operands):
            return all(matches(operand, metadata) for operand in operands)
        case Or(operands):
            return any(matches(operand, metadata) for operand in operands)


def _equals(stored: MetadataValue, value: Scalar) -> bool:
    if isinstance(stored, list):
        return value in stored
    # Python alone would call True equal to 1.
    return isinstance(stored, bool) == isinstance(value, bool) and stored == value


def _compares(stored: MetadataValue, operator_name: str, bound: float) -> bool:
    if isinstance(stored, (bool, str, list)):
        return False
    return _COMPARISONS[operator_name](stored, bound)
