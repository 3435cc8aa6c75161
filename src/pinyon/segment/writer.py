"""Writing a segment: rows of one namespace or of many, streamed column by column.

Beside the columns on their way to the file, some MiB at a time, memory holds for each row: its id, and some 50 bytes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pinyon.model.batches import offsets_of, squared_norms
from pinyon.model.record import BytesColumn, Float32s, Int64s, SparseColumn, UInt64s
from pinyon.segment.column_file_writer import ColumnFileWriter
from pinyon.segment.id_hash import id_hashes
from pinyon.segment.id_order import id_order
from pinyon.segment.layout import RESERVED, ROW_COUNT_MAX, SEGMENT_KIND, dtype_of
from pinyon.storage.protocol import Storage

_PART_BYTES: Final = 4 * 1024 * 1024
_PART_ROWS_MAX: Final = 8192

Piece = TypeVar("Piece")


class RowGroup(Protocol):
    """Rows of one namespace, in the order in which they are to be written.

    Each range of a column is asked for once, in ascending order; those of `sparse`, where there are any values, twice.
    """

    @property
    def namespace(self) -> str:
        """As shown."""
        ...

    def __len__(self) -> int:
        """Rows."""
        ...

    def ids(self, start: int, stop: int) -> list[str]:
        """Ids of the rows from `start` to `stop`; no two rows of the group have the same."""
        ...

    def dense(self, start: int, stop: int) -> Float32s | None:
        """Dense vectors, `(stop - start, dimension)`; None in an index without."""
        ...

    def sparse(self, start: int, stop: int) -> SparseColumn:
        """Sparse vectors; empty ones where there are none."""
        ...

    def metadata(self, start: int, stop: int) -> BytesColumn:
        """Encoded metadata; empty where there is none."""
        ...


class ExtraColumn(NamedTuple):
    """A column that only some segments have: see `ColumnFileWriter.write`. `parts` is iterated when it is written."""

    name: str
    dtype: DTypeLike
    width: int | None
    parts: Iterable[NDArray[Any]]


def write_segment(
    storage: Storage,
    path: str,
    groups: Sequence[RowGroup],
    *,
    dimension: int | None,
    extra: Iterable[ExtraColumn] = (),
    properties: dict[str, Any] | None = None,
) -> None:
    """Write a segment and make it durable; its name in the folder is not yet.

    Args:
        storage: where.
        path: of a file that does not exist.
        groups: of different namespaces; their rows are numbered through.
        dimension: None for an index without dense vectors.
        extra: further columns, taken one by one after the others were written.
        properties: further properties, of what MessagePack can hold.

    Raises:
        UnavailableError: the disk failed; part of the file may be there.
    """
    file = storage.create(path)
    try:
        segment = _SegmentWriter(ColumnFileWriter(file, SEGMENT_KIND), groups, dimension)
        segment.write_namespaces()
        segment.write_ids()
        segment.write_dense()
        segment.write_sparse()
        segment.write_metadata()
        segment.write_extra(extra)
        segment.finish(properties or {})
    finally:
        file.close()


class _SegmentWriter:
    def __init__(self, file: ColumnFileWriter, groups: Sequence[RowGroup], dimension: int | None) -> None:
        self._file = file
        self._groups = groups
        self._dimension = dimension
        self._part_rows = max(1, min(_PART_ROWS_MAX, _PART_BYTES // (4 * (dimension or 1))))
        self._starts = offsets_of([len(group) for group in groups])
        self._row_count = int(self._starts[-1])
        assert self._row_count <= ROW_COUNT_MAX

    def write_namespaces(self) -> None:
        names = [group.namespace.encode() for group in self._groups]
        self._write("namespace_names", [np.frombuffer(b"".join(names), np.uint8)])
        self._write("namespace_offsets", [offsets_of([len(name) for name in names])])
        self._write("namespace_starts", [self._starts])

    def write_ids(self) -> None:
        """The ids, and how they are found: both orders are made within each namespace."""
        data, lengths, hashes = bytearray(), _Rows(self._row_count, np.int64), _Rows(self._row_count, np.uint64)

        def parts() -> Iterator[NDArray[np.uint8]]:
            for ids in self._pieces(lambda group, start, stop: group.ids(start, stop)):
                encoded = [id_.encode() for id_ in ids]
                content = b"".join(encoded)
                data.extend(content)
                lengths.extend(np.fromiter(map(len, encoded), np.int64, len(encoded)))
                hashes.extend(id_hashes(ids))
                yield np.frombuffer(content, np.uint8)

        self._write("ids", parts())
        offsets = offsets_of(lengths.array)
        self._write("id_offsets", [offsets])
        self._write_rows("id_order", id_order(np.frombuffer(data, np.uint8), offsets, self._starts))
        order = self._hash_order(hashes.array)
        self._write("hashes", [hashes.array[order]])
        self._write_rows("hash_order", order)

    def write_dense(self) -> None:
        """The vectors and their squared lengths."""
        if self._dimension is None:
            return
        norms = _Rows(self._row_count, np.float64)

        def parts() -> Iterator[Float32s]:
            for dense in self._pieces(lambda group, start, stop: group.dense(start, stop)):
                assert dense is not None
                norms.extend(squared_norms(dense))
                yield dense

        self._write("dense", parts(), self._dimension)
        self._write("squared_norms", [norms.array])

    def write_sparse(self) -> None:
        """The sparse vectors. Two passes, because a file is written one column after another."""
        lengths = _Rows(self._row_count, np.int64)

        def indices() -> Iterator[NDArray[np.uint32]]:
            for column in self._sparse():
                lengths.extend(np.diff(column.offsets))
                yield column.indices[column.offsets[0] : column.offsets[-1]]

        def values() -> Iterator[Float32s]:
            for column in self._sparse():
                yield column.values[column.offsets[0] : column.offsets[-1]]

        self._write("sparse_indices", indices())
        self._write("sparse_values", values() if lengths.array.any() else ())
        self._write("sparse_offsets", [offsets_of(lengths.array)])

    def write_metadata(self) -> None:
        """The metadata as it is."""
        lengths = _Rows(self._row_count, np.int64)

        def parts() -> Iterator[NDArray[np.uint8]]:
            for column in self._pieces(lambda group, start, stop: group.metadata(start, stop)):
                lengths.extend(np.diff(column.offsets))
                yield np.frombuffer(column.data, np.uint8)[column.offsets[0] : column.offsets[-1]]

        self._write("metadata", parts())
        self._write("metadata_offsets", [offsets_of(lengths.array)])

    def write_extra(self, extra: Iterable[ExtraColumn]) -> None:
        for column in extra:
            assert column.name not in RESERVED
            self._file.write(column.name, column.parts, column.dtype, column.width)

    def finish(self, properties: dict[str, Any]) -> None:
        self._file.finish({"row_count": self._row_count, "dimension": self._dimension, "properties": properties})

    def _pieces(self, take: Callable[[RowGroup, int, int], Piece]) -> Iterator[Piece]:
        for group in self._groups:
            for start in range(0, len(group), self._part_rows):
                yield take(group, start, min(start + self._part_rows, len(group)))

    def _sparse(self) -> Iterator[SparseColumn]:
        return self._pieces(lambda group, start, stop: group.sparse(start, stop))

    def _hash_order(self, hashes: UInt64s) -> Int64s:
        if len(self._groups) == 1:
            return np.argsort(hashes, kind="stable")
        return np.lexsort((hashes, np.repeat(np.arange(len(self._groups)), np.diff(self._starts))))

    def _write(self, name: str, parts: Iterable[NDArray[Any]], width: int | None = None) -> None:
        self._file.write(name, parts, dtype_of(name), width)

    def _write_rows(self, name: str, rows: Int64s) -> None:
        self._write(name, [rows.astype(np.uint32)])


class _Rows:
    """One number for each row, gathered part by part."""

    def __init__(self, row_count: int, dtype: DTypeLike) -> None:
        self.array: NDArray[Any] = np.zeros(row_count, dtype)
        self._count = 0

    def extend(self, numbers: NDArray[Any]) -> None:
        self.array[self._count : self._count + len(numbers)] = numbers
        self._count += len(numbers)
