"""Columns of a block's metadata, one per field, built when a filter first names the field.

An upsert pays nothing for filters that nobody asks. A column is brought up to date by scanning the rows that are newer
than it; rows never change, so what was scanned stays right, for rows that are dead as well. What must hold:

- a column covers rows 0 to `row_count - 1` of its block, in ascending order of rows;
- strings are dictionary-encoded: a string's code is its place in `codes`, given once. Members of a list are strings of
  their row.

Thread rule: any number of readers; one of them at a time brings columns up to date, under `_lock`.
"""

import threading
from collections.abc import Sequence
from typing import Final

import numpy as np

from pinyon.engine.growable import GrowableArray, GrowableBytes
from pinyon.model.record import Float64s, Int64s, Mask
from pinyon.protobuf.columns import field_values, texts

_COLUMNS_MAX: Final = 256
"""Columns that a block keeps. Filters may name fields that no record has, and must not fill the memory with them."""


class _Column:
    """One field of the rows scanned so far."""

    def __init__(self) -> None:
        self.row_count = 0
        self.present: GrowableArray[np.int64] = GrowableArray(np.int64)
        self.number_rows: GrowableArray[np.int64] = GrowableArray(np.int64)
        self.numbers: GrowableArray[np.float64] = GrowableArray(np.float64)
        self.bool_rows: GrowableArray[np.int64] = GrowableArray(np.int64)
        self.bools: GrowableArray[np.bool_] = GrowableArray(np.bool_)
        self.string_rows: GrowableArray[np.int64] = GrowableArray(np.int64)
        self.string_codes: GrowableArray[np.int32] = GrowableArray(np.int32)
        self.codes: dict[str, int] = {}

    def extend(self, field: str, metadata: GrowableBytes, row_count: int) -> None:
        """Scan the rows up to `row_count`."""
        offsets = metadata.offsets.data[self.row_count : row_count + 1]
        base = self.row_count
        values = field_values(metadata.data.data, offsets[:-1], offsets[1:], field)
        self.present.extend(values.rows + base)
        # Values before rows: a reader counts the rows and must find that many values.
        self.numbers.extend(values.numbers)
        self.number_rows.extend(values.number_rows + base)
        self.bools.extend(values.bools)
        self.bool_rows.extend(values.bool_rows + base)
        strings = texts(metadata.data.data, values.string_starts, values.string_ends)
        members = texts(metadata.data.data, values.member_starts, values.member_ends)
        self._extend_strings(values.string_rows + base, strings)
        self._extend_strings(values.member_rows + base, members)
        self.row_count = row_count

    def _extend_strings(self, rows: Int64s, strings: Sequence[str]) -> None:
        codes = self.codes
        self.string_codes.extend(np.array([codes.setdefault(text, len(codes)) for text in strings], np.int32))
        self.string_rows.extend(rows)


class MetadataColumns:
    """The columns of one block."""

    __slots__ = ("_columns", "_lock", "_metadata")

    def __init__(self, metadata: GrowableBytes) -> None:
        """Read the metadata of a block, encoded Structs, as far as it is written when asked."""
        self._metadata = metadata
        self._columns: dict[str, _Column] = {}
        self._lock = threading.Lock()

    def first_rows(self, row_count: int) -> "RowColumns":
        """The columns of the first `row_count` rows, for filters."""
        return RowColumns(self, row_count)

    def column(self, field: str, row_count: int) -> _Column:
        """The column of a field, up to date to `row_count` rows or more."""
        column = self._columns.get(field)
        if column is None or column.row_count < row_count:
            with self._lock:
                column = self._columns.get(field) or self._new_column(field)
                if column.row_count < row_count:
                    column.extend(field, self._metadata, row_count)
        return column

    def _new_column(self, field: str) -> _Column:
        if len(self._columns) >= _COLUMNS_MAX:
            self._columns.pop(next(iter(self._columns)))  # Whoever reads it still holds it.
        return self._columns.setdefault(field, _Column())


class RowColumns:
    """`pinyon.filter.evaluate.Columns` over the first rows of a block."""

    __slots__ = ("_columns", "row_count")

    def __init__(self, columns: MetadataColumns, row_count: int) -> None:
        """Read `columns` as if the block had `row_count` rows."""
        self._columns = columns
        self.row_count = row_count

    def numbers(self, field: str) -> tuple[Int64s, Float64s]:
        """Rows where the field is a number, and those numbers."""
        column = self._columns.column(field, self.row_count)
        rows = column.number_rows.filled
        values = column.numbers.data[: len(rows)]
        mine = rows < self.row_count
        return rows[mine], values[mine]

    def any_string(self, field: str, wanted: frozenset[str]) -> Mask:
        """Rows where the field is one of these strings, or a list with one of them."""
        column = self._columns.column(field, self.row_count)
        rows = column.string_rows.filled
        codes = [code for code in map(column.codes.get, wanted) if code is not None]
        if not codes:
            return np.zeros(self.row_count, np.bool_)
        stored = column.string_codes.data[: len(rows)]
        found = stored == codes[0] if len(codes) == 1 else np.isin(stored, codes)
        return self._mask(rows[found])

    def boolean(self, field: str, wanted: bool) -> Mask:
        """Rows where the field is this boolean."""
        column = self._columns.column(field, self.row_count)
        rows = column.bool_rows.filled
        return self._mask(rows[column.bools.data[: len(rows)] == wanted])

    def exists(self, field: str) -> Mask:
        """Rows that have the field."""
        column = self._columns.column(field, self.row_count)
        return self._mask(column.present.filled)

    def _mask(self, rows: Int64s) -> Mask:
        mask = np.zeros(self.row_count, np.bool_)
        # The column may be ahead of this reader's view.
        mask[rows[rows < self.row_count]] = True
        return mask
