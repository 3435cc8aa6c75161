"""Making record batches out of single records and out of other batches."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pinyon.model.record import BytesColumn, Float32s, Int64s, Record, RecordBatch, SparseColumn, SparseVector


def batch_of_records(records: Sequence[Record]) -> RecordBatch:
    """One batch of single records, all of one index: all with dense vectors or all without."""
    dense = [record.dense for record in records if record.dense is not None]
    assert len(dense) in (0, len(records)), "records of one index all have dense vectors, or none has"
    return RecordBatch(
        ids=[record.id for record in records],
        dense=np.stack(dense) if dense else None,
        sparse=sparse_column([record.sparse for record in records]),
        metadata=bytes_column([record.metadata for record in records]),
    )


def bytes_column(rows: Sequence[bytes]) -> BytesColumn | None:
    """A column of byte strings, None where all are empty."""
    if not any(rows):
        return None
    return BytesColumn(memoryview(b"".join(rows)), offsets_of(list(map(len, rows))))


def sparse_column(rows: Sequence[SparseVector | None]) -> SparseColumn | None:
    """A column of sparse vectors, None where no row has one."""
    present = [row for row in rows if row is not None]
    if not present:
        return None
    return SparseColumn(
        offsets_of([0 if row is None else len(row.indices) for row in rows]),
        np.concatenate([row.indices for row in present]),
        np.concatenate([row.values for row in present]),
    )


def take_rows(batch: RecordBatch, rows: Int64s) -> RecordBatch:
    """Some rows of a batch, `(m,)`, in that order, copied."""
    return RecordBatch(
        ids=[batch.ids[row] for row in rows.tolist()],
        dense=None if batch.dense is None else batch.dense[rows],
        sparse=None if batch.sparse is None else _take_sparse(batch.sparse, rows),
        metadata=None if batch.metadata is None else _take_bytes(batch.metadata, rows),
    )


def take_sparse_rows(column: SparseColumn, rows: Int64s) -> SparseColumn:
    """Some rows of a column, `(m,)`, in that order, copied."""
    offsets, places = _ragged(column.offsets, rows)
    return SparseColumn(offsets, column.indices[places], column.values[places])


def take_bytes_rows(column: BytesColumn, rows: Int64s) -> BytesColumn:
    """Some rows of a column, `(m,)`, in that order, copied."""
    offsets, places = _ragged(column.offsets, rows)
    return BytesColumn(np.frombuffer(column.data, np.uint8)[places].data, offsets)


def concatenate_bytes(columns: Sequence[BytesColumn]) -> BytesColumn:
    """The rows of all columns, at least one, one after another."""
    lengths = np.concatenate([np.diff(column.offsets) for column in columns])
    data = b"".join(column.data[column.offsets[0] : column.offsets[-1]] for column in columns)
    return BytesColumn(memoryview(data), np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths))))


def concatenate_sparse(columns: Sequence[SparseColumn]) -> SparseColumn:
    """The rows of all columns, at least one, one after another."""
    lengths = np.concatenate([np.diff(column.offsets) for column in columns])
    parts = [slice(column.offsets[0], column.offsets[-1]) for column in columns]
    return SparseColumn(
        np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths))),
        np.concatenate([column.indices[part] for column, part in zip(columns, parts, strict=True)]),
        np.concatenate([column.values[part] for column, part in zip(columns, parts, strict=True)]),
    )


def _take_sparse(column: SparseColumn, rows: Int64s) -> SparseColumn | None:
    taken = take_sparse_rows(column, rows)
    return taken if len(taken.indices) else None


def _take_bytes(column: BytesColumn, rows: Int64s) -> BytesColumn | None:
    taken = take_bytes_rows(column, rows)
    return taken if len(taken.data) else None


def _ragged(offsets: Int64s, rows: Int64s) -> tuple[Int64s, Int64s]:
    """Offsets of some rows of different lengths when laid back to back, and where each of their elements was."""
    lengths = offsets[rows + 1] - offsets[rows]
    taken = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(lengths, out=taken[1:])
    places = np.repeat(offsets[rows] - taken[:-1], lengths) + np.arange(taken[-1])
    return taken, places


def offsets_of(lengths: Sequence[int] | Int64s) -> Int64s:
    """Where rows of these lengths begin when laid back to back, and where the last ends: `(n + 1,)`."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def squared_norms(rows: Float32s) -> NDArray[np.float64]:
    """Squared length of each row, `(n,)` float64.

    Summed in float32 where that is safe, which is four times as fast; rows whose squares leave its range are summed
    again.
    """
    with np.errstate(over="ignore", under="ignore"):
        norms: NDArray[np.float64] = np.vecdot(rows, rows).astype(np.float64)
    unsafe = ~((norms > 1e-30) & (norms < 1e30))
    if unsafe.any():
        wide = rows[unsafe].astype(np.float64)
        norms[unsafe] = np.vecdot(wide, wide)
    return norms
