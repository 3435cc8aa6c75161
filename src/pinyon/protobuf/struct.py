"""`google.protobuf.Struct`, in which metadata and filters travel and metadata is stored.

    Struct    {1: repeated entry {1: key, 2: Value}}        a map; the last of equal keys wins
    Value     one of null 1, number 2 (double), string 3, bool 4, struct 5, list 6; none of them means null
    ListValue {1: repeated Value}

Metadata has a canonical form, so that stored bytes can be scanned by `pinyon.protobuf.columns`:

- a key appears once; an entry is `0a len [0a len key] [12 len value]`, with both fields even when empty;
- a value is a finite number, a string, a bool or a list of strings: nothing nested, no null;
- varints are as short as they can be, strings are UTF-8, a bool is 0 or 1.

`encode_metadata` writes only that form, `decode_metadata` reads only that form, `decode` reads any Struct.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from math import isfinite
from typing import Any, Final, TypeAlias, cast

import msgspec

from pinyon.errors import InvalidArgumentError
from pinyon.protobuf.wire_format import (
    BYTES,
    FIXED64,
    VARINT,
    Buffer,
    encode_varint,
    fields,
    malformed,
    read_text,
    read_varint,
)

FlatValue: TypeAlias = str | float | bool | list[str]

NULL: Final = 1
NUMBER: Final = 2
STRING: Final = 3
BOOL: Final = 4
STRUCT: Final = 5
LIST: Final = 6

DEPTH_MAX: Final = 100
"""Nesting of structs and lists; protobuf's own decoders stop there too."""

_WIRE_TYPES: Final = {NULL: VARINT, NUMBER: FIXED64, STRING: BYTES, BOOL: VARINT, STRUCT: BYTES, LIST: BYTES}
_NUMBER_VALUE: Final = struct.Struct("<Bd")
_DOUBLE: Final = struct.Struct("<d")
_INTEGRAL_MAX: Final = 2.0**63
_CACHED_LENGTH_MAX: Final = 40


# Any Struct.


def decode(data: Buffer) -> dict[str, Any]:
    """Decode any Struct; numbers become floats, null and missing values None.

    Raises:
        InvalidArgumentError: the bytes are not a Struct, nest deeper than `DEPTH_MAX`, or hold NaN or infinity.
    """
    return _decode_struct(data, DEPTH_MAX)


def _decode_struct(data: Buffer, depth: int) -> dict[str, Any]:
    return {key: _decode_value(value, depth) for key, value in _entries(data)}


def _entries(data: Buffer) -> Iterator[tuple[str, Buffer]]:
    for number, wire_type, start, end in fields(data, 0, len(data)):
        if number == 1 and wire_type == BYTES:
            yield _decode_entry(data[start:end])


def _decode_entry(data: Buffer) -> tuple[str, Buffer]:
    key = ""
    value: Buffer = b""
    for number, wire_type, start, end in fields(data, 0, len(data)):
        if number == 1 and wire_type == BYTES:
            key = read_text(data, start, end)
        elif number == 2 and wire_type == BYTES:
            # A message field that is repeated merges, and messages merge by standing one after the other.
            value = _joined(value, data[start:end])
    return key, value


def _joined(first: Buffer, second: Buffer) -> Buffer:
    return b"".join((first, second)) if len(first) else second


def _decode_value(data: Buffer, depth: int) -> Any:
    kind, content = NULL, data[:0]
    for number, wire_type, start, end in fields(data, 0, len(data)):
        if _WIRE_TYPES.get(number) == wire_type:
            merges = number == kind and number in (STRUCT, LIST)
            content = _joined(content, data[start:end]) if merges else data[start:end]
            kind = number
    return None if kind == NULL else _decode_kind(kind, content, depth)


def _decode_kind(kind: int, content: Buffer, depth: int) -> Any:
    if kind == NUMBER:
        return _finite(_DOUBLE.unpack(content)[0])
    if kind == STRING:
        return read_text(content, 0, len(content))
    if kind == BOOL:
        return read_varint(content, 0, len(content))[0] != 0
    if depth == 0:
        raise InvalidArgumentError(f"Value is nested deeper than {DEPTH_MAX} levels")
    if kind == STRUCT:
        return _decode_struct(content, depth - 1)
    return [_decode_value(member, depth - 1) for member in _members(content)]


def _members(data: Buffer) -> Iterator[Buffer]:
    for number, wire_type, start, end in fields(data, 0, len(data)):
        if number == 1 and wire_type == BYTES:
            yield data[start:end]


def _finite(number: float) -> float:
    if not isfinite(number):
        raise InvalidArgumentError(f"Number must be finite, got {number}")
    return number


# Metadata, in the canonical form.


def encode_metadata(metadata: Mapping[str, FlatValue]) -> bytes:
    """Encode metadata in the canonical form, fields in the order of the mapping; nothing for no fields.

    Args:
        metadata: flat and without null; the rules of the API are checked above.

    Raises:
        InvalidArgumentError: a number is not finite as a float64, or a string has lone surrogates.
    """
    try:
        return b"".join([_encode_any_field(key, value) for key, value in metadata.items()])
    except UnicodeEncodeError as error:
        raise InvalidArgumentError("Metadata must be text that UTF-8 can encode") from error


