"""What is around the columns in a file of columns, written and read. `docs/format/v1.md`, section "Column files".

A file is its header, the columns, the table of checksums, the footer and the trailer, in this order.
"""

import struct
from typing import Any, Final, NamedTuple

import msgspec
from crc32c import crc32c

from pinyon.errors import DataLossError, FailedPreconditionError

CHUNK_BYTES: Final = 64 * 1024
"""So many bytes of a column have a checksum of their own."""

HEADER_BYTES: Final = 64
TRAILER_BYTES: Final = 44
DTYPES: Final = frozenset(
    {"uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64"}
)

_FORMAT_VERSION: Final = 1
_ALIGNMENT: Final = 64
_HEADER_MAGIC: Final = b"PINYNCOL"
_HEADER: Final = struct.Struct("<8s16sI")
_TRAILER_MAGIC: Final = b"PINYNEND"
_TRAILER: Final = struct.Struct("<QQQII")
_CHECKSUM: Final = struct.Struct("<I")
HEADER_FILLED_BYTES: Final = _HEADER.size + _CHECKSUM.size
"""The rest of the header is zeros."""


class ColumnEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One column, as the footer has it."""

    name: str
    dtype: str
    shape: list[int]
    offset: int
    length: int


class Footer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds."""

    kind: str
    properties: dict[str, Any]
    columns: list[ColumnEntry]


class Trailer(NamedTuple):
    """The fixed end of the file, but for its own checksum and magic."""

    table_offset: int
    footer_offset: int
    footer_bytes: int
    table_checksum: int
    footer_checksum: int


def aligned(offset: int) -> int:
    """Where a column begins, or the table, that comes behind what ends at `offset`; zeros are between."""
    return offset + -offset % _ALIGNMENT


def data_loss(path: str, what: str) -> DataLossError:
    """The error for a damaged file."""
    return DataLossError(f"{path}: {what}; restore it from a backup")


def encode_header(kind: str) -> bytes:
    """The header of a file; `kind` is 1 to 16 ASCII characters."""
    fields = _HEADER.pack(_HEADER_MAGIC, kind.encode("ascii"), _FORMAT_VERSION)
    return (fields + _CHECKSUM.pack(crc32c(fields))).ljust(HEADER_BYTES, b"\0")


def encode_end(table_offset: int, table: bytes, footer: Footer) -> list[bytes]:
    """What comes behind the columns: the table of checksums, at `table_offset`, the footer and the trailer."""
    encoded = msgspec.msgpack.encode(footer)
    fields = Trailer(table_offset, table_offset + len(table), len(encoded), crc32c(table), crc32c(encoded))
    trailer = _TRAILER.pack(*fields)
    return [table, encoded, trailer, _CHECKSUM.pack(crc32c(trailer)), _TRAILER_MAGIC]


def check_header(path: str, content: memoryview, kind: str) -> None:
    """Check that a file is a file of columns, of this kind.

    Raises:
        DataLossError: it is not.
        FailedPreconditionError: a newer Pinyon wrote it.
    """
    if len(content) < HEADER_BYTES + TRAILER_BYTES:
        raise data_loss(path, f"it has only {len(content)} bytes")
    magic, found_kind, version = _HEADER.unpack_from(content)
    (checksum,) = _CHECKSUM.unpack_from(content, _HEADER.size)
    if magic != _HEADER_MAGIC or checksum != crc32c(content[: _HEADER.size]):
        raise data_loss(path, "the file header is damaged")
    if version != _FORMAT_VERSION:
        raise FailedPreconditionError(
            f"{path} has column file format {version}; this Pinyon reads format {_FORMAT_VERSION}: "
            "open the data directory with the version of Pinyon that wrote it"
        )
    if found_kind.rstrip(b"\0") != kind.encode("ascii"):
        raise data_loss(path, f"it is of kind {found_kind!r} where {kind!r} must be")


def read_trailer(path: str, content: memoryview) -> Trailer:
    """The trailer of a file that has a header.

    Raises:
        DataLossError: it is damaged, or tells of another file.
    """
    raw = content[-TRAILER_BYTES:]
    (checksum,) = _CHECKSUM.unpack_from(raw, _TRAILER.size)
    if bytes(raw[-len(_TRAILER_MAGIC) :]) != _TRAILER_MAGIC or checksum != crc32c(raw[: _TRAILER.size]):
        raise data_loss(path, "its end is damaged or cut off")
    trailer = Trailer(*_TRAILER.unpack_from(raw))
    if trailer.footer_offset + trailer.footer_bytes + TRAILER_BYTES != len(content):
        raise data_loss(path, f"it has {len(content)} bytes, and not those that its end tells")
    if not HEADER_BYTES <= trailer.table_offset <= trailer.footer_offset:
        raise data_loss(path, "its end contradicts itself")
    return trailer


def read_table(path: str, content: memoryview, trailer: Trailer) -> memoryview:
    """The table of checksums, 4 bytes each.

    Raises:
        DataLossError: it is damaged.
    """
    table = content[trailer.table_offset : trailer.footer_offset]
    if crc32c(table) != trailer.table_checksum or len(table) % _CHECKSUM.size:
        raise data_loss(path, "the table of checksums is damaged")
    return table


def read_footer(path: str, content: memoryview, trailer: Trailer) -> Footer:
    """The footer; that its columns are where it says is not checked.

    Raises:
        DataLossError: it is damaged.
    """
    encoded = content[trailer.footer_offset : trailer.footer_offset + trailer.footer_bytes]
    if crc32c(encoded) != trailer.footer_checksum:
        raise data_loss(path, "the footer is damaged")
    try:
        return msgspec.msgpack.decode(encoded, type=Footer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise data_loss(path, f"the footer cannot be read: {error}") from error
