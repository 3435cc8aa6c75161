"""The encoded rows of one segment, partition after partition, and what they are estimated to be worth to a query.

How estimates come about, and what holds of the arrays, which may be mapped: `quantiser`. Codes are copied in parts that
stay in a core's cache until they were looked at.

Thread rule: any thread may estimate.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np

from pinyon.ann import codes
from pinyon.ann.codes import PreparedQuery
from pinyon.ann.row_ranges import RowRanges
from pinyon.model.record import Float32s, Int64s, UInt16s, UInt64s

_COPIED_BYTES: Final = 400_000

_GATHERED_SHARE_MAX: Final = 0.65
"""To fetch the codes of more than this share of all rows takes longer than to look at all where they are.

Measured at 6,000 to 1,500,000 rows of 256 to 3,072 dimensions: as long at 0.58 to 0.78. Where the codes of partitions
would be copied, fetching single ones is faster at any share.
"""


class Asked(NamedTuple):
    """A query, as partitions and codes are compared with it.

    Attributes:
        query: `(dimension,)` float32, in the space.
        prepared: its bit planes.
        near: `(p,)` float32, its dot product with each centroid.
        goodness: `(p,)` float32, what that is worth.
    """

    query: Float32s
    prepared: PreparedQuery
    near: Float32s
    goodness: Float32s


class EncodedRows:
    """Codes, factors and constants of rows.

    Attributes:
        starts: `(p + 1,)` int64, where partitions begin.
        sizes: `(p,)` int64, how many rows each has.
        factors: `(n,)` float32; the larger, the less sure is the estimate.
    """

    def __init__(self, starts: Int64s, words: UInt64s, factors: Float32s, constants: Float32s) -> None:
        """Estimate by these arrays."""
        self.starts, self.sizes, self.factors = starts, np.diff(starts), factors
        self._words, self._constants = words, constants
        self._copied_rows = max(1, _COPIED_BYTES // (words.itemsize * words.shape[1]))

    @property
    def row_count(self) -> int:
        """Rows, dead ones too."""
        return len(self.factors)

    @property
    def partition_count(self) -> int:
        """How many partitions there are."""
        return len(self.sizes)

    def ranges(self, partitions: Int64s | None) -> RowRanges:
        """Where the rows of some partitions are, ascending; None for all."""
        if partitions is None:
            return RowRanges(self.starts[:1], self.starts[-1:])
        return RowRanges(self.starts[partitions], self.starts[partitions + 1])

    def estimates_of_partitions(self, asked: Asked, partitions: Int64s | None, ranges: RowRanges) -> Float32s:
        """The estimated goodness of all rows of some partitions, ascending, one after another; None for all.

        `ranges` is where their rows are.
        """
        query, near = asked.prepared, asked.goodness
        if partitions is None:
            distances = _distances(query, [self._words], self.row_count)
            return _goodness(query, distances, np.repeat(near, self.sizes), self.factors, self._constants)
        distances = _distances(query, self._words_of_partitions(partitions), ranges.row_count)
        of_rows = np.repeat(near[partitions], self.sizes[partitions])
        return _goodness(query, distances, of_rows, ranges.cut(self.factors), ranges.cut(self._constants))

    def estimates(self, asked: Asked, rows: Int64s) -> Float32s:
        """The estimated goodness of single rows, ascending."""
        if len(rows) > _GATHERED_SHARE_MAX * self.row_count:
            return self.estimates_of_partitions(asked, None, self.ranges(None))[rows]
        query, near = asked.prepared, asked.goodness
        distances = _distances(query, self._words_of_rows(rows), len(rows))
        if len(rows) < self.partition_count:  # Few are looked for among many.
            of_rows = near[np.searchsorted(self.starts, rows, side="right") - 1]
        else:
            of_rows = np.repeat(near, np.diff(np.searchsorted(rows, self.starts)))
        return _goodness(query, distances, of_rows, np.take(self.factors, rows), np.take(self._constants, rows))

    def _words_of_partitions(self, partitions: Int64s) -> Iterator[UInt64s]:
        at_once = max(1, self._copied_rows * self.partition_count // self.row_count)
        for first in range(0, len(partitions), at_once):
            yield self.ranges(partitions[first : first + at_once]).cut(self._words)

    def _words_of_rows(self, rows: Int64s) -> Iterator[UInt64s]:
        # Copied into the same memory again and again, they take half as long.
        copied = np.empty((min(self._copied_rows, len(rows)), self._words.shape[1]), np.uint64)
        for first in range(0, len(rows), self._copied_rows):
            some = rows[first : first + self._copied_rows]
            # All numbers are those of rows; to have numpy look whether they are would take another copy.
            yield np.take(self._words, some, axis=0, mode="clip", out=copied[: len(some)])


def _distances(query: PreparedQuery, parts: Iterable[UInt64s], row_count: int) -> UInt16s:
    """The distances of codes that come in parts."""
    distances = np.empty(row_count, np.uint16)
    done = 0
    for words in parts:
        codes.distances(words, query.planes, distances[done : done + len(words)])
        done += len(words)
    return distances


def _goodness(
    query: PreparedQuery, distances: UInt16s, near: Float32s, factors: Float32s, constants: Float32s
) -> Float32s:
    estimates = np.multiply(distances, np.float32(-query.scale), dtype=np.float32)
    estimates += np.float32(query.offset)
    estimates *= factors
    estimates += near
    estimates += constants
    return estimates
