import pytest

from pinyon.errors import InvalidArgumentError
from pinyon.protobuf import wire_format
from pinyon.protobuf.wire_format import encode_varint, fields, read_varint, tag


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, b"\x00"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (300, b"\xac\x02"),
        (2**32 - 1, b"\xff\xff\xff\xff\x0f"),
        (2**64 - 1, b"\xff" * 9 + b"\x01"),
    ],
)
def test_varints_are_written_and_read(value, encoded):
    assert encode_varint(value) == encoded
    assert read_varint(b"??" + encoded + b"?", 2, 2 + len(encoded)) == (value, 2 + len(encoded))


def test_a_varint_may_be_longer_than_it_needs_and_loses_what_64_bits_cannot_hold():
    assert read_varint(b"\x81\x80\x00", 0, 3) == (1, 3)
    assert read_varint(b"\xff" * 9 + b"\x7f", 0, 10) == (2**64 - 1, 10)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 10 + b"\x01"])
def test_a_varint_that_does_not_end_is_malformed(data):
    with pytest.raises(InvalidArgumentError, match="malformed protobuf: a varint does not end"):
        read_varint(data, 0, len(data))


def test_a_varint_is_not_read_beyond_the_end():
    with pytest.raises(InvalidArgumentError):
        read_varint(b"\x80\x01", 0, 1)


def test_fields_are_yielded_with_the_bounds_of_their_values():
    data = b"\x08\x96\x01" + b"\x12\x02hi" + b"\x1d1234" + b"\x2112345678" + b"\x82\x01\x00"
    found = [(number, wire_type, data[start:end]) for number, wire_type, start, end in fields(data, 0, len(data))]
    assert found == [(1, 0, b"\x96\x01"), (2, 2, b"hi"), (3, 5, b"1234"), (4, 1, b"12345678"), (16, 2, b"")]


def test_groups_are_skipped_with_all_that_is_in_them():
    inner = tag(5, wire_format.GROUP_START) + b"\x0a\x01x" + tag(5, wire_format.GROUP_END)
    group = tag(7, wire_format.GROUP_START) + b"\x08\x01" + inner + tag(7, wire_format.GROUP_END)
    data = group + b"\x08\x05" + group
    assert [number for number, *_ in fields(data, 0, len(data))] == [1]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x0a", "does not end"),
        (b"\x0a\x05abc", "longer than the message"),
        (b"\x0d123", "longer than the message"),
        (b"\x091234567", "longer than the message"),
        (b"\x0e", "6 is not a wire type"),
        (b"\x0f", "7 is not a wire type"),
        (b"\x00\x00", "0 is not a field number"),
        (b"\xfa\xff\xff\xff\xff\x01", "is not a field number"),
        (b"\x0c", "a group ends that did not start"),
        (b"\x0b\x14", "a group ends that did not start"),
        (b"\x0b\x08\x01", "does not end"),
        (b"\x0b" * 101, "nested too deeply"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "longer than the message"),
    ],
)
def test_bytes_that_are_not_a_message_are_malformed(data, why):
    with pytest.raises(InvalidArgumentError, match="malformed protobuf") as raised:
        list(fields(data, 0, len(data)))
    assert why in raised.value.message


def test_writers_leave_out_what_proto3_leaves_out():
    parts: list[bytes] = []
    wire_format.write_text(parts, 1, "")
    wire_format.write_varint(parts, 2, 0)
    wire_format.write_float(parts, 3, 0.0)
    assert parts == []


def test_writers_write_tag_length_and_value():
    parts: list[bytes] = []
    wire_format.write_text(parts, 1, "é")
    wire_format.write_varint(parts, 2, 300)
    wire_format.write_float(parts, 3, 1.0)
    wire_format.write_message(parts, 4, [b"ab", b"c"])
    wire_format.write_bytes(parts, 5, b"")
    assert (
        b"".join(parts)
        == b"\x0a\x02\xc3\xa9" + b"\x10\xac\x02" + b"\x1d\x00\x00\x80\x3f" + b"\x22\x03abc" + b"\x2a\x00"
    )
