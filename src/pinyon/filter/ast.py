"""A filter after parsing: a small tree of frozen nodes.

What must hold of a tree, and does of each that the parser makes:

- numbers are finite floats;
- `operands` are not empty;
- it is shallow enough to be walked by recursion.

Field and value semantics are in `pinyon.filter.evaluate`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

Scalar: TypeAlias = str | float | bool


@dataclass(frozen=True, slots=True)
class Equals:
    """`field` is `value`, or is a list with `value` among its members."""

    field: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class OneOf:
    """`field` equals one of `values`; a stored list does when any member does. No `values`: no record matches."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """`field` is a number on one side of `bound`."""

    field: str
    operator: Literal["$gt", "$gte", "$lt", "$lte"]
    bound: float


@dataclass(frozen=True, slots=True)
class Exists:
    """The record has `field`, whatever its value."""

    field: str


@dataclass(frozen=True, slots=True)
class Not:
    """`operand` does not hold; `$ne` is `Not` of `Equals`, `$nin` of `OneOf`. Records without the field match both."""

    operand: "Filter"


@dataclass(frozen=True, slots=True)
class And:
    """All `operands` hold."""

    operands: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of `operands` holds."""

    operands: tuple["Filter", ...]


Leaf: TypeAlias = Equals | OneOf | Compare | Exists
Filter: TypeAlias = Leaf | Not | And | Or


def leaves(condition: Filter) -> Iterator[Leaf]:
    """Give every condition of a single field within `condition`."""
    match condition:
        case And(operands) | Or(operands):
            for operand in operands:
                yield from leaves(operand)
        case Not(operand):
            yield from leaves(operand)
        case Equals() | OneOf() | Compare() | Exists():
            yield condition


def value_count(condition: Filter) -> int:
    """How many values `condition` compares with: what evaluating it for a row costs, at most."""
    return sum(len(leaf.values) if isinstance(leaf, OneOf) else 1 for leaf in leaves(condition))


def fields_of(condition: Filter) -> Iterator[str]:
    """Give every field that `condition` reads, once per mention: the columns that its evaluation needs."""
    return (leaf.field for leaf in leaves(condition))
