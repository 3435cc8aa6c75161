"""Reading one message: each field of it from all of its occurrences, the way protobuf's own decoders do.

A field may occur more than once in any message: of a scalar the last occurrence counts, a repeated field goes on, and
an embedded message merges, which is what its occurrences mean when they stand one after the other. So every reader
takes the list of occurrences. A field that the schema does not name is skipped; one of another wire type than the
schema's is refused, since something that the caller meant would be lost.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import numpy as np

from pinyon import limits
from pinyon.errors import InvalidArgumentError
from pinyon.model.record import Float32s, Metadata, SparseVector
from pinyon.protobuf import struct
from pinyon.protobuf.columns import packed_varints
from pinyon.protobuf.wire_format import BYTES, FIXED32, VARINT, Buffer, fields, malformed, read_text, read_varint
from pinyon.service.metadata_rules import check_metadata

Occurrences: TypeAlias = list[Buffer]
"""The bytes of a field's values, without tags and lengths, in the order of the message; never empty."""

Reader: TypeAlias = Callable[[Occurrences], Any]
Schema: TypeAlias = Mapping[int, tuple[str, Reader]]
"""What a message is made of: field number to name and reader."""


def read_message(data: Buffer, schema: Schema) -> dict[str, Any]:
    """Read the fields of a message that occur in it, by name.

    Raises:
        InvalidArgumentError: the bytes are not such a message, or a value breaks a rule of its reader.
    """
    occurrences: dict[int, Occurrences] = {}
    for number, wire_type, start, end in fields(data, 0, len(data)):
        if number in schema:
            _check_wire_type(number, schema[number][1], wire_type)
            occurrences.setdefault(number, []).append(data[start:end])
    return {schema[number][0]: schema[number][1](found) for number, found in occurrences.items()}


def _check_wire_type(number: int, reader: Reader, wire_type: int) -> None:
    if wire_type not in _WIRE_TYPES.get(reader, (BYTES,)):
        raise malformed(f"field {number} has wire type {wire_type}")


def text(occurrences: Occurrences) -> str:
    """A string."""
    last = occurrences[-1]
    return read_text(last, 0, len(last))


def text_or_none(occurrences: Occurrences) -> str | None:
    """A string of which proto3 means by the empty one that it was not given."""
    return text(occurrences) or None


def texts(occurrences: Occurrences) -> list[str]:
    """A repeated string."""
    return [read_text(each, 0, len(each)) for each in occurrences]


def unsigned(occurrences: Occurrences) -> int:
    """An unsigned integer."""
    last = occurrences[-1]
    return read_varint(last, 0, len(last))[0]


def flag(occurrences: Occurrences) -> bool:
    """A bool."""
    return unsigned(occurrences) != 0


def number(occurrences: Occurrences) -> float:
    """A float."""
    return float(floats(occurrences)[-1])


def messages(occurrences: Occurrences) -> Occurrences:
    """A repeated embedded message, still encoded."""
    return occurrences


def any_struct(occurrences: Occurrences) -> dict[str, Any]:
    """A Struct of any depth, such as a filter."""
    return struct.decode(message(occurrences))


def metadata(occurrences: Occurrences) -> Metadata:
    """A Struct that obeys the rules of metadata."""
    return check_metadata(any_struct(occurrences))


def message(occurrences: Occurrences) -> Buffer:
    """An embedded message, still encoded."""
    return occurrences[0] if len(occurrences) == 1 else b"".join(occurrences)


def floats(occurrences: Occurrences) -> Float32s:
    """A repeated float, packed or not: both are the same bytes. The result is a copy."""
    if any(len(each) % 4 for each in occurrences):
        raise malformed("packed floats end inside a number")
    return np.frombuffer(b"".join(occurrences), "<f4")


def floats_or_none(occurrences: Occurrences) -> Float32s | None:
    """As `floats`, None for no numbers."""
    values = floats(occurrences)
    return values if values.size else None


def sparse_or_none(occurrences: Occurrences) -> SparseVector | None:
    """As `sparse_vector`, None for one without values."""
    vector = sparse_vector(occurrences)
    return vector if vector.indices.size else None


def sparse_vector(occurrences: Occurrences) -> SparseVector:
    """A SparseValues message.

    Raises:
        InvalidArgumentError: it is malformed, an index is too large, or there is not one value for each index.
    """
    content = read_message(message(occurrences), _SPARSE_VALUES)
    indices = content.get("indices", np.empty(0, np.uint32))
    values = content.get("values", np.empty(0, np.float32))
    if len(indices) != len(values):
        raise InvalidArgumentError(
            f"Sparse vector must have as many indices as values, got {len(indices)} indices and {len(values)} values"
        )
    return SparseVector(indices, values)


def _indices(occurrences: Occurrences) -> Any:
    if any(len(each) and each[-1] >= 0x80 for each in occurrences):
        raise malformed("packed integers end inside a number")
    indices, _ = packed_varints(np.frombuffer(b"".join(occurrences), np.uint8))
    if indices.max(initial=0) > limits.SPARSE_INDEX_MAX:
        raise InvalidArgumentError(
            f"Sparse vector index must be at most {limits.SPARSE_INDEX_MAX}, got {indices.max()}"
        )
    return indices.astype(np.uint32)


_WIRE_TYPES: Final[Mapping[Reader, tuple[int, ...]]] = {
    unsigned: (VARINT,),
    flag: (VARINT,),
    floats: (BYTES, FIXED32),
    floats_or_none: (BYTES, FIXED32),
    number: (FIXED32,),
    _indices: (BYTES, VARINT),
}

_SPARSE_VALUES: Final[Schema] = {1: ("indices", _indices), 2: ("values", floats)}
