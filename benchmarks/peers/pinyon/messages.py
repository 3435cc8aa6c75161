"""Pinecone's protobuf messages, as far as they are needed, written by hand: nothing of the server's codec is used."""

import itertools
import struct
from collections.abc import Iterator
from typing import Any

from benchmarks.peers.protocol import Batch, Floats, Where


def upsert_request(batch: Batch) -> bytes:
    return b"".join(
        _field(1, _vector(row, values, metadata))
        for row, values, metadata in zip(batch.rows, batch.vectors, batch.metadata, strict=True)
    )


def query_request(query: Floats, top_k: int, where: Where | None) -> bytes:
    request = _field(7, query.astype("<f4").tobytes()) + b"\x10" + _varint(top_k)
    return request if where is None else request + _field(3, _struct({where.field: where.value}))


def matched_ids(response: bytes) -> Iterator[str]:
    """The ids of a QueryResponse, best first."""
    for number, match in _members(response):
        if number == 2 and isinstance(match, bytes):
            yield next((v.decode() for n, v in _members(match) if n == 1 and isinstance(v, bytes)), "")


def _vector(row: int, values: Floats, metadata: dict[str, Any]) -> bytes:
    return _field(1, str(row).encode()) + _field(2, values.astype("<f4").tobytes()) + _field(3, _struct(metadata))


def _struct(members: dict[str, Any]) -> bytes:
    return b"".join(_field(1, _field(1, name.encode()) + _field(2, _value(v))) for name, v in members.items())


def _value(value: Any) -> bytes:
    match value:
        case str():
            return _field(3, value.encode())
        case bool():
            return b"\x20" + bytes([value])
        case int() | float():
            return b"\x11" + struct.pack("<d", value)
        case other:
            raise TypeError(f"metadata of type {type(other).__name__}")


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _members(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Number and content of each field."""
    position = 0
    while position < len(message):
        key, position = _read_varint(message, position)
        match key & 7:
            case 0:
                value, position = _read_varint(message, position)
                yield key >> 3, value
            case 2:
                length, position = _read_varint(message, position)
                yield key >> 3, message[position : position + length]
                position += length
            case 1:
                position += 8
            case 5:
                position += 4
            case other:
                raise ValueError(f"wire type {other}")


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in itertools.count(0, 7):
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    return value, position
