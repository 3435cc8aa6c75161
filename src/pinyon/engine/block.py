"""A block: some thousands of consecutive rows of a memtable, as columns.

A row is written once. What must hold:

- all columns have `row_count` rows; `sparse` and `metadata` columns hold an empty entry where a row has none;
- a row is seen by a view at LSN v when it was there when the view was taken and `dead_lsn[row] > v`;
- `dead_lsn` is the one column that changes: from "never" to the LSN of the write that replaced or deleted the row.
  That write is newer than any view that does not see it, so a reader that meets either number decides the same.

Thread rule: one writer; readers need no lock.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pinyon.ann.row_codes import RowCodes
from pinyon.engine.growable import GrowableArray, GrowableBytes
from pinyon.engine.metadata_columns import MetadataColumns
from pinyon.model.batches import squared_norms
from pinyon.model.record import (
    BytesColumn,
    Int64s,
    Lsn,
    Mask,
    Record,
    RecordBatch,
    SparseColumn,
    SparseVector,
)

NEVER: Final = np.uint64(2**64 - 1)
"""`dead_lsn` of a row that no write has replaced."""

_BLOCK_BYTES: Final = 16 * 1024 * 1024
_BLOCK_ROWS_MIN: Final = 256
_BLOCK_ROWS_MAX: Final = 16_384


def block_rows(dimension: int | None) -> int:
    """Rows of a full block: about 16 MiB of vectors, a power of two.

    Large enough that a matrix product over a block is worth a call into native code, small enough that rewriting a
    half-dead one goes unnoticed.
    """
    rows = _BLOCK_BYTES // (4 * (dimension or 256))
    return 1 << min(max(rows, _BLOCK_ROWS_MIN), _BLOCK_ROWS_MAX).bit_length() - 1


class Block:
    """The columns of one block. `dimension` None: the index has no dense vectors.

    Attributes:
        codes: of all rows of a full block, once there are any; see `pinyon.engine.block_encoder`.
        is_to_be_encoded: True once they were asked for.
    """

    __slots__ = (
        "codes",
        "columns",
        "dead_count",
        "dead_lsn",
        "dense",
        "id_bytes",
        "ids",
        "is_to_be_encoded",
        "metadata",
        "sparse_indices",
        "sparse_offsets",
        "sparse_values",
        "squared_norms",
    )

    def __init__(self, dimension: int | None, capacity: int) -> None:
        """Start with no rows, and with room for `capacity` of them; memory that no row has touched costs nothing."""
        self.ids: list[str] = []
        self.id_bytes = 0
        self.dense: GrowableArray[np.float32] | None = (
            None if dimension is None else GrowableArray(np.float32, dimension)
        )
        self.squared_norms: GrowableArray[np.float64] = GrowableArray(np.float64)
        self.sparse_offsets: GrowableArray[np.int64] = GrowableArray(np.int64)
        self.sparse_offsets.extend(np.zeros(1, np.int64))
        self.sparse_indices: GrowableArray[np.uint32] = GrowableArray(np.uint32)
        self.sparse_values: GrowableArray[np.float32] = GrowableArray(np.float32)
        self.metadata = GrowableBytes()
        self.dead_lsn: GrowableArray[np.uint64] = GrowableArray(np.uint64)
        self.dead_count = 0
        self.codes: RowCodes | None = None
        self.is_to_be_encoded = False
        self.columns = MetadataColumns(self.metadata)
        if self.dense is not None:
            self.dense.reserve(capacity)
        self.squared_norms.reserve(capacity)
        self.dead_lsn.reserve(capacity)

    @property
    def row_count(self) -> int:
        """Rows written, dead ones too."""
        return self.dead_lsn.count

    def append(self, batch: RecordBatch, rows: slice) -> None:
        """Append the rows `rows` of a batch."""
        count = rows.stop - rows.start
        ids = batch.ids[rows]
        self.ids.extend(ids)
        self.id_bytes += sum(map(len, ids))
        if self.dense is not None:
            assert batch.dense is not None
            self.dense.extend(batch.dense[rows])
            self.squared_norms.extend(squared_norms(batch.dense[rows]))
        self._append_sparse(batch, rows)
        if batch.metadata is None:
            self.metadata.extend_empty(count)
        else:
            offsets = batch.metadata.offsets[rows.start : rows.stop + 1]
            self.metadata.extend(np.frombuffer(batch.metadata.data, np.uint8), offsets)
        # Last, because `row_count` is read from it: a row counts when all its columns are there.
        self.dead_lsn.extend(np.full(count, NEVER))

    def _append_sparse(self, batch: RecordBatch, rows: slice) -> None:
        base = self.sparse_indices.count
        if batch.sparse is None:
            self.sparse_offsets.extend(np.full(rows.stop - rows.start, base, np.int64))
            return
        offsets = batch.sparse.offsets[rows.start : rows.stop + 1]
        self.sparse_indices.extend(batch.sparse.indices[offsets[0] : offsets[-1]])
        self.sparse_values.extend(batch.sparse.values[offsets[0] : offsets[-1]])
        self.sparse_offsets.extend(offsets[1:] + (base - offsets[0]))

    def mark_dead(self, rows: Int64s, lsn: Lsn) -> None:
        """Hide `rows`, all alive until now, from views at `lsn` and later."""
        self.dead_lsn.data[rows] = lsn
        self.dead_count += len(rows)

    def alive_rows(self) -> Int64s:
        """Rows that no write has replaced or deleted."""
        return np.flatnonzero(self.dead_lsn.data[: self.row_count] == NEVER)

    def alive(self, row_count: int, lsn: Lsn) -> Mask | None:
        """Which of the first `row_count` rows a view at `lsn` sees; None for all of them."""
        if self.dead_count == 0:
            return None
        return self.dead_lsn.data[:row_count] > np.uint64(lsn)

    def alive_at(self, rows: Int64s, lsn: Lsn) -> Mask | None:
        """Which of some rows a view at `lsn` sees; None for all of them."""
        if self.dead_count == 0:
            return None
        return self.dead_lsn.data[rows] > np.uint64(lsn)

    def deaths(self, rows: Int64s) -> NDArray[np.uint64]:
        """When each of some rows died, NEVER for those that are alive."""
        return self.dead_lsn.data[rows]

    def sparse_rows(self, start: int, end: int) -> SparseColumn:
        """The sparse vectors of the rows from `start` to `end`, as views into the block."""
        return SparseColumn(
            self.sparse_offsets.data[start : end + 1], self.sparse_indices.data, self.sparse_values.data
        )

    def sparse(self, row: int) -> SparseVector | None:
        """One row's sparse vector, None where it has none."""
        start, end = self.sparse_offsets.data[row : row + 2].tolist()
        if start == end:
            return None
        return SparseVector(self.sparse_indices.data[start:end], self.sparse_values.data[start:end])

    def record(self, row: int) -> Record:
        """One row as a record. The arrays are views into the block."""
        dense = None if self.dense is None else self.dense.data[row]
        return Record(self.ids[row], dense, self.sparse(row), self.metadata.row(row))

    def batch(self) -> RecordBatch:
        """All rows as a batch of views into the block, dead ones too."""
        count = self.row_count
        return RecordBatch(
            ids=self.ids,
            dense=None if self.dense is None else self.dense.data[:count],
            sparse=SparseColumn(
                self.sparse_offsets.data[: count + 1], self.sparse_indices.data, self.sparse_values.data
            ),
            metadata=BytesColumn(self.metadata.data.data.data, self.metadata.offsets.data[: count + 1]),
        )

    @property
    def size_bytes(self) -> int:
        """Bytes of vectors, metadata and ids, dead rows too."""
        dense = 0 if self.dense is None else self.dense.nbytes
        sparse = self.sparse_indices.nbytes + self.sparse_values.nbytes
        return dense + sparse + self.metadata.data.nbytes + self.id_bytes
