"""Reading the JSON of the data plane: from bytes to arrays without a Python object per number.

simdjson parses the body once; long arrays of numbers are copied out of it natively. The rules are those of the gateway
that Pinecone has in front of its data plane: a field may be written in camelCase or snake_case, `null` is as good as
absent, an integer may come as `10`, `10.0` or `"10"`. A field that is not known is refused, never dropped.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import numpy as np
import simdjson

from pinyon.errors import InvalidArgumentError
from pinyon.model.batches import bytes_column, sparse_column
from pinyon.model.record import Float32s, Metadata, RecordBatch, SparseVector, UInt32s
from pinyon.protobuf.struct import encode_metadata
from pinyon.protobuf.wire_format import Buffer
from pinyon.service.metadata_rules import check_metadata

Element: TypeAlias = Any
"""What simdjson gives for a value: an Object or Array that is not unpacked yet, or a Python scalar."""

FieldNames: TypeAlias = Mapping[str, str]
"""The names that an object may have: each spelling to the one that we use."""



def field_names(*names: str) -> FieldNames:
    """Both spellings of camelCase names."""
    return {name: name for name in names} | {_snake_case(name): name for name in names}


def _snake_case(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


_VECTOR: Final = field_names("id", "values", "sparseValues", "metadata")
_SPARSE: Final = field_names("indices", "values")


def parse_object(body: Buffer, names: FieldNames) -> dict[str, Element]:
    """Parse a body that must be an object with some of these fields; those that are null are left out.

    Raises:
        InvalidArgumentError: the body is no JSON object, or has another field.
    """
    return read_object(_parse(body), names, "the request")


_parsers: Final[deque[simdjson.Parser]] = deque(maxlen=4)
"""Parsers whose buffers are warm: memory that is fresh from the kernel costs a third of the time of parsing into it."""

_POOLED_BODY_BYTES_MAX: Final = 16 * 1024 * 1024
"""A parser keeps buffers of several times the largest body it has seen."""


def _parse(body: Buffer) -> Element:
    try:
        parser = _parsers.pop()
        document = parser.parse(body)
    except (IndexError, ValueError, RuntimeError):
        # No parser is free, or proxies of its last body are still in use; or the body is wrong, and will be again.
        parser = simdjson.Parser()
        document = _parse_afresh(parser, body)
    if len(body) <= _POOLED_BODY_BYTES_MAX:
        _parsers.append(parser)
    return document


def _parse_afresh(parser: simdjson.Parser, body: Buffer) -> Element:
    try:
        return parser.parse(body)
    except (ValueError, RuntimeError) as error:
        raise InvalidArgumentError(f"Invalid JSON payload received: {error}") from error


def read_object(element: Element, names: FieldNames, what: str) -> dict[str, Element]:
    """The fields of an object, by the names that we use; those that are null are left out."""
    if not isinstance(element, simdjson.Object):
        raise InvalidArgumentError(f"Invalid JSON payload received. {what} must be an object")
    fields: dict[str, Element] = {}
    try:
        for key in element:
            value = element[key]
            if value is not None:
                fields[names[key]] = value
    except KeyError as error:
        raise InvalidArgumentError(
            f'Invalid JSON payload received. Unknown name "{error.args[0]}" in {what}: cannot find field.'
        ) from error
    return fields


def read_text(fields: Mapping[str, Element], name: str, default: str = "") -> str:
    """A string field."""
    value = fields.get(name, default)
    if not isinstance(value, str):
        raise _wrong_type(name, "a string")
    return value


def read_bool(fields: Mapping[str, Element], name: str) -> bool:
    """A boolean field, False by default."""
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise _wrong_type(name, "a boolean")
    return value


def read_int(fields: Mapping[str, Element], name: str) -> int | None:
    """An integer field, which may be written as a number with a fraction of zero or as a string."""
    value = fields.get(name)
    if value is None:
        return None
    try:
        if isinstance(value, str):
            value = float(value) if not value.lstrip("-").isdigit() else int(value[:20])
        if isinstance(value, int | float) and not isinstance(value, bool) and value == int(value):
            return int(value)
    except (ValueError, OverflowError):
        pass
    raise _wrong_type(name, "an integer")


def read_texts(fields: Mapping[str, Element], name: str) -> list[str]:
    """A list of strings, empty by default."""
    value = fields.get(name)
    if value is None:
        return []
    texts = value.as_list() if isinstance(value, simdjson.Array) else [None]
    if not all(isinstance(text, str) for text in texts):
        raise _wrong_type(name, "a list of strings")
    return list(texts)


def read_dict(fields: Mapping[str, Element], name: str) -> dict[str, Any] | None:
    """An object, unpacked."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, simdjson.Object):
        raise _wrong_type(name, "an object")
    unpacked: dict[str, Any] = value.as_dict()
    return unpacked


