"""Reading many messages at once: one numpy step reads the same field of all of them.

A loop over records costs about a microsecond for each field; a numpy step costs about that for five hundred rows. So
the scan goes column by column: all first entries, then all second entries, until every row is at its end. What holds:

- `buffer` is `(size,)` uint8; positions are int64 offsets into it; rows are numbered as `starts` and `ends` are;
- every read is clipped to the buffer, and what was read counts only if it lies inside its message; so no bytes,
  however malformed, raise IndexError or reach beyond their row;
- only the canonical form of `pinyon.protobuf.struct` is read here. Any other row is returned as irregular, for the
  scalar codec to read or refuse.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pinyon.protobuf.struct import BOOL, LIST, NUMBER, STRING, list_members, metadata_fields
from pinyon.protobuf.wire_format import malformed

Bytes: TypeAlias = NDArray[np.uint8]
Positions: TypeAlias = NDArray[np.int64]
Words: TypeAlias = NDArray[np.uint64]
Numbers: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]

_BEYOND: Final = 1 << 60
"""A position that lies outside every message: what follows a varint that does not end."""

_ROUNDS_ALWAYS: Final = 16
_ROWS_WORTHWHILE: Final = 8
"""After so many rounds a step over fewer rows costs more than the scalar codec, so those rows are left to it."""

_GATHER_BYTES_PER_ROW: Final = 48
"""Mean length up to which one fancy index over all bytes beats a slice a row (measured)."""


@dataclass(frozen=True, slots=True)
class Entries:
    """All fields of many Structs, flat and in no order that matters; the arrays have one element a field.

    `kind` is NUMBER, STRING, BOOL or LIST. A value's bounds hold the eight bytes of a number, the text of a string,
    the byte of a bool, the ListValue of a list. Strings are not checked to be UTF-8. `irregular` are the rows that are
    not canonical, ascending, each once; they have no entries.
    """

    row: Positions
    key_start: Positions
    key_end: Positions
    kind: Bytes
    value_start: Positions
    value_end: Positions
    irregular: Positions


@dataclass(frozen=True, slots=True)
class Members:
    """The strings of many lists, flat: `list_index` counts the lists as they were given. `irregular` as in Entries."""

    list_index: Positions
    start: Positions
    end: Positions
    irregular: Positions


@dataclass(frozen=True, slots=True)
class FieldValues:
    """One field of many rows. Strings and list members are slices of the buffer: see `texts` and `equal_slices`.

    Attributes:
        rows: rows that have the field, whatever its kind, ascending; the others are in no order that matters.
        number_rows, numbers: rows where it is a number, and that number.
        string_rows, string_starts, string_ends: rows where it is a string.
        bool_rows, bools: rows where it is a bool.
        member_rows, member_starts, member_ends: one element for each string of each list; an empty list has none.
    """

    rows: Positions
    number_rows: Positions
    numbers: Numbers
    string_rows: Positions
    string_starts: Positions
    string_ends: Positions
    bool_rows: Positions
    bools: Mask
    member_rows: Positions
    member_starts: Positions
    member_ends: Positions


# Steps over positions.


def bytes_at(buffer: Bytes, positions: Positions) -> Bytes:
    """The byte at each position; any byte where a position is outside of a buffer that is not empty."""
    return buffer.take(positions, mode="clip")


def read_varints(buffer: Bytes, positions: Positions) -> tuple[Positions, Positions]:
    """Read a varint of at most five bytes at each position.

    Returns:
        The values, and the positions after them; that position lies beyond the buffer where the varint does not end
        or is longer than it needs to be. The caller checks that the position after is still inside the message.
    """
    values = bytes_at(buffer, positions).astype(np.int64)
    after = positions + 1
    if values.max(initial=0) < 0x80:
        return values, after
    more = values >= 0x80
    values &= 0x7F
    for shift in (7, 14, 21, 28):
        byte = np.where(more, bytes_at(buffer, after), 0).astype(np.int64)
        values |= (byte & 0x7F) << shift
        after += np.where(more & (byte == 0), _BEYOND, more)
        more = byte >= 0x80
        if not more.any():
            break
    after[more] = _BEYOND
    return values, after


def items(buffer: Bytes, size: int) -> NDArray[np.void]:
    """A view of all items of `size` bytes, 1 to the buffer's, that overlap: one starts at each byte.

    Picking rows of it is one memcpy a row, with no index for each byte.
    """
    return np.ndarray((buffer.size - size + 1,), f"V{size}", buffer, strides=(1,))


def items_at(buffer: Bytes, positions: Positions, size: int) -> NDArray[np.void]:
    """The `size` bytes, at least 1, at each position, copied: `(n,)` items for the caller to `view` as what they are.

    Every position has `size` bytes of the buffer after it.
    """
    return items(buffer, size)[positions] if positions.size else np.empty(0, f"V{size}")


def gather(buffer: Bytes, starts: Positions, ends: Positions) -> Bytes:
    """The slices `starts` to `ends` of the buffer, back to back: a copy, which the caller may write to."""
    lengths = ends - starts
    total = int(lengths.sum())
    if total and (lengths == lengths[0]).all():
        return items_at(buffer, starts, int(lengths[0])).view(np.uint8)
    if total > _GATHER_BYTES_PER_ROW * lengths.size:
        view = buffer.data
        slices = [view[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        return np.frombuffer(bytearray().join(slices), np.uint8)
    index = np.repeat(ends - lengths.cumsum(), lengths)
    index += np.arange(total)
    return buffer.take(index)


def equal_slices(buffer: Bytes, starts: Positions, ends: Positions, value: bytes) -> Mask:
    """Which of the slices hold exactly `value`."""
    equal: Mask = ends - starts == len(value)
    if value and equal.any():
        candidates = np.flatnonzero(equal)
        found = items_at(buffer, starts[candidates], len(value)).view(np.uint8).reshape(-1, len(value))
        equal[candidates] = (found == np.frombuffer(value, np.uint8)).all(axis=1)
    return equal


def texts(buffer: Bytes, starts: Positions, ends: Positions) -> list[str]:
    """Decode slices that are known to be UTF-8."""
    view = buffer.data
    return [str(view[start:end], "utf-8") for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


def not_utf8(buffer: Bytes, starts: Positions, ends: Positions) -> Positions:
    """Which of the slices are not valid UTF-8, by their place, ascending."""
    beyond_ascii = np.flatnonzero(buffer >= 0x80)
    before, through = np.searchsorted(beyond_ascii, (starts, ends))
    candidates = np.flatnonzero(before != through)
    invalid = [not _is_utf8(buffer[starts[i] : ends[i]].data) for i in candidates.tolist()]
    return candidates[np.array(invalid, np.bool_)]


def _is_utf8(data: memoryview) -> bool:
    try:
        str(data, "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def packed_varints(buffer: Bytes) -> tuple[Words, Positions]:
    """Decode varints that stand back to back.

    Returns:
        The values, and the position after each. A varint that is cut off at the end is left out.

    Raises:
        InvalidArgumentError: a varint is longer than ten bytes.
    """
    ends = np.flatnonzero(buffer < 0x80) + 1
    starts = np.concatenate(([0], ends[:-1])) if ends.size else ends
    lengths = ends - starts
    if lengths.max(initial=0) > 10:
        raise malformed("a varint does not end")
    values = (buffer[starts] & 0x7F).astype(np.uint64)
    for index in range(1, int(lengths.max(initial=0))):
        longer = np.flatnonzero(lengths > index)
        values[longer] |= (buffer[starts[longer] + index] & 0x7F).astype(np.uint64) << np.uint64(7 * index)
    return values, ends


def encode_varints(values: NDArray[np.uint32]) -> bytes:
    """Encode integers as varints that stand back to back."""
    groups = values[:, np.newaxis].astype(np.uint64) >> np.arange(0, 35, 7, dtype=np.uint64)
    used = groups > 0
    used[:, 0] = True
    more = np.zeros_like(used)
    more[:, :-1] = used[:, 1:]
    encoded = groups & 0x7F | more.astype(np.uint64) << np.uint64(7)
    return encoded[used].astype(np.uint8).tobytes()


# Structs and lists.


def scan_structs(buffer: Bytes, starts: Positions, ends: Positions) -> Entries:
    """Find all fields of the Structs `buffer[starts[row]:ends[row]]`. That keys differ is not checked: see below."""
    (row, key_start, key_end, kind, value_start, value_end), irregular = _scan(_read_entries, buffer, starts, ends)
    return Entries(row, key_start, key_end, kind, value_start, value_end, irregular)


def scan_lists(buffer: Bytes, starts: Positions, ends: Positions) -> Members:
    """Find all strings of the ListValues `buffer[starts[i]:ends[i]]`."""
    if not starts.size:
        return Members(starts, starts, ends, starts)
    (list_index, start, end), irregular = _scan(_read_members, buffer, starts, ends)
    return Members(list_index, start, end, irregular)


def rows_with_repeated_keys(buffer: Bytes, entries: Entries) -> Positions:
    """Rows in which two keys may be equal: all that have equal keys, and now and then one with keys that look alike."""
    lengths = entries.key_end - entries.key_start
    print_ = _first_words(buffer, entries.key_start, lengths) * _MIX[0]
    print_ += (lengths.astype(np.uint64) + (entries.row.astype(np.uint64) << np.uint64(32))) * _MIX[1]
    if lengths.max(initial=0) > 8:
        print_ += _first_words(buffer, np.maximum(entries.key_start, entries.key_end - 8), lengths) * _MIX[2]
    ordered = np.sort(print_)
    if not (ordered[1:] == ordered[:-1]).any():
        return np.empty(0, np.int64)
    _, first, counts = np.unique(print_, return_index=True, return_counts=True)
    return np.unique(entries.row[first[counts > 1]])


def field_values(buffer: Bytes, starts: Positions, ends: Positions, field: str) -> FieldValues:
    """Find one field in the Structs `buffer[starts[row]:ends[row]]`, which are canonical.

    Raises:
        InvalidArgumentError: a row is not canonical, as far as it was read.
    """
    key = field.encode()

    def read(buffer: Bytes, positions: Positions, ends: Positions) -> tuple[list[Any], Mask]:
        (key_start, key_end, *value), regular = _read_entries(buffer, positions, ends)
        is_field = equal_slices(buffer, key_start, np.where(regular, key_end, -1), key)
        # A row that has the field needs no further reading: say that it is at its end.
        return [is_field, *value, np.where(is_field, ends, value[-1])], regular

    (row, is_field, kind, start, end, _), left = _scan(read, buffer, starts, ends)
    found = [column[is_field] for column in (row, kind, start, end)]
    if left.size:
        rest = _scalar_field(buffer, starts, ends, left, key)
        found = [np.concatenate(pair) for pair in zip(found, rest, strict=True)]
    return _by_kind(buffer, *found)


def _by_kind(buffer: Bytes, row: Positions, kind: Bytes, start: Positions, end: Positions) -> FieldValues:
    number, string, boolean, a_list = (np.flatnonzero(kind == each) for each in (NUMBER, STRING, BOOL, LIST))
    list_index, member_start, member_end = members_of_lists(buffer, start[a_list], end[a_list])
    return FieldValues(
        rows=np.sort(row),
        number_rows=row[number],
        numbers=items_at(buffer, start[number], 8).view("<f8"),
        string_rows=row[string],
        string_starts=start[string],
        string_ends=end[string],
        bool_rows=row[boolean],
        bools=bytes_at(buffer, start[boolean]) != 0,
        member_rows=row[a_list][list_index],
        member_starts=member_start,
        member_ends=member_end,
    )


# One entry of each row, or one member of each list. A reader returns its columns, the last of which is where the next
# one starts, and which rows were regular; columns of the other rows mean nothing.

_Read: TypeAlias = Callable[[Bytes, Positions, Positions], tuple[list[Any], Mask]]


def _scan(read: _Read, buffer: Bytes, starts: Positions, ends: Positions) -> tuple[list[Any], Positions]:
    """Read every row to its end: the rows and columns of all rounds, and the rows that are left, ascending."""
    row = np.flatnonzero(starts < ends)
    positions, limits = starts[row], ends[row]
    rounds: list[list[Any]] = []
    irregular = []
    while not rounds or row.size >= (1 if len(rounds) < _ROUNDS_ALWAYS else _ROWS_WORTHWHILE):
        columns, regular = read(buffer, positions, limits)
        if not regular.all():
            irregular.append(row[~regular])
            row, limits, *columns = (column[regular] for column in (row, limits, *columns))
        rounds.append([row, *columns])
        positions = columns[-1]
        unfinished = positions < limits
        if not unfinished.all():
            row, positions, limits = row[unfinished], positions[unfinished], limits[unfinished]
    left = np.sort(np.concatenate([*irregular, row]))
    flat = [np.concatenate(column) for column in zip(*rounds, strict=True)]
    if left.size:
        kept = ~np.isin(flat[0], left)
        flat = [column[kept] for column in flat]
    return flat, left


def _read_entries(buffer: Bytes, positions: Positions, ends: Positions) -> tuple[list[Any], Mask]:
    """Columns: key start, key end, kind, value start, value end."""
    key_tag, after = read_bounds(buffer, positions)
    key_start, key_end = read_bounds(buffer, key_tag)
    value_tag, value_end = read_bounds(buffer, key_end)
    tags = bytes_at(buffer, value_tag)
    fixed_size = _FIXED_SIZE[tags]
    is_fixed = fixed_size > 0
    # The first byte of a number is no length: read the tag again there, which is a short varint.
    length, content = read_varints(buffer, value_tag + (tags != _NUMBER_TAG))
    start = np.where(is_fixed, value_tag + 1, content)
    regular = bytes_at(buffer, positions) == 0x0A
    regular &= bytes_at(buffer, key_tag) == 0x0A
    regular &= bytes_at(buffer, key_end) == 0x12
    regular &= value_end == after
    regular &= after <= ends
    regular &= start + np.where(is_fixed, fixed_size, length) == value_end
    regular &= length <= _LENGTH_MAX[tags]
    return [key_start, key_end, tags >> 3, start, value_end], regular


_NUMBER_TAG: Final = 0x11


def _of_tags(default: int, **values: int) -> Positions:
    """A table from the tag of a Value's field to a number."""
    table = np.full(256, default, np.int64)
    for kind, tag in {"number": _NUMBER_TAG, "text": 0x1A, "bool": 0x20, "list": 0x32}.items():
        table[tag] = values.get(kind, default)
    return table


