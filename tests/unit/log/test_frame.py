"""Frames come back as they were written, and damaged ones do not come back at all."""

import numpy as np
import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from pinyon.errors import DataLossError
from pinyon.log.frame import (
    FILE_HEADER_BYTES,
    FRAME_HEADER_BYTES,
    FileHeader,
    Frame,
    decode_entries,
    decode_file_header,
    decode_frame,
    decode_frame_header,
    encode_file_header,
    encode_frame,
    find_frame_header,
)

SEED = crc32c(b"salt")

entries = st.lists(st.lists(st.binary(max_size=40), max_size=4), min_size=1, max_size=6)


@given(groups=st.lists(entries, min_size=1, max_size=4))
def test_entries_come_back_as_their_parts_joined(groups: list[list[list[bytes]]]) -> None:
    content, lsn = b"", 1
    for group in groups:
        content += b"".join(encode_frame(group, lsn, SEED))
        lsn += len(group)
    expected = list(enumerate((b"".join(entry) for group in groups for entry in group), start=1))
    assert _decode_all(memoryview(content)) == expected


def test_a_file_header_has_the_bytes_of_the_format_page() -> None:
    encoded = encode_file_header(FileHeader(bytes(range(16)), 258))
    fields = b"PINYNLOG" + bytes(range(16)) + bytes.fromhex("0201000000000000 01000000")
    assert encoded == fields + crc32c(fields).to_bytes(4, "little")
    assert decode_file_header(memoryview(encoded)) == FileHeader(bytes(range(16)), 258)


def test_a_frame_has_the_bytes_of_the_format_page() -> None:
    payload = bytes.fromhex("0300000000000000 6162630000000000 0000000000000000")
    fields = bytes.fromhex("1800000000000000 0700000000000000 02000000") + crc32c(payload, SEED).to_bytes(4, "little")
    expected = b"PYNF" + crc32c(fields, SEED).to_bytes(4, "little") + fields + payload
    assert b"".join(encode_frame([[b"a", b"bc"], []], 7, SEED)) == expected


def test_parts_are_not_copied() -> None:
    array = np.arange(10, dtype=np.float32).data.cast("B")
    assert any(part is array for part in encode_frame([[b"x", array]], 1, SEED))


def test_the_length_of_a_part_is_its_bytes_whatever_its_item_size() -> None:
    array = np.arange(3, dtype=np.float32)
    frame = decode_frame(memoryview(b"".join(encode_frame([[array.data]], 1, SEED))), 0, SEED)
    assert frame is not None
    assert [bytes(entry) for _, entry in decode_entries(frame)] == [array.tobytes()]


def test_every_changed_bit_of_a_frame_is_noticed() -> None:
    content = b"".join(encode_frame([[b"abc"], [b"defghijkl"]], 1, SEED))
    for bit in range(len(content) * 8):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        assert decode_frame(memoryview(damaged), 0, SEED) is None


def test_every_changed_bit_of_a_file_header_is_noticed() -> None:
    content = encode_file_header(FileHeader(b"0123456789abcdef", 1))
    assert len(content) == FILE_HEADER_BYTES
    for bit in range(len(content) * 8):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        assert decode_file_header(memoryview(damaged)) is None


def test_a_frame_cut_anywhere_is_not_a_frame() -> None:
    content = memoryview(b"".join(encode_frame([[b"abc"], [b"defghijkl"]], 1, SEED)))
    assert all(decode_frame(content[:size], 0, SEED) is None for size in range(len(content)))


def test_a_frame_of_a_file_with_another_salt_is_not_a_frame() -> None:
    content = memoryview(b"".join(encode_frame([[b"abc"]], 1, SEED)))
    assert decode_frame_header(content, 0, crc32c(b"other")) is None


def test_find_frame_header_gives_the_first_one_of_that_lsn_or_later() -> None:
    frames = [b"".join(encode_frame([[b"abc"]], lsn, SEED)) for lsn in (1, 2, 3)]
    noise = b"PYNF" * 10
    content = memoryview(noise + b"".join(frames) + noise[:-3])
    size = len(frames[0])
    assert find_frame_header(content, 0, SEED, 1) == 40
    assert find_frame_header(content, 0, SEED, 2) == 40 + size
    assert find_frame_header(content, 48, SEED, 0) == 40 + size
    assert find_frame_header(content, 0, SEED, 4) is None
    assert find_frame_header(content[: 40 + FRAME_HEADER_BYTES - 1], 0, SEED, 1) is None


@pytest.mark.parametrize("size", range(12))
def test_find_frame_header_takes_what_is_too_short(size: int) -> None:
    assert find_frame_header(memoryview(bytes(size)), 8, SEED, 1) is None


@given(payload=st.binary(max_size=64), entry_count=st.integers(0, 5))
def test_a_payload_that_no_writer_makes_is_data_loss_and_never_another_error(payload: bytes, entry_count: int) -> None:
    frame = Frame(first_lsn=1, entry_count=entry_count, payload=memoryview(payload), end=0)
    try:
        total = sum(8 + len(entry) + -len(entry) % 8 for _, entry in decode_entries(frame))
    except DataLossError:
        return
    assert total == len(payload)


def _decode_all(content: memoryview) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    offset = 0
    while offset < len(content):
        frame = decode_frame(content, offset, SEED)
        assert frame is not None
        found += [(lsn, bytes(entry)) for lsn, entry in decode_entries(frame)]
        offset = frame.end
    return found
