"""Rows on their way into a segment: chosen from blocks and older segments, in the order in which they are written."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pinyon.engine.block import Block
from pinyon.engine.part import LiveSegment
from pinyon.model.batches import concatenate_bytes, concatenate_sparse, take_bytes_rows, take_sparse_rows
from pinyon.model.record import BytesColumn, Float32s, Int64s, Lsn, Mask, SparseColumn, UInt16s

Source = Block | LiveSegment


class SourceRows(NamedTuple):
    """Where the rows of a source are in a group.

    Attributes:
        source: whose rows they are.
        start: the first of them.
        positions: of row `start + i` the position in the group; of a row that is not in it, anything.
    """

    source: Source
    start: int
    positions: Int64s

    def died(self, after: Lsn, until: Lsn) -> tuple[Int64s, NDArray[np.uint64]]:
        """Positions of the rows that died after one LSN and by another, and when each of them did.

        Of the others, none is to have died in between.
        """
        stop = self.start + len(self.positions)
        alive, was_alive = (_alive(self.source, self.start, stop, lsn) for lsn in (until, after))
        if alive is None or was_alive is None:
            return np.zeros(0, np.int64), np.zeros(0, np.uint64)
        rows = np.flatnonzero(alive != was_alive)
        return self.positions[rows], self.source.deaths(rows + self.start)


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows of one namespace: `pinyon.segment.writer.RowGroup`.

    Row i is row `rows[i]` of `sources[source_of[i]]`. `check` is called for every piece that is read, and may raise to
    stop the work.
    """

    namespace: str
    sources: Sequence[Source]
    source_of: UInt16s
    rows: Int64s
    check: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self.rows)

    def reordered(self, order: Int64s) -> "RowGroup":
        """The same rows, `order[i]` as row i."""
        return RowGroup(self.namespace, self.sources, self.source_of[order], self.rows[order], self.check)

    def ids(self, start: int, stop: int) -> list[str]:
        """Ids of a range of rows."""
        ids = np.empty(stop - start, object)
        for source, places, rows in self._pieces(start, stop):
            ids[places] = (
                source.segment.ids(rows)
                if isinstance(source, LiveSegment)
                else [source.ids[row] for row in rows.tolist()]
            )
        found: list[str] = ids.tolist()
        return found

    def dense(self, start: int, stop: int) -> Float32s | None:
        """Dense vectors of a range of rows; None in an index without."""
        return self.dense_of(np.arange(start, stop))

    def dense_of(self, positions: Int64s) -> Float32s | None:
        """Dense vectors of some rows of the group."""
        taken: Float32s | None = None
        for source, places, rows in self._pieces_of(positions):
            piece = _dense(source, rows)
            if piece is None:
                return None
            if len(piece) == len(positions):
                return piece
            taken = np.empty((len(positions), piece.shape[1]), np.float32) if taken is None else taken
            taken[places] = piece
        return taken

    def squared_norms(self) -> NDArray[np.float64]:
        """Squared lengths of all dense vectors, which every source keeps."""
        found = np.empty(len(self), np.float64)
        for number, source in enumerate(self.sources):
            mine = np.flatnonzero(self.source_of == number)
            found[mine] = _squared_norms(source, self.rows[mine])
        return found

    def sparse(self, start: int, stop: int) -> SparseColumn:
        """Sparse vectors of a range of rows."""
        pieces = list(self._pieces(start, stop))
        columns = [_sparse(source, rows) for source, _, rows in pieces]
        return columns[0] if len(columns) == 1 else take_sparse_rows(concatenate_sparse(columns), _places(pieces))

    def metadata(self, start: int, stop: int) -> BytesColumn:
        """Metadata of a range of rows."""
        pieces = list(self._pieces(start, stop))
        columns = [_metadata(source, rows) for source, _, rows in pieces]
        return columns[0] if len(columns) == 1 else take_bytes_rows(concatenate_bytes(columns), _places(pieces))

    def has_sparse(self) -> bool:
        """True if a source has sparse vectors; then some of the rows may."""
        return any(_has_sparse(source) for source in self.sources)

    def by_source(self) -> list[SourceRows]:
        """Where the rows of each source are: 8 bytes for each row from its first to its last one."""
        found = []
        for number, source in enumerate(self.sources):
            mine = np.flatnonzero(self.source_of == number)
            rows = self.rows[mine]
            start = int(rows.min())
            positions = np.zeros(int(rows.max()) + 1 - start, np.int64)
            positions[rows - start] = mine
            found.append(SourceRows(source, start, positions))
        return found

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[Source, Int64s, Int64s]]:
        return self._pieces_of(np.arange(start, stop))

    def _pieces_of(self, positions: Int64s) -> Iterator[tuple[Source, Int64s, Int64s]]:
        """By source: places among `positions`, and the rows of the source that come there."""
        self.check()
        sources, rows = self.source_of[positions], self.rows[positions]
        for number in np.unique(sources).tolist():
            places = np.flatnonzero(sources == number)
            yield self.sources[number], places, rows[places]


def group_of(
    namespace: str, sources: Sequence[Source], rows: Sequence[Int64s], check: Callable[[], None] = lambda: None
) -> RowGroup:
    """The group of the rows of each source, of which each has some, one source after another."""
    source_of = np.repeat(np.arange(len(sources), dtype=np.uint16), [len(each) for each in rows])
    return RowGroup(namespace, sources, source_of, np.concatenate([np.zeros(0, np.int64), *rows]), check)


def alive_rows(source: Source, start: int, stop: int, lsn: Lsn) -> Int64s:
    """Rows from `start` to `stop` that a view at `lsn` sees."""
    alive = _alive(source, start, stop, lsn)
    return np.arange(start, stop) if alive is None else np.flatnonzero(alive) + start


def _alive(source: Source, start: int, stop: int, lsn: Lsn) -> Mask | None:
    """Which of the rows from `start` to `stop` a view at `lsn` sees; None for all of them."""
    if isinstance(source, LiveSegment):
        return source.alive(start, stop, lsn)
    alive = source.alive(stop, lsn)
    return None if alive is None else alive[start:]


def _dense(source: Source, rows: Int64s) -> Float32s | None:
    if isinstance(source, Block):
        return None if source.dense is None else source.dense.data[rows]
    column = source.segment.dense
    return None if column is None else column.rows(rows)


def _squared_norms(source: Source, rows: Int64s) -> NDArray[np.float64]:
    return source.squared_norms.data[rows] if isinstance(source, Block) else source.segment.squared_norms.rows(rows)


def _sparse(source: Source, rows: Int64s) -> SparseColumn:
    if isinstance(source, Block):
        return take_sparse_rows(source.sparse_rows(0, source.row_count), rows)
    return source.segment.take_sparse(rows)


def _metadata(source: Source, rows: Int64s) -> BytesColumn:
    if isinstance(source, Block):
        column = BytesColumn(source.metadata.data.data.data, source.metadata.offsets.data[: source.row_count + 1])
        return take_bytes_rows(column, rows)
    return source.segment.metadata_rows(rows)


def _has_sparse(source: Source) -> bool:
    if isinstance(source, Block):
        return source.sparse_indices.count > 0
    return source.segment.sparse_count > 0


def _places(pieces: Sequence[tuple[Source, Int64s, Int64s]]) -> Int64s:
    """Where, among the pieces one after another, each position of the range is."""
    order = np.concatenate([np.zeros(0, np.int64), *(places for _, places, _ in pieces)])
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return places
