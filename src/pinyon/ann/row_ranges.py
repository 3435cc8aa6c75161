"""Some ranges of rows, seen as one sequence: position 0 is the first row of the first range."""

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from pinyon.model.record import Int64s

T = TypeVar("T", bound=np.generic)


class RowRanges:
    """Ranges that ascend and do not overlap.

    Attributes:
        row_count: rows in all ranges.
    """

    def __init__(self, starts: Int64s, ends: Int64s) -> None:
        """The ranges `starts[i]:ends[i]`, both `(n,)`, at least one."""
        self._starts, self._ends = starts, ends
        self._offsets = np.zeros(len(starts) + 1, np.int64)
        np.cumsum(ends - starts, out=self._offsets[1:])
        self.row_count: Final = int(self._offsets[-1])

    def rows(self, positions: Int64s) -> Int64s:
        """The rows at some positions."""
        ranges = np.searchsorted(self._offsets, positions, side="right") - 1
        # An empty range begins where the next one does, and the last of these has the row.
        rows: Int64s = positions + (self._starts - self._offsets[:-1])[ranges]
        return rows

    def select(self, rows: Int64s) -> Int64s:
        """Those of some rows, ascending, that are in the ranges."""
        firsts = np.searchsorted(rows, self._starts).tolist()
        ends = np.searchsorted(rows, self._ends).tolist()
        return np.concatenate([rows[first:end] for first, end in zip(firsts, ends, strict=True)])

    def cut(self, column: NDArray[T]) -> NDArray[T]:
        """The numbers of these rows, out of a column with one for every row: a view or a copy."""
        starts, ends = self._starts.tolist(), self._ends.tolist()
        if len(starts) == 1:
            return column[starts[0] : ends[0]]
        return np.concatenate([column[start:end] for start, end in zip(starts, ends, strict=True)])