def _encode_any_field(key: str, value: FlatValue) -> bytes:
    # Categories and years recur from record to record; long texts and lists would only fill the cache.
    if type(value) is list or (type(value) is str and len(value) > _CACHED_LENGTH_MAX) or len(key) > _CACHED_LENGTH_MAX:
        return _encode_field(key, value)
    return _encode_field_cached(key, value)


def _encode_field(key: str, value: FlatValue) -> bytes:
    key_bytes, content = key.encode(), _encode_value(value)
    entry = b"\x0a" + encode_varint(len(key_bytes)) + key_bytes + b"\x12" + encode_varint(len(content)) + content
    return b"\x0a" + encode_varint(len(entry)) + entry


# Typed, because 1, 1.0 and True are equal and are encoded differently.
_encode_field_cached = cast(Callable[[str, FlatValue], bytes], lru_cache(maxsize=8192, typed=True)(_encode_field))


def _encode_value(value: FlatValue) -> bytes:
    if isinstance(value, str):
        return _encode_string(value)
    if isinstance(value, bool):
        return b"\x20\x01" if value else b"\x20\x00"
    if isinstance(value, list):
        return _encode_list(value)
    return _encode_number(value)


def _encode_string(text: str) -> bytes:
    text_bytes = text.encode()
    return b"\x1a" + encode_varint(len(text_bytes)) + text_bytes


def _encode_list(members: list[str]) -> bytes:
    values = [_encode_string(member) for member in members]
    content = b"".join([b"\x0a" + encode_varint(len(value)) + value for value in values])
    return b"\x32" + encode_varint(len(content)) + content


def _encode_number(number: float) -> bytes:
    try:
        # Plus zero makes minus zero zero: the cache above takes them for the same.
        return _NUMBER_VALUE.pack(0x11, _finite(number) + 0.0)
    except OverflowError as error:
        raise InvalidArgumentError("Number is too large for a float64") from error


def decode_metadata(data: Buffer) -> dict[str, FlatValue]:
    """Decode metadata in the canonical form; all numbers are floats.

    Raises:
        InvalidArgumentError: the bytes are not in that form.
    """
    return {
        read_text(data, key_start, key_end): _flat_value(data, kind, start, end)
        for key_start, key_end, kind, start, end in metadata_fields(data, 0, len(data))
    }


def metadata_fields(data: Buffer, position: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield where the fields of canonical metadata in `data[position:end]` are.

    Yields:
        Start and end of the key, kind (NUMBER, STRING, BOOL or LIST), and start and end of the content: the eight
        bytes of a number, the text of a string, the byte of a bool, the ListValue of a list.

    Raises:
        InvalidArgumentError: the bytes are not in the canonical form.
    """
    while position < end:
        position, entry_end = _expect(data, position, end, 0x0A)
        key_start, key_end = _expect(data, position, entry_end, 0x0A)
        value_start, value_end = _expect(data, key_end, entry_end, 0x12)
        if value_end != entry_end or value_start == value_end:
            raise _not_canonical()
        kind_tag = data[value_start]
        if kind_tag in (0x1A, 0x32):
            start, stop = _expect(data, value_start, value_end, kind_tag)
        else:
            start = value_start + 1
            stop = start + {0x11: 8, 0x20: 1}.get(kind_tag, -1)
        if stop != value_end:
            raise _not_canonical()
        yield key_start, key_end, kind_tag >> 3, start, stop
        position = entry_end


def list_members(data: Buffer, position: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of the strings of a canonical list.

    Raises:
        InvalidArgumentError: the bytes are not in the canonical form.
    """
    while position < end:
        value_start, value_end = _expect(data, position, end, 0x0A)
        start, stop = _expect(data, value_start, value_end, 0x1A)
        if stop != value_end:
            raise _not_canonical()
        yield start, stop
        position = stop


def _expect(data: Buffer, position: int, end: int, tag: int) -> tuple[int, int]:
    """Start and end of the content of the length-delimited field with `tag` at `position`."""
    if position + 1 < end and data[position] == tag:
        length = data[position + 1]
        start = position + 2
        if length >= 0x80:
            length, start = read_varint(data, position + 1, end)
        if start + length <= end:
            return start, start + length
    raise _not_canonical()


def _not_canonical() -> InvalidArgumentError:
    return malformed("not metadata in canonical form")


def _flat_value(data: Buffer, kind: int, start: int, end: int) -> FlatValue:
    if kind == STRING:
        return read_text(data, start, end)
    if kind == NUMBER:
        number: float = _DOUBLE.unpack_from(data, start)[0]
        return number
    if kind == BOOL:
        return data[start] != 0
    return [read_text(data, *member) for member in list_members(data, start, end)]


# Metadata as JSON.


def json_object(data: Buffer) -> dict[str, FlatValue | int]:
    """Decode canonical metadata as JSON shows it: integral numbers are ints, `2020` and not `2020.0`.

    Raises:
        InvalidArgumentError: the bytes are not in the canonical form.
    """
    return {key: _json_value(value) for key, value in decode_metadata(data).items()}


def _json_value(value: FlatValue) -> FlatValue | int:
    if isinstance(value, float) and value.is_integer() and abs(value) <= _INTEGRAL_MAX:
        return int(value)
    return value


def json_length(data: Buffer) -> int:
    """Bytes of canonical metadata as compact JSON text, which is how its size is limited.

    Raises:
        InvalidArgumentError: the bytes are not in the canonical form.
    """
    return len(msgspec.json.encode(json_object(data)))
