"""Arrays that grow at the end while others read them.

One writer, any number of readers without a lock. What makes that safe:

- values once written never change (`Block.dead_lsn` is the one exception, and says why there);
- growing copies into a larger array and leaves the old one as it was, so a reader that took `data` keeps a right one;
- a reader never looks beyond the count that it was given by a view, or takes `filled`.
"""

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

Scalar = TypeVar("Scalar", bound=np.generic)

_CAPACITY_MIN = 8


class GrowableArray(Generic[Scalar]):
    """Append-only rows of one dtype, `(count,)` or `(count, width)`."""

    __slots__ = ("count", "data")

    def __init__(self, dtype: DTypeLike, width: int | None = None) -> None:
        """Start empty; nothing is allocated before the first row."""
        self.data: NDArray[Scalar] = np.empty((0,) if width is None else (0, width), dtype)
        self.count = 0

    def extend(self, rows: NDArray[Scalar]) -> None:
        """Append `rows`, `(n,)` or `(n, width)`."""
        end = self.count + len(rows)
        self.reserve(end)
        self.data[self.count : end] = rows
        self.count = end

    def reserve(self, capacity: int) -> None:
        """Make room for `capacity` rows in all; at least doubles, so that appending stays linear."""
        if capacity <= len(self.data):
            return
        grown = np.empty((max(capacity, 2 * len(self.data), _CAPACITY_MIN), *self.data.shape[1:]), self.data.dtype)
        grown[: self.count] = self.data[: self.count]
        self.data = grown

    @property
    def filled(self) -> NDArray[Scalar]:
        """The rows written so far."""
        count = self.count  # Before `data`: an array taken earlier could be one that has grown too small for it.
        return self.data[:count]

    @property
    def nbytes(self) -> int:
        """Bytes of the rows written."""
        return self.filled.nbytes


class GrowableBytes:
    """Append-only byte strings back to back: row i is `data[offsets[i]:offsets[i + 1]]`."""

    __slots__ = ("data", "offsets")

    def __init__(self) -> None:
        """Start with no rows."""
        self.data: GrowableArray[np.uint8] = GrowableArray(np.uint8)
        self.offsets: GrowableArray[np.int64] = GrowableArray(np.int64)
        self.offsets.extend(np.zeros(1, np.int64))

    def extend(self, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        """Append the rows of `data`; `offsets` is `(n + 1,)` and may begin anywhere in it."""
        base = self.data.count - int(offsets[0])
        self.data.extend(data[offsets[0] : offsets[-1]])
        self.offsets.extend(offsets[1:] + base)

    def extend_empty(self, count: int) -> None:
        """Append `count` empty rows."""
        self.offsets.extend(np.full(count, self.data.count, np.int64))

    def row(self, row: int) -> bytes:
        """One row's bytes."""
        start, end = self.offsets.data[row : row + 2].tolist()
        return self.data.data[start:end].tobytes()
