"""The Protocol Buffers wire format, one field at a time: varints, tags, lengths.

Reading takes a buffer and positions in it, so nothing is copied. What holds:

- reading never looks at or after `end`, whatever the bytes say;
- bytes that are not a message raise InvalidArgumentError, never IndexError or ValueError;
- fields that the caller does not know, groups included, can be skipped.

Writing returns bytes or appends them to a list that the caller joins once.
"""

import struct
from collections.abc import Iterator
from functools import cache
from typing import Final, TypeAlias

from pinyon.errors import InvalidArgumentError

Buffer: TypeAlias = bytes | memoryview
Field: TypeAlias = tuple[int, int, int, int]
"""Field number, wire type, and where the value starts and ends (of BYTES without the length, of VARINT the varint)."""

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
GROUP_START: Final = 3
GROUP_END: Final = 4
FIXED32: Final = 5

_VARINT_BYTES_MAX: Final = 10
_FIELD_NUMBER_MAX: Final = 2**29 - 1
_GROUP_DEPTH_MAX: Final = 100
_UINT64_MASK: Final = 2**64 - 1

_FLOAT: Final = struct.Struct("<f")
_ONE_BYTE: Final = [bytes([value]) for value in range(0x80)]


def malformed(what: str) -> InvalidArgumentError:
    """The error for bytes that are not a message."""
    return InvalidArgumentError(f"Request body is malformed protobuf: {what}")


def read_varint(data: Buffer, position: int, end: int) -> tuple[int, int]:
    """Read one varint.

    Returns:
        The value, 0 to 2**64 - 1, and the position after it.

    Raises:
        InvalidArgumentError: it does not end before `end`, or within ten bytes.
    """
    value = 0
    for index in range(position, min(end, position + _VARINT_BYTES_MAX)):
        byte = data[index]
        value |= (byte & 0x7F) << (7 * (index - position))
        if byte < 0x80:
            return value & _UINT64_MASK, index + 1
    raise malformed("a varint does not end")


def fields(data: Buffer, position: int, end: int) -> Iterator[Field]:
    """Yield the fields of the message in `data[position:end]`, in their order; groups are skipped.

    Raises:
        InvalidArgumentError: the bytes are not a message.
    """
    while position < end:
        number, wire_type, start = _read_tag(data, position, end)
        if wire_type == GROUP_START:
            position = _skip_group(data, start, end, number)
        elif wire_type == GROUP_END:
            raise malformed("a group ends that did not start")
        else:
            start, position = _value_bounds(data, start, end, wire_type)
            yield number, wire_type, start, position


def _read_tag(data: Buffer, position: int, end: int) -> tuple[int, int, int]:
    tag, position = read_varint(data, position, end)
    number = tag >> 3
    if not 1 <= number <= _FIELD_NUMBER_MAX:
        raise malformed(f"{number} is not a field number")
    return number, tag & 7, position


def _value_bounds(data: Buffer, position: int, end: int, wire_type: int) -> tuple[int, int]:
    """Where the value at `position` starts and ends."""
    if wire_type == BYTES:
        length, position = read_varint(data, position, end)
        stop = position + length
    elif wire_type == VARINT:
        stop = read_varint(data, position, end)[1]
    elif wire_type == FIXED64:
        stop = position + 8
    elif wire_type == FIXED32:
        stop = position + 4
    else:
        raise malformed(f"{wire_type} is not a wire type")
    if stop > end:
        raise malformed("a field is longer than the message")
    return position, stop


def _skip_group(data: Buffer, position: int, end: int, number: int) -> int:
    """The position after the group whose start tag was just read."""
    open_groups = [number]
    while open_groups:
        number, wire_type, position = _read_tag(data, position, end)
        if wire_type == GROUP_START:
            open_groups.append(number)
            if len(open_groups) > _GROUP_DEPTH_MAX:
                raise malformed("groups are nested too deeply")
        elif wire_type == GROUP_END:
            if open_groups.pop() != number:
                raise malformed("a group ends that did not start")
        else:
            position = _value_bounds(data, position, end, wire_type)[1]
    return position


def read_text(data: Buffer, start: int, end: int) -> str:
    """Read a string field's value.

    Raises:
        InvalidArgumentError: it is not UTF-8.
    """
    try:
        return str(data[start:end], "utf-8")
    except UnicodeDecodeError as error:
        raise malformed("a string is not valid UTF-8") from error


def encode_varint(value: int) -> bytes:
    """Encode an integer from 0 to 2**64 - 1."""
    if value < 0x80:
        return _ONE_BYTE[value]
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


@cache
def tag(number: int, wire_type: int) -> bytes:
    """Encode the tag of a field."""
    return encode_varint(number << 3 | wire_type)


def write_bytes(parts: list[bytes], number: int, value: bytes) -> None:
    """Append a length-delimited field: a string's UTF-8, an encoded message or packed numbers, even when empty."""
    parts += (tag(number, BYTES), encode_varint(len(value)), value)


def write_message(parts: list[bytes], number: int, content: list[bytes]) -> None:
    """Append an embedded message that is itself in parts; they are not joined before the whole is."""
    parts += (tag(number, BYTES), encode_varint(sum(map(len, content))), *content)


def write_text(parts: list[bytes], number: int, value: str) -> None:
    """Append a string field; proto3 leaves out the empty string."""
    if value:
        write_bytes(parts, number, value.encode())


def write_varint(parts: list[bytes], number: int, value: int) -> None:
    """Append an unsigned integer or bool field; proto3 leaves out zero."""
    if value:
        parts += (tag(number, VARINT), encode_varint(value))


def write_float(parts: list[bytes], number: int, value: float) -> None:
    """Append a float field; proto3 leaves out zero."""
    if value:
        parts += (tag(number, FIXED32), _FLOAT.pack(value))
