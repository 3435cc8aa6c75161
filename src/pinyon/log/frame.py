"""The bytes of a log file: `docs/format/v1.md`, section "Log". No I/O.

A file is one file header and then frames without a gap. All numbers are little-endian; all lengths and offsets are
multiples of 8, so that the arrays in an entry are aligned in the mapped file.

    file header, 40 bytes                       frame header, 32 bytes
     0   8  magic "PINYNLOG"                     0   4  magic "PYNF"
     8  16  salt                                 4   4  checksum of bytes 8 to 31
    24   8  LSN of the file's first entry        8   8  payload length
    32   4  format version, 1                   16   8  LSN of the frame's first entry
    36   4  checksum of bytes 0 to 35           24   4  entries in the frame
                                                28   4  checksum of the payload
    payload: for each entry its length (8 bytes), its bytes, and zeros up to a multiple of 8

Checksums are CRC-32C. Those of frames start from the CRC-32C of the file's salt, so that a frame of another file, left
in a block of the disk that was freed and given to this one, does not pass. The header has a checksum of its own:
after a damaged frame, frame headers are searched at all offsets, and each can be judged without reading a payload.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from crc32c import crc32c

from pinyon.errors import DataLossError
from pinyon.log.protocol import Entry
from pinyon.model.record import Lsn
from pinyon.storage.protocol import BytesLike

FORMAT_VERSION: Final = 1
SALT_BYTES: Final = 16
FILE_HEADER_BYTES: Final = 40
FRAME_HEADER_BYTES: Final = 32

_FILE_MAGIC: Final = b"PINYNLOG"
_FILE_HEADER: Final = struct.Struct("<8s16sQI")
_FRAME_MAGIC: Final = int.from_bytes(b"PYNF", "little")
_FRAME_PREFIX: Final = struct.Struct("<II")
_FRAME_FIELDS: Final = struct.Struct("<QQII")
_CHECKSUM: Final = struct.Struct("<I")
_LENGTH: Final = struct.Struct("<Q")
_ALIGNMENT: Final = 8


class FileHeader(NamedTuple):
    """The start of a log file."""

    salt: bytes
    first_lsn: Lsn
    version: int = FORMAT_VERSION

    @property
    def seed(self) -> int:
        """What the checksums of the file's frames start from."""
        return crc32c(self.salt)


class FrameHeader(NamedTuple):
    """A frame header whose own checksum was right."""

    payload_bytes: int
    first_lsn: Lsn
    entry_count: int
    payload_checksum: int


class Frame(NamedTuple):
    """A frame all of whose checksums were right. `end` is the offset of the next one."""

    first_lsn: Lsn
    entry_count: int
    payload: memoryview
    end: int


def encode_file_header(header: FileHeader) -> bytes:
    """The first bytes of a log file."""
    assert len(header.salt) == SALT_BYTES
    fields = _FILE_HEADER.pack(_FILE_MAGIC, header.salt, header.first_lsn, header.version)
    return fields + _CHECKSUM.pack(crc32c(fields))


def decode_file_header(content: memoryview) -> FileHeader | None:
    """The header of a log file of any version; None if it is not whole or its checksum is wrong."""
    if len(content) < FILE_HEADER_BYTES:
        return None
    magic, salt, first_lsn, version = _FILE_HEADER.unpack_from(content)
    (checksum,) = _CHECKSUM.unpack_from(content, _FILE_HEADER.size)
    if magic != _FILE_MAGIC or checksum != crc32c(content[: _FILE_HEADER.size]):
        return None
    return FileHeader(salt, first_lsn, version)


def encode_frame(entries: Sequence[Entry], first_lsn: Lsn, seed: int) -> list[BytesLike]:
    """One frame as buffers to be written back to back. The parts of the entries are among them, not copied."""
    parts = [b"", *_payload_parts(entries)]
    payload_bytes, payload_checksum = 0, seed
    for part in parts:
        payload_bytes += _byte_count(part)
        payload_checksum = crc32c(part, payload_checksum)
    fields = _FRAME_FIELDS.pack(payload_bytes, first_lsn, len(entries), payload_checksum)
    parts[0] = _FRAME_PREFIX.pack(_FRAME_MAGIC, crc32c(fields, seed)) + fields
    return parts


def decode_frame(content: memoryview, offset: int, seed: int) -> Frame | None:
    """The frame at an offset of a file; None if it is not whole or a checksum is wrong."""
    header = decode_frame_header(content, offset, seed)
    if header is None:
        return None
    start = offset + FRAME_HEADER_BYTES
    payload = content[start : start + header.payload_bytes]
    if len(payload) != header.payload_bytes or crc32c(payload, seed) != header.payload_checksum:
        return None
    return Frame(header.first_lsn, header.entry_count, payload, start + header.payload_bytes)


def decode_frame_header(content: memoryview, offset: int, seed: int) -> FrameHeader | None:
    """The frame header at an offset of a file; None if it is not whole or its checksum is wrong."""
    if len(content) - offset < FRAME_HEADER_BYTES:
        return None
    magic, checksum = _FRAME_PREFIX.unpack_from(content, offset)
    fields = content[offset + _FRAME_PREFIX.size : offset + FRAME_HEADER_BYTES]
    if magic != _FRAME_MAGIC or checksum != crc32c(fields, seed):
        return None
    return FrameHeader(*_FRAME_FIELDS.unpack(fields))


def find_frame_header(content: memoryview, start: int, seed: int, lsn_min: Lsn) -> int | None:
    """The first offset from `start`, a multiple of 8, with a whole frame header of LSN `lsn_min` or later."""
    words = np.frombuffer(content[start : start + (len(content) - start) // _ALIGNMENT * _ALIGNMENT], dtype="<u4")
    for index in np.flatnonzero(words[::2] == _FRAME_MAGIC):
        offset = start + int(index) * _ALIGNMENT
        header = decode_frame_header(content, offset, seed)
        if header is not None and header.first_lsn >= lsn_min:
            return offset
    return None


def decode_entries(frame: Frame) -> Iterator[tuple[Lsn, memoryview]]:
    """The entries of a frame, each a view of its payload.

    Raises:
        DataLossError: lengths and count do not fit the payload; since its checksum is right, it was written so.
    """
    offset = 0
    for lsn in range(frame.first_lsn, frame.first_lsn + frame.entry_count):
        if len(frame.payload) - offset < _LENGTH.size:
            raise DataLossError(f"entry {lsn} is missing")
        (length,) = _LENGTH.unpack_from(frame.payload, offset)
        offset += _LENGTH.size
        if length > len(frame.payload) - offset:
            raise DataLossError(f"entry {lsn} is longer than its frame")
        yield lsn, frame.payload[offset : offset + length]
        offset += length + _padding(length)
    if offset != len(frame.payload):
        raise DataLossError("entries do not fill their frame")


def _payload_parts(entries: Sequence[Entry]) -> Iterator[BytesLike]:
    for entry in entries:
        length = sum(map(_byte_count, entry))
        yield _LENGTH.pack(length)
        yield from entry
        if padding := _padding(length):
            yield bytes(padding)


def _byte_count(part: BytesLike) -> int:
    return memoryview(part).nbytes  # len() would count the items of a view of floats.


def _padding(length: int) -> int:
    return -length % _ALIGNMENT
