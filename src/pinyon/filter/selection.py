"""Some of a segment's rows: as sorted numbers where they are few, as a mask where they are many."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pinyon.model.ordered import is_first, is_member
from pinyon.model.record import Int64s, Mask

_MASK_ROWS_PER_SELECTED: Final = 16
"""With more than one row of so many selected, masks are faster made and combined than sorted rows (measured)."""


class Selection:
    """Rows of 0 to `row_count - 1`. It does not change; what it returns may be shared, and is only read.

    Thread safety: may be used from many threads at once.
    """

    __slots__ = ("_count", "_mask", "_rows", "row_count")

    def __init__(self, row_count: int, rows: Int64s | None, mask: Mask | None, count: int) -> None:
        """Use `of_rows`, `of_mask` or `of_lists`."""
        self.row_count = row_count
        self._rows = rows
        self._mask = mask
        self._count = count

    @classmethod
    def of_rows(cls, rows: NDArray[np.signedinteger], row_count: int) -> "Selection":
        """Those `rows`: `(m,)`, ascending, distinct, of any signed type."""
        return cls(row_count, rows.astype(np.int64, copy=False), None, rows.size)

    @classmethod
    def of_mask(cls, mask: Mask) -> "Selection":
        """The rows marked in `mask`, `(row_count,)`."""
        return cls(mask.size, None, mask, int(np.count_nonzero(mask)))

    @classmethod
    def of_lists(cls, lists: Sequence[NDArray[np.signedinteger]], row_count: int, *, ascending: bool) -> "Selection":
        """The rows in any of `lists`, each list distinct; and in ascending order, or not."""
        lists = [rows for rows in lists if rows.size]
        if any(rows.size == row_count for rows in lists):
            return cls.of_mask(np.ones(row_count, np.bool_))
        if is_dense(sum(rows.size for rows in lists), row_count):
            mask = np.zeros(row_count, np.bool_)
            for rows in lists:
                mask[rows] = True
            return cls.of_mask(mask)
        if not lists:
            return cls.of_rows(np.empty(0, np.int64), row_count)
        if len(lists) == 1:
            return cls.of_rows(lists[0] if ascending else np.sort(lists[0]), row_count)
        rows = np.sort(np.concatenate(lists))
        return cls.of_rows(rows[is_first(rows)], row_count)

    @property
    def count(self) -> int:
        """How many rows are selected."""
        return self._count

    @property
    def is_sparse(self) -> bool:
        """Whether `rows` costs nothing; else `mask` does."""
        return self._rows is not None

    def rows(self) -> Int64s:
        """The rows, `(count,)`, ascending."""
        if self._rows is not None:
            return self._rows
        assert self._mask is not None
        return np.flatnonzero(self._mask)

    def mask(self) -> Mask:
        """`(row_count,)` bool: True where a row is selected."""
        if self._mask is not None:
            return self._mask
        mask = np.zeros(self.row_count, np.bool_)
        mask[self._rows] = True
        return mask

    def among(self, places: Mask) -> "Selection":
        """The rows for whose places in `rows` there is True in `places`, `(count,)`."""
        return Selection.of_rows(self.rows()[places], self.row_count)

    def __and__(self, other: "Selection") -> "Selection":
        """The rows that are in both."""
        if not self.is_sparse:
            return other & self if other.is_sparse else Selection.of_mask(self.mask() & other.mask())
        if not other.is_sparse:
            return self.among(other.mask()[self.rows()])
        few, many = (self, other) if self.count <= other.count else (other, self)
        return few.among(is_member(few.rows(), many.rows()))

    def __sub__(self, other: "Selection") -> "Selection":
        """The rows that are not in `other`."""
        if self.is_sparse:
            rows = self.rows()
            return self.among(~(is_member(rows, other.rows()) if other.is_sparse else other.mask()[rows]))
        mask = self.mask().copy()
        if other.is_sparse:
            mask[other.rows()] = False
        else:
            mask &= ~other.mask()
        return Selection.of_mask(mask)


def is_dense(count: int, row_count: int) -> bool:
    """Whether `count` rows, perhaps with repetitions, are better held as a mask."""
    return count * _MASK_ROWS_PER_SELECTED > row_count
