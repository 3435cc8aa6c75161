"""Building the stored filter columns of a segment: which rows have which values, from their encoded metadata.

The columns, all one-dimensional; rows are those of the segment, counted from 0, fewer than 2**31:

| column | type | |
|---|---|---|
| `filter_field_names` | uint8 | names of the *f* indexed fields in UTF-8, back to back, ascending by their bytes |
| `filter_field_offsets` | int64 | *f* + 1: field *i* has the name from offset *i* up to offset *i* + 1 |
| `filter_other_keys` | uint64 | keys of the terms "the field exists" of all other fields; ascending, distinct |
| `filter_term_keys` | uint64 | *t*: keys: bytes 0 to 7 of the digests of all terms, a little-endian number; ascending |
| `filter_term_checks` | uint64 | *t*: bytes 8 to 15 of these digests, likewise; ascending among equal keys |
| `filter_term_starts` | int64 | *t* + 1: term *i* has the rows from start *i* up to start *i* + 1 of the next column |
| `filter_term_rows` | int32 | the rows for which a term holds, ascending and distinct within a term |
| `filter_number_starts` | int64 | *f* + 1: field *i* has those from start *i* up to start *i* + 1 of the next two |
| `filter_numbers` | float64 | ascending within a field; finite |
| `filter_number_rows` | int32 | the row of each number; ascending among equal numbers of a field; -0 equals 0 |

A term is "field *f* exists", "field *f* is boolean *b*" or "field *f* is string *s*, or a list with it": the terms of
`pinyon.filter.term`, which also says what their digests are. Each term that holds for a row and whose field is indexed
is there; no others are, and no two have equal digests. A field is indexed, or is among the others, when any row has it;
what others than the indexed ones hold, only the metadata can tell.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pinyon.filter.distinct_slices import distinct_slices
from pinyon.filter.term import boolean_prefix, digest, exists_prefix, string_prefix
from pinyon.filter.term_runs import TermRun, merged, run_of
from pinyon.model.batches import offsets_of
from pinyon.model.record import BytesColumn, Float64s, Int32s, Int64s, Mask
from pinyon.protobuf.columns import Bytes, Positions, Words, items_at, members_of_lists, scan_structs
from pinyon.protobuf.struct import BOOL, LIST, NUMBER, STRING, metadata_fields

FIELDS_MAX: Final = 256
"""Fields that are indexed when no schema names them, the most frequent ones. Records may have any number of others."""

COLUMN_TYPES: Final[Mapping[str, DTypeLike]] = {
    "filter_field_names": np.uint8,
    "filter_field_offsets": np.int64,
    "filter_other_keys": np.uint64,
    "filter_term_keys": np.uint64,
    "filter_term_checks": np.uint64,
    "filter_term_starts": np.int64,
    "filter_term_rows": np.int32,
    "filter_number_starts": np.int64,
    "filter_numbers": np.float64,
    "filter_number_rows": np.int32,
}
"""The columns that `build` gives, and their types."""


_ROWS_MAX: Final = 2**31
_MERGED_BYTES_MIN: Final = 1024 * 1024

_TERM_BYTES: Final = 60
_TERM_ROW_BYTES: Final = 14
_NUMBER_BYTES: Final = 40
"""Measured, rounded up."""


def build(
    metadata: Iterable[BytesColumn], fields: Collection[str] | None = None, fields_max: int = FIELDS_MAX
) -> dict[str, NDArray[Any]]:
    """Index the metadata of a segment's rows.

    Args:
        metadata: canonical Structs of all rows in their order, in chunks of some MB and at most some ten thousand rows.
            Each chunk is read once and not kept.
        fields: fields to index; None for those that most rows have.
        fields_max: how many fields to index at most. Of fields in equally many rows, the first by their bytes are
            taken.

    Returns:
        The columns of `COLUMN_TYPES`, for `pinyon.filter.stored_columns.StoredColumns` to read.

    Raises:
        InvalidArgumentError: metadata is not in the canonical form.

    Memory: `build_bytes`, and some 120 bytes for each value of a chunk. Thread rule: no step of numpy holds the GIL for
    longer than a few ms when chunks are as told.
    """
    values = _Values(None if fields is None else {field.encode() for field in fields})
    for chunk in metadata:
        values.add(chunk)
    return values.columns(fields_max)


def build_bytes(term_count: int, term_row_count: int, number_count: int) -> int:
    """About what building columns with so many terms, rows of terms and numbers takes in memory, whatever the texts."""
    return _TERM_BYTES * term_count + _TERM_ROW_BYTES * term_row_count + _NUMBER_BYTES * number_count


class _Entries(NamedTuple):
    """Fields of many Structs, as `pinyon.protobuf.columns.Entries`, with `field` in place of the key."""

    field: Int64s
    row: Int64s
    kind: NDArray[np.uint8]
    start: Int64s
    end: Int64s

    def where(self, chosen: Mask) -> "_Entries":
        """Those that are chosen."""
        return _Entries(self.field[chosen], self.row[chosen], self.kind[chosen], self.start[chosen], self.end[chosen])


class _Values:
    """Values of the rows so far, with the numbers of their fields: runs of terms, and numbers in one array a chunk.

    The first run is that of most rows; the others are merged into it once they take as much memory. So a term that
    most chunks have is there a few times only, and a row of it is moved a few times only.
    """

    def __init__(self, wanted: set[bytes] | None) -> None:
        self._wanted = wanted
        self._row_count = 0
        self._others: set[bytes] = set()
        self._fields: dict[bytes, int] = {}
        self._names: list[bytes] = []
        self._field_counts: list[int] = []
        self._prefixes: list[bytes] = []
        self._runs: list[TermRun] = []
        self._number_fields: list[Int32s] = []
        self._number_rows: list[Int32s] = []
        self._numbers: list[Float64s] = []

    def add(self, chunk: BytesColumn) -> None:
        """Read the rows that follow."""
        buffer = np.frombuffer(chunk.data, np.uint8)
        entries = self._read(buffer, chunk.offsets[:-1], chunk.offsets[1:])
        self._row_count += len(chunk)
        assert self._row_count < _ROWS_MAX, "rows are stored as int32"
        if entries.row.size:
            self._add_exists(entries)
            self._add_booleans(buffer, entries.where(entries.kind == BOOL))
            self._add_strings(buffer, entries.where(entries.kind == STRING), entries.where(entries.kind == LIST))
            self._add_numbers(buffer, entries.where(entries.kind == NUMBER))
            if sum(run.nbytes for run in self._runs[1:]) > max(self._runs[0].nbytes, _MERGED_BYTES_MIN):
                self._runs = [merged(self._runs)]

    def _read(self, buffer: Bytes, starts: Positions, ends: Positions) -> _Entries:
        """All fields of these rows that may be indexed, with the rows' numbers in the segment."""
        found = scan_structs(buffer, starts, ends)
        columns: list[Any] = [found.row, found.key_start, found.key_end, found.kind, found.value_start, found.value_end]
        if found.irregular.size:
            rest = _irregular_entries(buffer, starts, ends, found.irregular)
            columns = [np.concatenate(pair) for pair in zip(columns, rest, strict=True)]
        row, key_start, key_end, kind, start, end = columns
        first, group = distinct_slices(buffer, key_start, key_end)
        view = buffer.data
        bounds = zip(key_start[first].tolist(), key_end[first].tolist(), strict=True)
        numbers = np.array([self._number_of(bytes(view[begin:stop])) for begin, stop in bounds], np.int64)
        entries = _Entries(numbers[group], row + self._row_count, kind, start, end)
        return entries if numbers.min(initial=0) >= 0 else entries.where(entries.field >= 0)

    def _number_of(self, field: bytes) -> int:
        """The number of a field, in the order in which they were met; -1 for one that is not wanted."""
        if self._wanted is not None and field not in self._wanted:
            self._others.add(field)
            return -1
        number = self._fields.setdefault(field, len(self._fields))
        if number == len(self._names):
            self._names.append(field)
            self._prefixes.append(string_prefix(field))
            self._field_counts.append(0)
        return number

    def _add_exists(self, entries: _Entries) -> None:
        fields, term, counts = np.unique(entries.field, return_inverse=True, return_counts=True)
        for field, count in zip(fields.tolist(), counts.tolist(), strict=True):
            self._field_counts[field] += count
        digests = [digest(exists_prefix(self._names[field])) for field in fields.tolist()]
        self._add_terms(digests, fields, term, entries.row)

    def _add_booleans(self, buffer: Bytes, entries: _Entries) -> None:
        stored = buffer[entries.start].astype(np.int64)
        both, term = np.unique(entries.field << 1 | stored, return_inverse=True)
        digests = [digest(boolean_prefix(self._names[each >> 1]), bytes([each & 1])) for each in both.tolist()]
        self._add_terms(digests, both >> 1, term, entries.row)

    def _add_strings(self, buffer: Bytes, strings: _Entries, lists: _Entries) -> None:
        list_index, member_start, member_end = members_of_lists(buffer, lists.start, lists.end)
        field = np.concatenate((strings.field, lists.field[list_index]))
        row = np.concatenate((strings.row, lists.row[list_index]))
        start = np.concatenate((strings.start, member_start))
        end = np.concatenate((strings.end, member_end))
        first, term = distinct_slices(buffer, start, end, field)
        view, prefixes = buffer.data, self._prefixes
        distinct = zip(field[first].tolist(), start[first].tolist(), end[first].tolist(), strict=True)
        digests = [digest(prefixes[number], view[begin:stop]) for number, begin, stop in distinct]
        self._add_terms(digests, field[first], term, row)

    def _add_terms(self, digests: list[bytes], fields: Int64s, term: Int64s, row: Int64s) -> None:
        """Terms with their fields, and one posting each for a term, by its place in `digests`, and a row."""
        self._runs.append(run_of(digests, fields, term, row))

    def _add_numbers(self, buffer: Bytes, entries: _Entries) -> None:
        self._number_fields.append(entries.field.astype(np.int32))
        self._number_rows.append(entries.row.astype(np.int32))
        self._numbers.append(items_at(buffer, entries.start, 8).view("<f8"))

    def columns(self, fields_max: int) -> dict[str, NDArray[Any]]:
        """What the module's docstring tells, of at most `fields_max` fields."""
        names = sorted(self._fields, key=lambda name: (-self._field_counts[self._fields[name]], name))
        kept, others = sorted(names[:fields_max]), self._others.union(names[fields_max:])
        places = np.full(len(names), -1, np.int32)
        places[[self._fields[name] for name in kept]] = np.arange(len(kept))
        terms = self._kept_terms(places)
        number_starts, numbers, number_rows = self._sorted_numbers(places, len(kept))
        return {
            "filter_field_names": np.frombuffer(b"".join(kept), np.uint8),
            "filter_field_offsets": offsets_of([len(name) for name in kept]),
            "filter_other_keys": _keys(others),
            "filter_term_keys": terms.keys,
            "filter_term_checks": terms.checks,
            "filter_term_starts": offsets_of(terms.counts.astype(np.int64)),
            "filter_term_rows": terms.rows,
            "filter_number_starts": number_starts,
            "filter_numbers": numbers,
            "filter_number_rows": number_rows,
        }

    def _kept_terms(self, places: Int32s) -> TermRun:
        """All terms of fields that have a place."""
        terms = merged(self._runs)
        is_kept = places[terms.fields] >= 0
        return terms if is_kept.all() else terms.where(is_kept)

    def _sorted_numbers(self, places: Int32s, field_count: int) -> tuple[Int64s, Float64s, Int32s]:
        """Starts, numbers and rows."""
        fields = places[_joined(self._number_fields, np.int32)]
        numbers, rows = _joined(self._numbers, np.float64), _joined(self._number_rows, np.int32)
        order = np.lexsort((rows, numbers, fields))[np.count_nonzero(fields < 0) :]
        starts = np.searchsorted(fields[order], np.arange(field_count + 1))
        return starts.astype(np.int64), numbers[order], rows[order]


def _keys(fields: Collection[bytes]) -> Words:
    """The keys of the terms for records that have a field."""
    digests = b"".join([digest(exists_prefix(field)) for field in fields])
    return np.unique(np.frombuffer(digests, "<u8")[::2])


def _joined(arrays: list[Any], dtype: DTypeLike) -> NDArray[Any]:
    """One array of all, which are no longer needed: they are many bytes."""
    joined = np.concatenate([np.empty(0, dtype), *arrays])
    arrays.clear()
    return joined


def _irregular_entries(buffer: Bytes, starts: Positions, ends: Positions, rows: Positions) -> list[NDArray[Any]]:
    """Row, start and end of the key, kind, start and end of the value of each field, read one row at a time."""
    found = [
        (row, *field)
        for row in rows.tolist()
        for field in metadata_fields(buffer.data, int(starts[row]), int(ends[row]))
    ]
    row, key_start, key_end, kind, start, end = np.array(found, np.int64).reshape(-1, 6).T
    return [row, key_start, key_end, kind.astype(np.uint8), start, end]