_FIXED_SIZE: Final = _of_tags(0, number=8, bool=1)
_LENGTH_MAX: Final = _of_tags(-1, number=_BEYOND, text=_BEYOND, list=_BEYOND, bool=1)
"""What a length may be. The byte of a bool is read as one, and an unknown tag has none."""


def _read_members(buffer: Bytes, positions: Positions, ends: Positions) -> tuple[list[Any], Mask]:
    """Columns: start and end of the string."""
    value_tag, value_end = read_bounds(buffer, positions)
    start, end = read_bounds(buffer, value_tag)
    regular = bytes_at(buffer, positions) == 0x0A
    regular &= bytes_at(buffer, value_tag) == 0x1A
    regular &= (end == value_end) & (end <= ends)
    return [start, end], regular


def read_bounds(buffer: Bytes, tags: Positions) -> tuple[Positions, Positions]:
    """Start and end of the content of the length-delimited fields whose tags, one byte each, are at `tags`."""
    length, start = read_varints(buffer, tags + 1)
    return start, start + length


# The rest.

_LOW_BYTES: Final = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
_MIX: Final = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], np.uint64)
"""Odd 64-bit constants of well-known hashes."""


def _first_words(buffer: Bytes, starts: Positions, lengths: Positions) -> Words:
    """The first eight bytes of slices as integers; bytes after the end of a slice are zero."""
    at = np.minimum(starts, buffer.size - 8)
    words: Words = items_at(buffer, at, 8).view(np.uint64) >> ((starts - at) * 8).astype(np.uint64)
    return words & _LOW_BYTES[np.minimum(lengths, 8)]


def _scalar_field(buffer: Bytes, starts: Positions, ends: Positions, rows: Positions, key: bytes) -> list[Any]:
    """Row, kind, start and end of the field, read one row at a time."""
    view = buffer.data
    found = [
        (row, kind, start, end)
        for row in rows.tolist()
        for key_start, key_end, kind, start, end in metadata_fields(view, int(starts[row]), int(ends[row]))
        if view[key_start:key_end] == key
    ]
    row, kind, start, end = np.array(found, np.int64).reshape(-1, 4).T
    return [row, kind.astype(np.uint8), start, end]


def members_of_lists(buffer: Bytes, starts: Positions, ends: Positions) -> tuple[Positions, Positions, Positions]:
    """The list, start and end of each string of lists, irregular ones too; lists are counted as they were given."""
    members = scan_lists(buffer, starts, ends)
    view = buffer.data
    rest = [
        (index, *bounds)
        for index in members.irregular.tolist()
        for bounds in list_members(view, int(starts[index]), int(ends[index]))
    ]
    index, start, end = np.array(rest, np.int64).reshape(-1, 3).T
    return (
        np.concatenate((members.list_index, index)),
        np.concatenate((members.start, start)),
        np.concatenate((members.end, end)),
    )
