"""An open segment: immutable rows of one or many namespaces, mapped from one file.

Rows are numbered from 0 over all namespaces; each namespace has consecutive ones. Nothing here knows which rows are
dead. Arrays that are returned are views into the file where it says so, and read-only.

All methods raise DataLossError where bytes that they need are damaged. Thread rule: readers need no lock.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pinyon.model.batches import offsets_of, take_sparse_rows
from pinyon.model.record import BytesColumn, Int64s, Record, SparseColumn, SparseVector, UInt64s
from pinyon.segment.checked_column import CheckedColumn
from pinyon.segment.column_file import ColumnFile
from pinyon.segment.layout import SEGMENT_KIND, NamespaceRows, check_columns
from pinyon.segment.verification import read_namespaces, verify_rows
from pinyon.storage.protocol import Storage

__all__ = ["NamespaceRows", "Segment"]

_LISTED_ROWS: Final = 256
"""How many ids are read at once where a caller may stop after any."""


class Segment:
    """The columns of a segment.

    Attributes:
        row_count: rows, dead ones too.
        dimension: of the dense vectors; None without.
        properties: what `write_segment` was given.
        nbytes: length of the file.
        namespaces: in order of rows.
        sparse_count: sparse values of all rows.
        dense: `(row_count, dimension)` float32; None without dense vectors.
    """

    def __init__(self, file: ColumnFile) -> None:
        """Made by `open`."""
        self._file = file
        self.row_count, self.dimension, self.properties = check_columns(file)
        self.nbytes = file.nbytes
        self.namespaces = read_namespaces(file, self.row_count)
        self.dense: CheckedColumn[np.float32] | None = None if self.dimension is None else file.column("dense")
        self._ids: CheckedColumn[np.uint8] = file.column("ids")
        self._id_offsets: CheckedColumn[np.int64] = file.column("id_offsets")
        self._id_order: CheckedColumn[np.uint32] = file.column("id_order")
        self._hashes: CheckedColumn[np.uint64] = file.column("hashes")
        self._hash_order: CheckedColumn[np.uint32] = file.column("hash_order")
        self._sparse_offsets: CheckedColumn[np.int64] = file.column("sparse_offsets")
        self._sparse_indices: CheckedColumn[np.uint32] = file.column("sparse_indices")
        self._sparse_values: CheckedColumn[np.float32] = file.column("sparse_values")
        self._metadata_offsets: CheckedColumn[np.int64] = file.column("metadata_offsets")
        self._metadata: CheckedColumn[np.uint8] = file.column("metadata")
        self.sparse_count = len(self._sparse_indices)

    @classmethod
    def open(cls, storage: Storage, path: str) -> "Segment":
        """Map a segment. What its namespaces are is read; all else is when it is needed.

        Raises:
            DataLossError: the file is missing, damaged or no segment; names it.
            FailedPreconditionError: a newer Pinyon wrote it.
        """
        return cls(ColumnFile.open(storage, path, SEGMENT_KIND))

    @property
    def path(self) -> str:
        """Of the file."""
        return self._file.path

    @property
    def squared_norms(self) -> CheckedColumn[np.float64]:
        """Squared lengths of the dense vectors, `(row_count,)`; only where there are such."""
        return self._file.column("squared_norms")

    def find(self, rows: NamespaceRows, hashes: UInt64s, ids: Sequence[str]) -> Int64s:
        """For each of `ids` its row in a namespace, -1 where it has none, `(m,)`.

        Args:
            rows: the namespace.
            hashes: `id_hashes(ids)`, which a caller with many segments computes once.
            ids: to be found.
        """
        found = np.full(len(ids), -1, np.int64)
        known = self._hashes.slice(rows.start, rows.stop)
        if not len(known):
            return found
        places = np.searchsorted(known, hashes)
        hits = np.flatnonzero(known.take(places, mode="clip") == hashes)
        if not len(hits):
            return found
        candidates = self._hash_order.slice(rows.start, rows.stop)[places[hits]].astype(np.int64)
        stored = self._pieces(self._ids, self._id_offsets, candidates)
        for hit, row, id_bytes in zip(hits.tolist(), candidates.tolist(), stored, strict=True):
            wanted = ids[hit].encode()
            found[hit] = row if id_bytes == wanted else self._find_behind(rows, int(places[hit]), wanted)
        return found

    def ids(self, rows: Int64s) -> list[str]:
        """Ids of some rows."""
        return [id_.decode() for id_ in self._pieces(self._ids, self._id_offsets, rows)]

    def ids_from(self, rows: NamespaceRows, prefix: str, after: str | None) -> Iterator[tuple[str, int]]:
        """Ids of a namespace with `prefix`, in byte order, those after `after`, each with its row."""
        is_after = after is not None and after >= prefix
        order = self.rows_by_id(rows, after) if is_after else self._rows_from(rows, prefix.encode(), is_after=False)
        for start in range(0, len(order), _LISTED_ROWS):
            chunk = order[start : start + _LISTED_ROWS].astype(np.int64)
            for name, row in zip(self.ids(chunk), chunk.tolist(), strict=True):
                if not name.startswith(prefix):
                    return
                yield name, row

    def rows_by_id(self, rows: NamespaceRows, after: str | None) -> NDArray[np.uint32]:
        """The rows of a namespace in byte order of their ids, of those after `after`: a view."""
        return self._rows_from(rows, b"" if after is None else after.encode(), is_after=after is not None)

    def _rows_from(self, rows: NamespaceRows, id_: bytes, is_after: bool) -> NDArray[np.uint32]:
        """The rows of a namespace in byte order of their ids, beginning with `id_`, or behind it."""
        order = self._id_order.slice(rows.start, rows.stop)
        low, high = 0, len(order)
        while low < high:
            middle = (low + high) // 2
            (found,) = self._pieces(self._ids, self._id_offsets, order[middle : middle + 1].astype(np.int64))
            if found < id_ or (is_after and found == id_):
                low = middle + 1
            else:
                high = middle
        return order[low:]

    def sparse_rows(self, start: int, stop: int) -> SparseColumn:
        """Sparse vectors of the rows from `start` to `stop`: views."""
        offsets = self._sparse_offsets.slice(start, stop + 1)
        begin, end = offsets[:1], offsets[-1:]
        return SparseColumn(offsets, self._sparse_indices.checked(begin, end), self._sparse_values.checked(begin, end))

    def take_sparse(self, rows: Int64s) -> SparseColumn:
        """Sparse vectors of some rows, copied."""
        offsets = self._sparse_offsets.checked(rows, rows + 2)
        begins, ends = offsets[rows], offsets[rows + 1]
        indices, values = self._sparse_indices.checked(begins, ends), self._sparse_values.checked(begins, ends)
        return take_sparse_rows(SparseColumn(offsets, indices, values), rows)

    @property
    def metadata_bytes(self) -> int:
        """Bytes of the metadata of all rows."""
        return self._metadata.nbytes

    def metadata_slice(self, start: int, stop: int) -> BytesColumn:
        """Metadata of the rows from `start` to `stop`: views."""
        offsets = self._metadata_offsets.slice(start, stop + 1)
        return BytesColumn(self._metadata.checked(offsets[:1], offsets[-1:]).data, offsets)

    def metadata_rows(self, rows: Int64s) -> BytesColumn:
        """Metadata of some rows, copied."""
        pieces = self._pieces(self._metadata, self._metadata_offsets, rows)
        return BytesColumn(memoryview(b"".join(pieces)), offsets_of(list(map(len, pieces))))

    def record(self, row: int) -> Record:
        """One row as a record; its arrays are views."""
        at = np.array([row])
        dense = None if self.dense is None else self.dense.slice(row, row + 1)[0]
        sparse = self.sparse_rows(row, row + 1)
        vector: SparseVector | None = sparse[0] if sparse.offsets[0] < sparse.offsets[1] else None
        (metadata,) = self._pieces(self._metadata, self._metadata_offsets, at)
        return Record(self.ids(at)[0], dense, vector, metadata)

    def has_extra(self, name: str) -> bool:
        """True if there is such a column."""
        return name in self._file.names

    def extra_count(self, name: str) -> int:
        """How many values a column has, or rows; known without its bytes, which may be damaged.

        Raises:
            DataLossError: there is no such column.
        """
        return len(self._file.column(name))

    def extra(self, name: str) -> NDArray[Any]:
        """A whole column, checked: a view.

        Raises:
            DataLossError: there is no such column, or it is damaged.
        """
        return self._file.array(name)

    def verify(self) -> None:
        """Check every byte, and that the columns fit one another.

        Raises:
            DataLossError: something is wrong; names the file.
        """
        self._file.verify()
        verify_rows(self._file, self.namespaces)

    def _pieces(self, data: CheckedColumn[np.uint8], offsets: CheckedColumn[np.int64], rows: Int64s) -> list[bytes]:
        """The byte strings of some rows."""
        table = offsets.checked(rows, rows + 2)
        begins, ends = table[rows], table[rows + 1]
        content = data.checked(begins, ends).data
        return [bytes(content[begin:end]) for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]

    def _find_behind(self, rows: NamespaceRows, place: int, wanted: bytes) -> int:
        """The row of an id whose hash, first found at `place`, others have too; -1 if it has none."""
        known, order = self._hashes.slice(rows.start, rows.stop), self._hash_order.slice(rows.start, rows.stop)
        last = int(np.searchsorted(known, known[place], side="right"))
        candidates = order[place + 1 : last].astype(np.int64)
        stored = self._pieces(self._ids, self._id_offsets, candidates)
        return int(candidates[stored.index(wanted)]) if wanted in stored else -1
