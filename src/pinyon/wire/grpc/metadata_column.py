"""Metadata of many records from a gRPC request: checked all at once, stored as it came.

The column that leaves here is canonical (see `pinyon.protobuf.struct`) and obeys `pinyon.service.metadata_rules`.
Rows that numpy cannot vouch for go through the scalar codec one by one, which refuses them or writes them anew.
"""

import numpy as np

from pinyon.model.batches import bytes_column
from pinyon.model.record import BytesColumn, Int64s, Mask
from pinyon.protobuf.columns import (
    Bytes,
    Entries,
    Members,
    bytes_at,
    gather,
    items,
    items_at,
    not_utf8,
    rows_with_repeated_keys,
    scan_lists,
    scan_structs,
)
from pinyon.protobuf.struct import LIST, NUMBER, STRING, decode, encode_metadata
from pinyon.protobuf.wire_format import Buffer
from pinyon.service.metadata_rules import check_metadata


def canonical_metadata(data: Buffer) -> bytes:
    """Check the metadata of one record, any Struct, and encode it in the canonical form.

    Raises:
        InvalidArgumentError: the bytes are not a Struct, or a field breaks a rule.
    """
    return encode_metadata(check_metadata(decode(data)))


def metadata_column(buffer: Bytes, starts: Int64s, ends: Int64s) -> BytesColumn | None:
    """Copy the metadata of all records, any Structs, out of a request; None where no record has any.

    Raises:
        InvalidArgumentError: as `canonical_metadata`, for the first record that it refuses.
    """
    offsets = np.zeros(len(starts) + 1, np.int64)
    np.cumsum(ends - starts, out=offsets[1:])
    if not offsets[-1]:
        return None
    data = gather(buffer, starts, ends)
    doubtful = _doubtful_rows(data, offsets)
    if doubtful.size:
        column = BytesColumn(data.data, offsets)
        replaced = {row: canonical_metadata(column[row]) for row in doubtful.tolist()}
        return bytes_column([replaced.get(row, column[row]) for row in range(len(column))])
    return BytesColumn(data.data, offsets)


def _doubtful_rows(data: Bytes, offsets: Int64s) -> Int64s:
    """Rows that may not be canonical or may break a rule, ascending."""
    entries = scan_structs(data, offsets[:-1], offsets[1:])
    numbers = np.flatnonzero(entries.kind == NUMBER)
    lists = np.flatnonzero(entries.kind == LIST)
    members = scan_lists(data, entries.value_start[lists], entries.value_end[lists])
    doubtful = [
        entries.irregular,
        rows_with_repeated_keys(data, entries),
        entries.row[_like_operator(data, entries)],
        entries.row[numbers[_are_odd(data, entries.value_start[numbers])]],
        entries.row[lists[members.irregular]],
    ]
    if not _is_ascii(data, entries.value_start[numbers]):
        doubtful += _rows_not_utf8(data, entries, members, entries.row[lists])
    rows = np.concatenate(doubtful)
    return np.unique(rows) if rows.size else rows


def _like_operator(data: Bytes, entries: Entries) -> Mask:
    """Entries whose key starts with `$`; the byte of an empty key is another, its value's tag."""
    found: Mask = bytes_at(data, entries.key_start) == ord("$")
    return found


def _are_odd(data: Bytes, positions: Int64s) -> Mask:
    """Which of the numbers are NaN, infinity, or minus zero, which is written as zero."""
    numbers = items_at(data, positions, 8).view("<f8")
    odd: Mask = ~np.isfinite(numbers) | ((numbers == 0) & np.signbit(numbers))
    return odd


def _is_ascii(data: Bytes, numbers: Int64s) -> bool:
    """Whether all bytes but those of numbers are ASCII; a length of 128 and more has bytes that are not."""
    blank = data.copy()
    if numbers.size:
        items(blank, 8)[numbers] = np.zeros(1, "V8")
    return bool(blank.max(initial=0) < 0x80)


def _rows_not_utf8(data: Bytes, entries: Entries, members: Members, list_row: Int64s) -> list[Int64s]:
    strings = np.flatnonzero(entries.kind == STRING)
    return [
        entries.row[not_utf8(data, entries.key_start, entries.key_end)],
        entries.row[strings[not_utf8(data, entries.value_start[strings], entries.value_end[strings])]],
        list_row[members.list_index[not_utf8(data, members.start, members.end)]],
    ]
