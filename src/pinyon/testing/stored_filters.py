"""Stored filter columns of records given as Python dicts."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from pinyon.filter.field_index import FIELDS_MAX, build
from pinyon.filter.stored_columns import StoredColumns
from pinyon.model.batches import offsets_of
from pinyon.model.record import BytesColumn, Int64s, Metadata
from pinyon.protobuf.struct import encode_metadata


def encoded_column(records: Sequence[Metadata]) -> BytesColumn:
    """The metadata of all records, also where all are empty."""
    rows = [encode_metadata(record) for record in records]
    return BytesColumn(memoryview(b"".join(rows)), offsets_of([len(row) for row in rows]))


def encoded_chunks(records: Sequence[Metadata], chunk_rows: int) -> Iterator[BytesColumn]:
    """The metadata of all records, `chunk_rows` at a time."""
    for start in range(0, len(records), chunk_rows):
        yield encoded_column(records[start : start + chunk_rows])


def stored_columns(
    records: Sequence[Metadata],
    *,
    chunk_rows: int = 100,
    fields: Collection[str] | None = None,
    fields_max: int = FIELDS_MAX,
) -> StoredColumns:
    """Index records, and read what they gave."""
    arrays = build(encoded_chunks(records, chunk_rows), fields, fields_max)
    for array in arrays.values():
        array.setflags(write=False)

    def metadata_at(rows: Int64s) -> BytesColumn:
        assert rows.size, "asked for the metadata of no row"
        assert (np.diff(rows) > 0).all(), "asked for rows that do not ascend"
        return encoded_column([records[row] for row in rows.tolist()])

    return StoredColumns(arrays.__getitem__, len(records), metadata_at)
