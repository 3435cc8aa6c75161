"""Reading the JSON of the data plane: from bytes to arrays without a Python object per number.

simdjson parses the body once; long arrays of numbers are copied out of it natively. The rules are those of the gateway
that Pinecone has in front of its data plane: a field may be written in camelCase or snake_case, `null` is as good as
absent, an integer may come as `10`, `10.0` or `"10"`. A field that is not known is refused, never dropped.
"""

import contextlib
import re
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from pinyon import limits
from pinyon.errors import InvalidArgumentError
from pinyon.model.batches import bytes_column, sparse_column
from pinyon.model.record import Float32s, Metadata, RecordBatch, SparseVector, UInt32s
from pinyon.protobuf.struct import encode_metadata
from pinyon.protobuf.wire_format import Buffer
from pinyon.service.metadata_rules import check_metadata
from pinyon.service.validation import check_record_count

try:
    import simdjson
except ImportError:  # No wheel for this interpreter.
    from pinyon.wire.rest import plain_json as simdjson  # type: ignore[no-redef]

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
_SEARCH_VECTOR: Final = {name: name for name in ("values", "sparse_values", "sparse_indices")}


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


_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
"""A number as JSON writes it; Python's own conversion takes more, such as `1_0` and `nan`."""


def read_int(fields: Mapping[str, Element], name: str) -> int | None:
    """An integer field, which may be written as a number with a fraction of zero or as a string."""
    value = fields.get(name)
    if value is None:
        return None
    try:
        if isinstance(value, str):
            value = float(value) if _NUMBER.fullmatch(value) else None
        if isinstance(value, int | float) and not isinstance(value, bool) and value == int(value):
            return int(value)
    except (ValueError, OverflowError):
        pass
    raise _wrong_type(name, "an integer")


def read_list(fields: Mapping[str, Element], name: str) -> list[Any]:
    """A list, unpacked; empty by default."""
    value = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, simdjson.Array):
        raise _wrong_type(name, "a list")
    return list(value.as_list())


def read_texts(fields: Mapping[str, Element], name: str) -> list[str]:
    """A list of strings, empty by default."""
    texts = read_list(fields, name)
    if not all(isinstance(text, str) for text in texts):
        raise _wrong_type(name, "a list of strings")
    return texts


