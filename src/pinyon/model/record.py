"""Records, one at a time and in batches.

A batch is column-wise, because that is how its bytes travel: from the wire into one float32 matrix, from there to the
log and to the memtable, with no Python object per number. What holds of every batch:

- all columns have one row per id, in the order of the request;
- `dense` is `(n, dimension)` float32, C-contiguous, or None in an index without dense vectors;
- metadata is the encoding of `google.protobuf.Struct` (see `pinyon.protobuf.struct`), empty for no metadata.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Float32s: TypeAlias = NDArray[np.float32]
Float64s: TypeAlias = NDArray[np.float64]
UInt16s: TypeAlias = NDArray[np.uint16]
UInt32s: TypeAlias = NDArray[np.uint32]
UInt64s: TypeAlias = NDArray[np.uint64]
Int32s: TypeAlias = NDArray[np.int32]
Int64s: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

MetadataValue: TypeAlias = str | float | bool | list[str]
Metadata: TypeAlias = dict[str, MetadataValue]

Lsn: TypeAlias = int


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Non-zero positions and their values, both `(nnz,)`, in the order that the caller gave."""

    indices: UInt32s
    values: Float32s


@dataclass(frozen=True, slots=True)
class BytesColumn:
    """`n` byte strings back to back: row i is `data[offsets[i]:offsets[i + 1]]`; `offsets` is `(n + 1,)` int64."""

    data: memoryview
    offsets: Int64s

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> bytes:
        return bytes(self.data[self.offsets[row] : self.offsets[row + 1]])


@dataclass(frozen=True, slots=True)
class SparseColumn:
    """`n` sparse vectors in CSR form: row i holds positions `offsets[i]:offsets[i + 1]` of `indices` and `values`."""

    offsets: Int64s
    indices: UInt32s
    values: Float32s

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> SparseVector:
        part = slice(self.offsets[row], self.offsets[row + 1])
        return SparseVector(self.indices[part], self.values[part])


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records to be written together. `sparse` and `metadata` are None where no row has any."""

    ids: list[str]
    dense: Float32s | None
    sparse: SparseColumn | None
    metadata: BytesColumn | None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Record:
    """One stored record, as fetch returns it. `metadata` is an encoded Struct, empty for none."""

    id: str
    dense: Float32s | None
    sparse: SparseVector | None
    metadata: bytes


@dataclass(frozen=True, slots=True)
class Match:
    """One result of a query. `score` is Pinecone's number for the metric."""

    id: str
    score: float
    dense: Float32s | None = None
    sparse: SparseVector | None = None
    metadata: bytes = b""
