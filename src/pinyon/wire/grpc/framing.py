"""gRPC's framing of messages inside an HTTP/2 body: one byte of flags, four of length (big-endian), the message.

Pinecone's methods are unary: a request body and a response body are one message each.
"""

import struct
import zlib
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from pinyon import limits
from pinyon.errors import InvalidArgumentError, PayloadTooLargeError, UnimplementedError
from pinyon.protobuf.wire_format import Buffer

_PREFIX: Final = struct.Struct(">BI")
_GZIP_WINDOW_BITS: Final = 31
"""zlib's number for the largest window inside a gzip header."""

_STATUS_MESSAGE_LENGTH_MAX: Final = 2048
"""Clients refuse trailers of more than 8 KiB, and then the caller would see neither status nor message."""

_UNRESERVED: Final = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


def unframe(body: Buffer, encoding: str = "identity") -> memoryview:
    """Take the one message out of a request body; without compression nothing is copied.

    Args:
        body: the whole body.
        encoding: the request's `grpc-encoding`.

    Raises:
        InvalidArgumentError: the body is not exactly one message, or its compressed bytes are damaged.
        PayloadTooLargeError: the message has more than `limits.MESSAGE_BYTES_MAX` bytes.
        UnimplementedError: it is compressed with something else than gzip.
    """
    if len(body) < _PREFIX.size:
        raise InvalidArgumentError("Request body must be one gRPC message, but it has no message prefix")
    flags, length = _PREFIX.unpack_from(body)
    message = memoryview(body)[_PREFIX.size :]
    if len(message) != length:
        raise InvalidArgumentError(
            f"Request body must be one gRPC message of {length} bytes, but has {len(message)} after the prefix"
        )
    if flags > 1:
        raise InvalidArgumentError(f"Request body has unknown gRPC flags {flags}")
    if length > limits.MESSAGE_BYTES_MAX:
        raise _too_large()
    return memoryview(_decompress(message, encoding)) if flags else message


def _decompress(message: memoryview, encoding: str) -> bytes:
    if encoding != "gzip":
        raise UnimplementedError(f"Message compression '{encoding}' is not supported, only 'gzip' and 'identity'")
    decompressor = zlib.decompressobj(_GZIP_WINDOW_BITS)
    try:
        data = decompressor.decompress(message, limits.MESSAGE_BYTES_MAX + 1)
    except zlib.error as error:
        raise InvalidArgumentError("Request body is not valid gzip") from error
    if len(data) > limits.MESSAGE_BYTES_MAX:
        raise _too_large()
    if not decompressor.eof or decompressor.unused_data:
        raise InvalidArgumentError("Request body is not valid gzip")
    return data


def _too_large() -> PayloadTooLargeError:
    return PayloadTooLargeError(f"Request message must have at most {limits.MESSAGE_BYTES_MAX} bytes")


def frame(parts: Sequence[bytes | memoryview]) -> bytes:
    """Make a response body of the parts of one encoded message, copied once."""
    return b"".join((_PREFIX.pack(0, sum(map(len, parts))), *parts))


def encode_status_message(message: str) -> str:
    """Percent-encode an error's text for the `grpc-message` trailer, shortened where it would not fit."""
    encoded = quote(message, safe=_UNRESERVED, errors="replace")
    if len(encoded) <= _STATUS_MESSAGE_LENGTH_MAX:
        return encoded
    # Every character has at most 12 bytes encoded; cutting the text, not its encoding, keeps them whole.
    return quote(message[: _STATUS_MESSAGE_LENGTH_MAX // 12], safe=_UNRESERVED, errors="replace") + "..."