def read_floats(element: Element, name: str) -> Float32s:
    """A list of numbers as float32, `(n,)`; a number too large for float32 becomes infinite, which the service refuses."""
    with np.errstate(over="ignore"):
        floats: Float32s = _doubles(element, name).astype(np.float32)
    return floats


def read_sparse(element: Element) -> SparseVector:
    """A sparse vector: `indices` and `values` of one length."""
    fields = read_object(element, _SPARSE, "sparse_values")
    values = read_floats(fields["values"], "values") if "values" in fields else np.empty(0, np.float32)
    indices = _indices(fields["indices"]) if "indices" in fields else np.empty(0, np.uint32)
    if len(indices) != len(values):
        raise InvalidArgumentError(
            f"Sparse vector must have as many indices as values, but got {len(indices)} indices and {len(values)} values"
        )
    return SparseVector(indices, values)


def read_metadata(element: Element) -> Metadata:
    """Metadata of a record; fields that are null are dropped, as Pinecone does over REST."""
    if not isinstance(element, simdjson.Object):
        raise _wrong_type("metadata", "an object")
    return check_metadata({field: value for field, value in element.as_dict().items() if value is not None})


def read_records(element: Element, dimension: int | None) -> RecordBatch:
    """The `vectors` of an upsert as one batch.

    Args:
        element: the JSON array.
        dimension: of the index; None for a sparse index.

    Raises:
        InvalidArgumentError: a record has the wrong shape; the message says how.
    """
    if not isinstance(element, simdjson.Array):
        raise _wrong_type("vectors", "a list")
    count = len(element)
    dense = None if dimension is None else np.empty((count, dimension), np.float32)
    ids: list[str] = []
    metadata: list[bytes] = []
    sparse: list[SparseVector | None] = []
    with np.errstate(over="ignore"):
        for row, vector in enumerate(element):
            fields = read_object(vector, _VECTOR, "vectors")
            ids.append(read_text(fields, "id"))
            doubles = _doubles(fields["values"], "values") if "values" in fields else _NO_DOUBLES
            if dense is not None and len(doubles) == dimension:
                dense[row] = doubles
            elif dense is not None or len(doubles):
                raise _wrong_dimension(len(doubles), dimension)
            metadata.append(encode_metadata(read_metadata(fields["metadata"])) if "metadata" in fields else b"")
            sparse.append(_read_present_sparse(fields) if "sparseValues" in fields else None)
    return RecordBatch(ids, dense, sparse_column(sparse), bytes_column(metadata))


_NO_DOUBLES: Final = np.empty(0)


def _wrong_dimension(length: int, dimension: int | None) -> InvalidArgumentError:
    if dimension is None:
        return InvalidArgumentError("Index configuration does not support dense values")
    return InvalidArgumentError(f"Vector dimension {length} does not match the dimension of the index {dimension}")


def _read_present_sparse(fields: Mapping[str, Element]) -> SparseVector | None:
    vector = read_sparse(fields["sparseValues"])
    return vector if len(vector.indices) else None


def _doubles(array: Element, name: str) -> Any:
    if not isinstance(array, simdjson.Array):
        raise _wrong_type(name, "a list of numbers")
    try:
        doubles = np.frombuffer(array.as_buffer(of_type="d"))
    except (TypeError, ValueError, RuntimeError) as error:
        raise _wrong_type(name, "a list of numbers") from error
    # Lists inside the list are flattened by `as_buffer`, which only the length betrays.
    if len(doubles) != len(array):
        raise _wrong_type(name, "a list of numbers")
    return doubles


def _indices(element: Element) -> UInt32s:
    doubles = _doubles(element, "indices")
    if ((doubles < 0) | (doubles > 2**32 - 1) | (doubles != np.floor(doubles))).any():
        raise InvalidArgumentError("Sparse vector indices must be integers between 0 and 4294967295")
    return doubles.astype(np.uint32)


def _wrong_type(name: str, wanted: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"Invalid value for '{name}': expected {wanted}")
