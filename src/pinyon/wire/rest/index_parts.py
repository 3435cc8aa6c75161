"""Parts of the bodies of the control plane that several of its requests have, in every version."""

from enum import StrEnum
from typing import Any

from pinyon.errors import InvalidArgumentError, UnimplementedError
from pinyon.wire.rest.typed_body import Body


class Protection(StrEnum):
    """Whether an index is protected from deletion."""

    ENABLED = "enabled"
    DISABLED = "disabled"


class _ReadMode(StrEnum):
    ON_DEMAND = "OnDemand"
    DEDICATED = "Dedicated"


class ReadCapacity(Body):
    """Who answers reads: Pinyon has only "on demand"."""

    mode: _ReadMode | None = None
    dedicated: Any = None


class _MetadataField(Body):
    filterable: bool


class MetadataSchema(Body):
    """Which metadata fields filters may use."""

    fields: dict[str, _MetadataField]


def is_protected(protection: Protection | None) -> bool | None:
    """The protection as the service takes it."""
    return None if protection is None else protection is Protection.ENABLED


def check_read_capacity(capacity: ReadCapacity | None) -> None:
    """Refuse what Pinyon does not have.

    Raises:
        UnimplementedError: it is dedicated.
    """
    if capacity and (capacity.mode is _ReadMode.DEDICATED or capacity.dedicated is not None):
        raise UnimplementedError("Dedicated read capacity is not supported")


def filterable_fields_of(schema: MetadataSchema | None) -> tuple[str, ...] | None:
    """The names in a metadata schema; None without one.

    Raises:
        InvalidArgumentError: a field is said not to be filterable.
    """
    if schema is None:
        return None
    for name, field in schema.fields.items():
        if not field.filterable:
            raise InvalidArgumentError(
                f"Field '{name}' is set to filterable: false. Only filterable: true is supported."
            )
    return tuple(schema.fields)
