"""Terms: what the stored filter columns are asked about, each known by 128 bits.

A term is "the field exists", "the field is this boolean" or "the field is this string, or a list with it". Its bytes
are the kind (one ASCII letter: `e`, `b`, `s`), the length of the field's name (uint32, little-endian), the name, and
the value: nothing, one byte 0 or 1, the text; names and texts in UTF-8. Its *digest* is the BLAKE2b hash of these
bytes, with a digest size of 16 and no key. That is part of the format.

Digests stand for terms because they have one size: strings of any length make a dictionary that is small, is sorted and
searched by numpy, and is equally balanced whatever the strings. A cryptographic hash, because two terms with one digest
would be a wrong answer, and whoever writes metadata may look for such two.
"""

from hashlib import blake2b
from typing import Final

DIGEST_BYTES: Final = 16


def exists_prefix(field: bytes) -> bytes:
    """The bytes of the term for records that have `field`."""
    return _prefix(b"e", field)


def boolean_prefix(field: bytes) -> bytes:
    """What the byte 0 or 1 follows in the term of a boolean."""
    return _prefix(b"b", field)


def string_prefix(field: bytes) -> bytes:
    """What the text follows in the term of a string."""
    return _prefix(b"s", field)


def digest(prefix: bytes, value: bytes | memoryview = b"") -> bytes:
    """The digest of a term: `DIGEST_BYTES` bytes."""
    return blake2b(prefix + value, digest_size=DIGEST_BYTES).digest()


def _prefix(kind: bytes, field: bytes) -> bytes:
    return kind + len(field).to_bytes(4, "little") + field
