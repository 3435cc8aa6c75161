"""A graph of near neighbours (HNSW over int8 rows, by usearch), built once and searched where it lies.

What must hold:

- row n has key n, whenever it was added;
- a built graph is bytes, and a view of them, mapped from a file for instance, is searched without reading them whole;
- answers are approximate, and so is their order, nearest first: the caller scores the first of them again.

Rows are compared by dot product, as all have length 1 in the space of a graph (`Space.graph_rows`); those of euclidean
by distance. They are rotated, which makes their numbers about equally large, and rounded to 127ths of the largest that
is to be expected in a row of length 1. Rows that are far longer (`Space.long_rows`) are in every answer.

usearch is imported when a graph is first built or opened, because that takes longer than opening an index.
"""

from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from pinyon.ann.rotation import WORD_BITS, Rotation, padded_width
from pinyon.ann.space import Space, graph_width
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s, Int64s
from pinyon.storage.machine import processor_count

if TYPE_CHECKING:
    from usearch.index import Index

_CONNECTIVITY: Final = 16
_EXPANSION_ADD: Final = 128
_ROWS_ADDED: Final = 1000
"""Rows added by one call, which takes a fifth of a second."""

_ROUNDS: Final = 8
"""In which rows are added: of 400,000 texts, eight near copies of each, 82 % of the nearest ten are found among 32 rows
then, and 76 % if rows are added in their order. Random order finds no more, and takes 1.4 times as long, as what is
needed is hardly ever in the cache."""

_INDEXES: Final = min(processor_count(), 4)
"""Of usearch over the same bytes, as one of them answers one call at a time. More of them are hardly ever searched at
once, as other parts of a query take longer."""

_INDEX_ROW_BYTES: Final = 25
"""What each of them takes in memory for a row, beside the bytes of the graph: 16 to 24 (measured), and a little for
searches."""

_SEED: Final = 1
"""Of the rotation; part of the format."""

_DEVIATIONS_MAX: Final = 4
"""Numbers of a rotated row beyond so many standard deviations, one in 15,000, are cut."""


def build(
    rows_of: Callable[[Int64s], Float32s],
    row_count: int,
    space: Space,
    should_stop: Callable[[], bool],
    held_back: Int64s | None = None,
    measure: "Callable[[Graph], None] | None" = None,
    threads: int = 1,
) -> bytes | None:
    """Build a graph, which releases the GIL but for a few milliseconds at a time.

    Rows that lie side by side, as those of a partition do, are alike, and are not added one after another: their ways
    would lead from one to the next, and threads that add them at once do not see each other's. So every eighth row is
    added, then every eighth beginning with the next one, and so on.

    Args:
        rows_of: the rows with some numbers, as stored, `(m, dimension)` float32.
        row_count: how many rows there are.
        space: of the rows.
        should_stop: asked every thousand rows.
        held_back: some rows that are added last, ascending.
        measure: called with the graph of the others before that. A row that is in a graph is found more easily than a
            query that is not.
        threads: that add rows, this one among them. Only with one, the same rows give the same graph. With two to four,
            about one real text in 3,000 is in nobody's neighbourhood afterwards, and never found; with one none
            (measured). Very near copies make such islands with any number of threads.

    Returns:
        The graph's bytes; None if it was told to stop.
    """
    codec = _Codec(space)
    index = codec.new_index()
    order = np.concatenate([np.arange(first, row_count, _ROUNDS) for first in range(_ROUNDS)])
    is_last = np.zeros(row_count, np.bool_) if held_back is None else np.isin(order, held_back)

    def add(numbers: Int64s) -> bool:
        for start in range(0, len(numbers), _ROWS_ADDED):
            if should_stop():
                return False
            some = numbers[start : start + _ROWS_ADDED]
            # The first rows are the way to all others.
            index.add(some.astype(np.uint64), codec.rows(rows_of(some)), threads=threads if len(index) else 1)
        return True

    if not add(order[~is_last]):
        return None
    if measure is not None:
        measure(Graph([index], codec))
    return index.save() if add(order[is_last]) else None


