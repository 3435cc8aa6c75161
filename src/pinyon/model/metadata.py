"""Operations on metadata as it is stored: an encoded Struct."""

from pinyon.protobuf.struct import decode_metadata, encode_metadata


def merge_metadata(stored: bytes, changes: bytes) -> bytes:
    """Metadata with the fields of `changes` set over those of `stored`."""
    if not changes:
        return stored
    if not stored:
        return changes
    return encode_metadata(decode_metadata(stored) | decode_metadata(changes))
