"""What metadata of a record may be, the same for REST and gRPC: flat, no null, no key that looks like an operator."""

import json
from collections.abc import Mapping
from typing import Final, cast

from pinyon.errors import InvalidArgumentError
from pinyon.model.record import Metadata, MetadataValue

_SCALARS: Final = frozenset({str, int, float, bool})

_SHOWN_DEPTH_MAX: Final = 8
_SHOWN_LENGTH_MAX: Final = 256
"""How much of a refused value an error shows: its text travels in a header, and the value may be megabytes."""


def check_metadata(fields: Mapping[str, object]) -> Metadata:
    """Return the fields as metadata.

    Raises:
        InvalidArgumentError: a field breaks a rule; the message names the first one that does.
    """
    for field, value in fields.items():
        # The usual types first, by identity: this runs for every field of every record.
        if type(value) not in _SCALARS or field.startswith("$"):
            check_metadata_value(field, value)
    return cast(Metadata, fields)


def check_metadata_value(field: str, value: object) -> MetadataValue:
    """Return the value if `field` may have it.

    Raises:
        InvalidArgumentError: the key starts with `$`, or the value is not a string, number, bool or list of strings.
    """
    if field.startswith("$"):
        raise InvalidArgumentError(f"Metadata field '{shorten(field)}' cannot start with '$'")
    if isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, list) and all(isinstance(member, str) for member in value):
        return cast(list[str], value)
    raise InvalidArgumentError(
        "Metadata value must be a string, number, boolean or list of strings, "
        f"got '{shorten(_json(value, _SHOWN_DEPTH_MAX))}' for field '{shorten(field)}'"
    )


def shorten(text: str) -> str:
    """Cut a text that an error quotes."""
    return text if len(text) <= _SHOWN_LENGTH_MAX else text[: _SHOWN_LENGTH_MAX - 1] + "…"


def _json(value: object, depth: int) -> str:
    """JSON text in which all numbers are doubles, `10.0`, as Pinecone prints them."""
    if depth == 0:
        return "…"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_text(str(key))}:{_json(member, depth - 1)}" for key, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_json(member, depth - 1) for member in value) + "]"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value}.0"
    return _text(value)


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
