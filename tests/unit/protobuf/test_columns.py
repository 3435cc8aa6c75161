from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pinyon.errors import InvalidArgumentError
from pinyon.protobuf import columns
from pinyon.protobuf.struct import encode_metadata


def buffer_of(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)


def column_of(rows: list[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    offsets = np.cumsum([0, *map(len, rows)])
    return buffer_of(b"".join(rows)), offsets[:-1], offsets[1:]


def scanned(*rows: bytes) -> tuple[columns.Entries, columns.Bytes]:
    buffer, starts, ends = column_of(list(rows))
    return columns.scan_structs(buffer, starts, ends), buffer


def test_varints_of_all_lengths_are_read_at_once():
    data = b"\x05\xac\x02\x80\x80\x01\xff\xff\xff\xff\x0f"
    values, after = columns.read_varints(buffer_of(data), np.array([0, 1, 3, 6]))
    assert values.tolist() == [5, 300, 1 << 14, 2**32 - 1]
    assert after.tolist() == [1, 3, 6, 11]


@pytest.mark.parametrize("data", [b"\x80\x80\x80\x80\x80\x01", b"\x81\x00", b"\x81\x80\x00", b"\x80"])
def test_a_varint_that_is_too_long_or_does_not_end_leads_beyond_the_buffer(data):
    _, after = columns.read_varints(buffer_of(data), np.array([0]))
    assert after[0] > len(data)


def test_packed_varints_that_are_cut_off_leave_out_the_last():
    values, ends = columns.packed_varints(buffer_of(b"\x01\xac\x02\x80"))
    assert (values.tolist(), ends.tolist()) == ([1, 300], [1, 3])


@pytest.mark.parametrize("lengths", [[3, 3, 3], [0, 2, 5], [200, 0, 300], [0, 0, 0], []])
def test_slices_are_gathered_back_to_back_into_bytes_of_their_own(lengths):
    data = bytes(range(256)) * 4
    starts = np.array([7, 90, 400][: len(lengths)], np.int64)
    gathered = columns.gather(buffer_of(data), starts, starts + np.array(lengths, np.int64))
    assert gathered.tobytes() == b"".join(data[s : s + n] for s, n in zip(starts.tolist(), lengths, strict=True))
    assert gathered.flags.writeable


def test_slices_are_compared_with_a_value_up_to_the_last_byte():
    starts, ends = np.array([0, 2, 4, 6]), np.array([2, 4, 6, 8])
    assert columns.equal_slices(buffer_of(b"abacabab"), starts, ends, b"ab").tolist() == [True, False, True, True]
    assert columns.equal_slices(buffer_of(b"ab"), np.array([0, 1]), np.array([0, 2]), b"").tolist() == [True, False]
    assert columns.equal_slices(buffer_of(b"ab"), np.array([0]), np.array([2]), b"longer").tolist() == [False]


def test_slices_that_are_not_utf8_are_found():
    data = "aé".encode() + b"\xff" + b"b"
    starts, ends = np.array([0, 1, 3, 4, 1]), np.array([1, 3, 4, 5, 2])
    assert columns.not_utf8(buffer_of(data), starts, ends).tolist() == [2, 4]


def test_a_scan_tells_where_each_field_is():
    entries, buffer = scanned(encode_metadata({"a": "xy", "b": 2.0}), b"", encode_metadata({"c": True, "d": ["z"]}))
    found = {
        (row, buffer[key_start:key_end].tobytes()): (kind, buffer[start:end].tobytes())
        for row, key_start, key_end, kind, start, end in zip(
            *(
                getattr(entries, name).tolist()
                for name in ("row", "key_start", "key_end", "kind", "value_start", "value_end")
            ),
            strict=True,
        )
    }
    assert found == {
        (0, b"a"): (3, b"xy"),
        (0, b"b"): (2, b"\x00\x00\x00\x00\x00\x00\x00\x40"),
        (2, b"c"): (4, b"\x01"),
        (2, b"d"): (6, b"\x0a\x03\x1a\x01z"),
    }
    assert entries.irregular.size == 0


def test_a_row_that_is_not_canonical_is_irregular_and_has_no_entries():
    good = encode_metadata({"a": "x", "b": 1.0})
    null = b"\x0a\x07\x0a\x01n\x12\x02\x08\x00"
    entries, _ = scanned(good, good + null, good[:-1], null, good)
    assert entries.irregular.tolist() == [1, 2, 3]
    assert sorted(entries.row.tolist()) == [0, 0, 4, 4]


@pytest.mark.parametrize("position", range(len(encode_metadata({"a": "x", "b": 1.0, "c": True}))))
def test_a_row_that_ends_early_is_irregular_also_at_the_end_of_the_buffer(position):
    whole = encode_metadata({"a": "x", "b": 1.0, "c": True})
    complete = {0, len(encode_metadata({"a": "x"})), len(encode_metadata({"a": "x", "b": 1.0}))}
    entries, _ = scanned(whole, whole[:position])
    assert entries.irregular.tolist() == ([] if position in complete else [1])


def test_a_row_does_not_reach_into_the_next():
    long_key = b"\x0a\x20\x0a\x1ekey"
    entries, _ = scanned(long_key, encode_metadata({"a": "x" * 50}))
    assert entries.irregular.tolist() == [0]


def test_what_follows_a_value_inside_its_entry_is_not_the_next_entry():
    inner = encode_metadata({"b": True})
    entry = b"\x0a\x01a\x12\x02\x20\x01" + inner
    entries, _ = scanned(b"\x0a" + bytes([len(entry)]) + entry)
    assert entries.irregular.tolist() == [0]


def test_a_bool_that_is_neither_0_nor_1_is_irregular():
    entries, _ = scanned(b"\x0a\x07\x0a\x01n\x12\x02\x20\x02")
    assert entries.irregular.tolist() == [0]


def test_the_last_rows_with_many_fields_are_left_to_the_scalar_codec():
    many = encode_metadata({f"field {number}": float(number) for number in range(40)})
    few = encode_metadata({"a": 1.0})
    entries, _ = scanned(few, many, few)
    assert entries.irregular.tolist() == [1]
    assert columns.scan_structs(*column_of([many] * 8)).row.size == 320


@pytest.mark.parametrize("length", [0, 3, 8, 20])
def test_rows_with_equal_keys_are_found(length):
    key = "k" * length
    field, other = encode_metadata({key: 1.0}), encode_metadata({key + "x": 1.0})
    entries, buffer = scanned(field + other, field + other + field, field, other + other)
    assert columns.rows_with_repeated_keys(buffer, entries).tolist() == [1, 3]


def test_members_of_lists_are_found():
    rows = [encode_metadata({"a": members})[9:] for members in (["x", "yz"], [], [""])]
    buffer, starts, ends = column_of(rows)
    members = columns.scan_lists(buffer, starts, ends)
    texts = columns.texts(buffer, members.start, members.end)
    assert sorted(zip(members.list_index.tolist(), texts, strict=True)) == [(0, "x"), (0, "yz"), (2, "")]


def test_a_list_of_other_things_than_strings_is_irregular():
    buffer, starts, ends = column_of([b"\x0a\x02\x1a\x00", b"\x0a\x02\x1a\x00\x0a\x02\x20\x01"])
    assert columns.scan_lists(buffer, starts, ends).irregular.tolist() == [1]


def test_what_follows_a_string_inside_its_member_is_not_the_next_member():
    buffer, starts, ends = column_of([b"\x0a\x08\x1a\x01x\x0a\x03\x1a\x01y"])
    assert columns.scan_lists(buffer, starts, ends).irregular.tolist() == [0]


# Field values.


def values_of(field: str, rows: list[dict[str, Any]]) -> tuple[columns.FieldValues, columns.Bytes]:
    buffer, starts, ends = column_of([encode_metadata(row) for row in rows])
    return columns.field_values(buffer, starts, ends, field), buffer


def test_a_field_is_found_by_kind_wherever_it_stands_in_a_row():
    rows: list[dict[str, Any]] = [
        {"x": 1.0, "f": 2.5},
        {"f": "text"},
        {"x": "f"},
        {"f": True},
        {"f": ["a", "b"], "x": 1.0},
        {"f": []},
    ]
    values, buffer = values_of("f", rows)
    assert values.rows.tolist() == [0, 1, 3, 4, 5]
    assert (values.number_rows.tolist(), values.numbers.tolist()) == ([0], [2.5])
    assert (values.bool_rows.tolist(), values.bools.tolist()) == ([3], [True])
    assert values.string_rows.tolist() == [1]
    assert columns.texts(buffer, values.string_starts, values.string_ends) == ["text"]
    assert values.member_rows.tolist() == [4, 4]
    assert columns.texts(buffer, values.member_starts, values.member_ends) == ["a", "b"]


def test_rows_with_many_fields_and_long_lists_are_read_too():
    many = {f"field {number}": float(number) for number in range(40)} | {"f": [str(number) for number in range(40)]}
    values, buffer = values_of("f", [{"a": 1.0}, many])
    assert values.rows.tolist() == [1]
    assert columns.texts(buffer, values.member_starts, values.member_ends) == many["f"]


@pytest.mark.parametrize("rows", [[], [{}], [{"g": 1.0}], [{"ff": 1.0, "F": 2.0}]])
def test_a_field_that_no_row_has_has_no_values(rows):
    values, _ = values_of("f", rows)
    assert all(getattr(values, name).size == 0 for name in values.__dataclass_fields__)


@pytest.mark.parametrize("cut", range(1, len(encode_metadata({"f": 1.0}))))
def test_a_row_that_is_cut_is_refused_when_a_field_is_looked_for(cut):
    buffer, starts, ends = column_of([encode_metadata({"f": 1.0})[:-cut]])
    with pytest.raises(InvalidArgumentError, match="canonical"):
        columns.field_values(buffer, starts, ends, "f")