def build_bytes(row_count: int, dimension: int, metric: Metric) -> int:
    """About what `build` takes in memory at most, its result included (measured, rounded up)."""
    width = padded_width(graph_width(dimension, metric), WORD_BITS)
    return row_count * (5 * width // 2 + 20 * _CONNECTIVITY)


def open_bytes(row_count: int) -> int:
    """About what an open graph takes in memory, beside its bytes."""
    return row_count * _INDEXES * _INDEX_ROW_BYTES


class Graph:
    """A built graph. Any thread may search it; a search releases the GIL.

    Attributes:
        row_count: how many rows it has.
        long_rows: those of `Space`.
    """

    def __init__(self, indexes: "Sequence[Index]", codec: "_Codec", buffer: memoryview | None = None) -> None:
        """Use `view`."""
        self._buffer = buffer  # usearch reads it, and does not keep it from going away.
        self._codec = codec
        self._free: SimpleQueue[Index] = SimpleQueue()
        for index in indexes:
            self._free.put(index)
        self.long_rows: Final = codec.space.long_rows
        self.row_count: Final = len(indexes[0])

    @classmethod
    def view(cls, buffer: memoryview, space: Space, row_count: int) -> "Graph":
        """Search the bytes of `build` where they are. They must not change.

        Raises:
            ValueError: these are not the bytes of a graph of such rows.
        """
        codec = _Codec(space)
        index = codec.view(buffer)
        if (len(index), index.ndim) != (row_count, codec.width):
            raise ValueError(f"a graph of {len(index)} × {index.ndim} numbers, expected {row_count} × {codec.width}")
        return cls([index, *(codec.view(buffer) for _ in range(_INDEXES - 1))], codec, buffer)

    @property
    def nbytes(self) -> int:
        """Bytes of the graph, mapped or not."""
        return 0 if self._buffer is None else self._buffer.nbytes

    @property
    def memory_bytes(self) -> int:
        """About what it takes in memory, beside its bytes."""
        return open_bytes(self.row_count)

    def search(self, query: Float32s, count: int) -> Int64s:
        """About the `count` nearest rows of `query`, `(dimension,)` float32 as it came, behind all long ones.

        `(m,)` int64, nearest first. A search is as broad as its answer: `count` is the effort.
        """
        encoded = self._codec.query(query)
        index = self._free.get()
        try:
            found = index.search(encoded, min(count, self.row_count), threads=1)
        finally:
            self._free.put(index)
        return self._behind_long_rows(found.keys.astype(np.int64))

    def search_all(self, queries: Float32s, count: int, threads: int = 1) -> list[Int64s]:
        """What `search` finds for each of `queries`, `(q, dimension)`, by some threads at once."""
        from usearch.index import BatchMatches

        encoded = np.array([self._codec.query(query) for query in queries])
        index = self._free.get()
        try:
            found = index.search(encoded, min(count, self.row_count), threads=threads)
        finally:
            self._free.put(index)
        if not isinstance(found, BatchMatches):  # Of a single query.
            return [self._behind_long_rows(found.keys.astype(np.int64))]
        answers = zip(found.keys, found.counts.tolist(), strict=True)
        return [self._behind_long_rows(keys[:length].astype(np.int64)) for keys, length in answers]

    def _behind_long_rows(self, rows: Int64s) -> Int64s:
        if not len(self.long_rows):
            return rows
        return np.concatenate((self.long_rows, rows[~np.isin(rows, self.long_rows)]))


class _Codec:
    """How rows and queries are handed to usearch: as int8 that fill the range better than those it makes by itself."""

    def __init__(self, space: Space) -> None:
        self.space: Final = space
        self._rotation: Final = Rotation(space.graph_width, _SEED, width_min=WORD_BITS)
        self.width: Final = self._rotation.padded_width
        self._scale: Final = np.float32(127 * np.sqrt(self.width) / _DEVIATIONS_MAX)

    def new_index(self) -> "Index":
        from usearch.index import Index

        return Index(
            ndim=self.width,
            # Rounded, lengths are hardly known better than that they are 1, so "cos" would compute them for nothing.
            metric="l2sq" if self.space.metric is Metric.EUCLIDEAN else "ip",
            dtype="i8",
            connectivity=_CONNECTIVITY,
            expansion_add=_EXPANSION_ADD,
            # The larger of this and the number of results is the breadth of a search.
            expansion_search=1,
            enable_key_lookups=False,
        )

    def view(self, buffer: memoryview) -> "Index":
        index = self.new_index()
        try:
            index.view(buffer)
        except RuntimeError as error:
            raise ValueError(f"not a graph: {error}") from error
        return index

    def rows(self, dense: Float32s) -> NDArray[np.int8]:
        return self._rounded(self.space.graph_rows(dense))

    def query(self, query: Float32s) -> NDArray[np.int8]:
        only: NDArray[np.int8] = self._rounded(self.space.graph_query(query)[None])[0]
        return only

    def _rounded(self, rows: Float32s) -> NDArray[np.int8]:
        rounded: NDArray[np.int8] = np.rint(self._rotation(rows) * self._scale).clip(-127, 127).astype(np.int8)
        return rounded
