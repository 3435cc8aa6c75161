"""A JSON body to a typed struct, with errors worded like those of Pinecone's control plane.

Pinecone's texts are those of Rust's serde, `missing field`, `unknown field` and `unknown variant`, behind the path of
the object that they are about; clients and their tests look for them.
"""

import re
from typing import Any, Final, TypeVar

import msgspec

from pinyon.errors import InvalidArgumentError, UnprocessableError
from pinyon.protobuf.wire_format import Buffer

T = TypeVar("T")

_WORDINGS: Final = (
    (re.compile(r"Object missing required field (`.*`)", re.DOTALL), "missing field {}"),
    (re.compile(r"Object contains unknown field (`.*`)", re.DOTALL), "unknown field {}"),
    (re.compile(r"Invalid (?:enum )?value '(.*)'", re.DOTALL), "unknown variant `{}`"),
)


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """An object of a request. Unknown fields are refused, so that nothing is accepted and dropped."""


def decode_body(body: Buffer, shape: type[T]) -> T:
    """Decode a request body.

    Raises:
        InvalidArgumentError: it is not JSON.
        UnprocessableError: it is JSON of another shape.
    """
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        raise _shape_error_of(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgumentError(f"Failed to parse the request body as JSON: {error}") from error


def convert_part(part: Any, shape: Any, path: str) -> Any:
    """Give a decoded part of a body, found at `path`, its shape.

    Raises:
        UnprocessableError: it has another shape.
    """
    try:
        return msgspec.convert(part, shape)
    except msgspec.ValidationError as error:
        raise _shape_error_of(error, path) from error


def shape_error(detail: str, path: str = "") -> UnprocessableError:
    """The error of a body with a wrong shape; `path` is that of the object at fault, "" for the body itself."""
    where = f"{path}: " if path else ""
    return UnprocessableError(f"Failed to deserialize the JSON body into the target type: {where}{detail}")


def _shape_error_of(error: msgspec.ValidationError, path: str = "") -> UnprocessableError:
    """The same error in Pinecone's words; `path` is where the decoded value sits in the body."""
    detail, _, rest = str(error).partition(" - at `$")
    return shape_error(_worded(detail), (path + rest.removesuffix("`")).removeprefix("."))


def _worded(detail: str) -> str:
    for pattern, wording in _WORDINGS:
        found = pattern.fullmatch(detail)
        if found:
            return wording.format(found[1])
    return detail