def read_dict(fields: Mapping[str, Element], name: str) -> dict[str, Any] | None:
    """An object, unpacked."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, simdjson.Object):
        raise _wrong_type(name, "an object")
    unpacked: dict[str, Any] = value.as_dict()
    return unpacked


def read_vectors(
    body: Buffer, fields: Mapping[str, Element], dense_name: str, sparse_name: str
) -> tuple[Float32s | None, SparseVector | None]:
    """The dense vector, `(n,)`, and the sparse one of a query or an update; some clients send an empty one for none."""
    _check_flat(body, _number_lists(fields, dense_name, sparse_name), dense_name)
    dense = _floats(fields[dense_name], dense_name) if dense_name in fields else None
    sparse = _read_present_sparse(fields[sparse_name]) if sparse_name in fields else None
    return (None if dense is None or not len(dense) else dense), sparse


def read_search_vector(body: Buffer, element: Element, other_count: int) -> tuple[Float32s | None, SparseVector | None]:
    """As `read_vectors`, for the `vector` of a search; `other_count` lists are known to be elsewhere in the body."""
    fields = read_object(element, _SEARCH_VECTOR, "vector")
    _check_flat(body, [each for each in fields.values() if isinstance(each, simdjson.Array)], "vector", other_count)
    dense = _floats(fields["values"], "values") if "values" in fields else _NO_FLOATS
    sparse = _sparse_vector(fields.get("sparse_indices"), fields.get("sparse_values"), "sparse_values")
    return (dense if len(dense) else None), (sparse if len(sparse.indices) else None)


def _floats(element: Element, name: str) -> Float32s:
    """A list of numbers; one too large for float32 becomes infinite, which the service refuses."""
    with np.errstate(over="ignore"):
        floats: Float32s = _doubles(element, name).astype(np.float32)
    return floats


def _read_sparse(element: Element) -> SparseVector:
    """A sparse vector: `indices` and `values` of one length."""
    fields = read_object(element, _SPARSE, "sparse_values")
    return _sparse_vector(fields.get("indices"), fields.get("values"), "values")


def _sparse_vector(indices_element: Element, values_element: Element, values_name: str) -> SparseVector:
    """A sparse vector of two lists; None is an empty one."""
    values = _NO_FLOATS if values_element is None else _floats(values_element, values_name)
    indices = np.empty(0, np.uint32) if indices_element is None else _indices(indices_element)
    if len(indices) != len(values):
        raise InvalidArgumentError(
            f"Sparse vector must have as many indices as values, got {len(indices)} indices and {len(values)} values"
        )
    return SparseVector(indices, values)


def read_metadata(element: Element) -> Metadata:
    """Metadata of a record; fields that are null are dropped, as Pinecone does over REST."""
    if not isinstance(element, simdjson.Object):
        raise _wrong_type("metadata", "an object")
    metadata = element.as_dict()
    if None in metadata.values():
        metadata = {field: value for field, value in metadata.items() if value is not None}
    return check_metadata(metadata)


def read_records(body: Buffer, element: Element, dimension: int | None) -> RecordBatch:
    """The `vectors` of an upsert as one batch.

    Args:
        body: the text that `element` was parsed from.
        element: the JSON array.
        dimension: of the index; None for a sparse index.

    Raises:
        InvalidArgumentError: a record has the wrong shape; the message says how.
    """
    if not isinstance(element, simdjson.Array):
        raise _wrong_type("vectors", "a list")
    check_record_count(len(element))
    dense = None if dimension is None else np.empty((len(element), dimension), np.float32)
    ids: list[str] = []
    metadata: list[bytes] = []
    sparse: list[SparseVector | None] = []
    number_lists: list[Element] = []
    other_count = 1
    with np.errstate(over="ignore"):
        for row, vector in enumerate(element):
            fields = read_object(vector, _VECTOR, "vectors")
            ids.append(read_text(fields, "id"))
            doubles = _doubles(fields["values"], "values") if "values" in fields else _NO_DOUBLES
            if dense is not None and len(doubles) == dimension:
                dense[row] = doubles
            elif dense is not None or len(doubles):
                raise _wrong_dimension(len(doubles), dimension)
            described = read_metadata(fields["metadata"]) if "metadata" in fields else _NO_METADATA
            metadata.append(encode_metadata(described))
            sparse.append(_read_present_sparse(fields["sparseValues"]) if "sparseValues" in fields else None)
            number_lists += _number_lists(fields, "values", "sparseValues")
            other_count += ids[-1].count("[") + _brackets(described)
    _check_flat(body, number_lists, "values", other_count)
    return RecordBatch(ids, dense, sparse_column(sparse), bytes_column(metadata))


def _number_lists(fields: Mapping[str, Element], dense_name: str, sparse_name: str) -> list[Element]:
    lists = [fields.get(dense_name)]
    sparse = fields.get(sparse_name)
    if isinstance(sparse, simdjson.Object):
        lists += [sparse[key] for key in sparse if key in _SPARSE]
    return [each for each in lists if isinstance(each, simdjson.Array)]


def _brackets(metadata: Metadata) -> int:
    """How many brackets metadata has as JSON: of its lists, and in its texts, which often hold some."""
    count = "".join(metadata).count("[")
    for value in metadata.values():
        if isinstance(value, str):
            count += value.count("[")
        elif isinstance(value, list):
            count += 1 + "".join(value).count("[")
    return count


def _check_flat(body: Buffer, number_lists: Sequence[Element], name: str, other_count: int = 0) -> None:
    """Refuse lists of numbers with a list of one number inside, which `as_buffer` takes for the number.

    To look at each element takes as long as to parse it. The number of brackets in the body tells for most requests:
    there is one for each list. Where others stand in texts or filters that nobody counted, the elements are looked at.

    Args:
        body: the request's text.
        number_lists: all lists of numbers in it.
        name: what to call them.
        other_count: other brackets that are known to be in the body.
    """
    text = np.frombuffer(body, np.uint8)
    # A bracket that was counted in a text may have been written as an escape.
    may_be_escaped = other_count > 1 and bool((text == ord("\\")).any())
    if not may_be_escaped and np.count_nonzero(text == ord("[")) == len(number_lists) + other_count:
        return
    if any(isinstance(member, simdjson.Array) for array in number_lists for member in array):
        raise _wrong_type(name, "a list of numbers")


_NO_DOUBLES: Final = np.empty(0)
_NO_FLOATS: Final = np.empty(0, np.float32)
_NO_METADATA: Final[Metadata] = {}


def _wrong_dimension(length: int, dimension: int | None) -> InvalidArgumentError:
    if dimension is None:
        return InvalidArgumentError("Index configuration does not support dense values")
    return InvalidArgumentError(f"Vector dimension {length} does not match the dimension of the index {dimension}")


def _read_present_sparse(element: Element) -> SparseVector | None:
    vector = _read_sparse(element)
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
    """Sparse indices; like any integer, each may be written as a number with a fraction of zero or as a string."""
    if not isinstance(element, simdjson.Array):
        raise _wrong_type("indices", "a list of integers")
    with contextlib.suppress(TypeError, ValueError, RuntimeError):
        integers = np.frombuffer(element.as_buffer(of_type="u"), np.uint64)
        if integers.max(initial=0) <= limits.SPARSE_INDEX_MAX:
            return integers.astype(np.uint32)
    indices = [read_int({"indices": index}, "indices") for index in element]
    if not all(index is not None and 0 <= index <= limits.SPARSE_INDEX_MAX for index in indices):
        raise InvalidArgumentError(f"Sparse vector indices must be integers between 0 and {limits.SPARSE_INDEX_MAX}")
    return np.array(indices, np.uint32)


def _wrong_type(name: str, wanted: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"Invalid value for '{name}': expected {wanted}")
