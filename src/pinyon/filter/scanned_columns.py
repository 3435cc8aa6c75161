"""Columns that read encoded metadata anew for each question: for rows that are few, or that are asked about rarely."""

from typing import Final

import numpy as np

from pinyon.model.record import BytesColumn, Float64s, Int64s, Mask
from pinyon.protobuf.columns import FieldValues, equal_slices, field_values, texts

_EQUAL_SLICES_MAX: Final = 4
"""Up to so many wanted strings, comparing bytes is faster than decoding the stored ones."""


class ScannedColumns:
    """`pinyon.filter.evaluate.Columns` over canonical metadata. A question reads the metadata of all rows."""

    __slots__ = ("_metadata", "row_count")

    def __init__(self, metadata: BytesColumn) -> None:
        """Read `metadata`, one row each."""
        self._metadata = metadata
        self.row_count = len(metadata)

    def numbers(self, field: str) -> tuple[Int64s, Float64s]:
        """Rows where the field is a number, and those numbers."""
        values = self._read(field)
        return values.number_rows, values.numbers

    def any_string(self, field: str, wanted: frozenset[str]) -> Mask:
        """Rows where the field is one of these strings, or a list with one of them."""
        values = self._read(field)
        buffer = np.frombuffer(self._metadata.data, np.uint8)
        rows = np.concatenate((values.string_rows, values.member_rows))
        starts = np.concatenate((values.string_starts, values.member_starts))
        ends = np.concatenate((values.string_ends, values.member_ends))
        if len(wanted) > _EQUAL_SLICES_MAX:
            found = np.array([text in wanted for text in texts(buffer, starts, ends)], np.bool_)
        else:
            found = np.zeros(rows.size, np.bool_)
            for text in wanted:
                found |= equal_slices(buffer, starts, ends, text.encode(errors="surrogatepass"))
        return self._mask(rows[found])

    def boolean(self, field: str, wanted: bool) -> Mask:
        """Rows where the field is this boolean."""
        values = self._read(field)
        return self._mask(values.bool_rows[values.bools == wanted])

    def exists(self, field: str) -> Mask:
        """Rows that have the field."""
        return self._mask(self._read(field).rows)

    def _read(self, field: str) -> FieldValues:
        buffer, offsets = np.frombuffer(self._metadata.data, np.uint8), self._metadata.offsets
        return field_values(buffer, offsets[:-1], offsets[1:], field)

    def _mask(self, rows: Int64s) -> Mask:
        mask = np.zeros(self.row_count, np.bool_)
        mask[rows] = True
        return mask
