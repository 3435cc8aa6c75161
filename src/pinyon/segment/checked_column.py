"""A mapped column whose bytes are compared with their checksums before they are first given out.

Thread rule: readers need no lock. Two that meet an unchecked chunk both check it; its flag is set after the check.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np
from crc32c import crc32c
from numpy.typing import NDArray

from pinyon.model.record import Int64s, Mask
from pinyon.segment.column_format import CHUNK_BYTES, data_loss

Scalar = TypeVar("Scalar", bound=np.generic)


class CheckedColumn(Generic[Scalar]):
    """A column of an open file, `(n,)` or `(n, width)`. Each chunk is checked before its first byte is given out.

    All methods raise DataLossError where a checksum is wrong. Rows are counted from 0; negative ones are not.
    """

    __slots__ = ("_array", "_bytes", "_checksums", "_is_verified", "_path", "_row_bytes", "_verified")

    def __init__(self, path: str, array: NDArray[Scalar], content: memoryview, checksums: NDArray[np.uint32]) -> None:
        """Take the mapped column, its bytes, and the checksums of its chunks."""
        self._path = path
        self._array = array
        self._bytes = content
        self._checksums = checksums
        self._row_bytes = array.itemsize * int(np.prod(array.shape[1:], dtype=np.int64))
        self._verified: Mask = np.zeros(len(checksums), np.bool_)
        self._is_verified = not len(checksums)

    def __len__(self) -> int:
        """Rows."""
        return len(self._array)

    @property
    def shape(self) -> tuple[int, ...]:
        """`(n,)` or `(n, width)`."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Scalar]:
        """Of its numbers."""
        return self._array.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the whole column."""
        return self._array.nbytes

    def rows(self, rows: Int64s) -> NDArray[Scalar]:
        """Some rows, `(m,)` or `(m, width)`, copied."""
        if not self._is_verified:
            begins = rows * self._row_bytes
            self._check(begins, begins + self._row_bytes)
        return self._array.take(rows, axis=0)

    def slice(self, start: int, stop: int) -> NDArray[Scalar]:
        """The rows from `start` to `stop`, as a view into the file."""
        if not self._is_verified and start < stop:
            first, last = start * self._row_bytes // CHUNK_BYTES, (stop * self._row_bytes - 1) // CHUNK_BYTES
            self._verify_chunks((np.flatnonzero(~self._verified[first : last + 1]) + first).tolist())
        return self._array[start:stop]

    def checked(self, starts: Int64s, stops: Int64s) -> NDArray[Scalar]:
        """The whole column, of which the rows of these ranges were checked, `(m,)` both; read no others."""
        if not self._is_verified:
            self._check(starts * self._row_bytes, stops * self._row_bytes)
        return self._array

    def verify(self) -> None:
        """Compare all checksums, also those that were compared before."""
        self._verify_chunks(range(len(self._checksums)))

    def _check(self, begins: Int64s, ends: Int64s) -> None:
        """Check the chunks of ranges of bytes that were not checked yet."""
        filled = ends > begins
        first, last = begins[filled] // CHUNK_BYTES, (ends[filled] - 1) // CHUNK_BYTES
        if not len(first):
            return
        for step in range(int((last - first).max()) + 1):
            chunks = np.minimum(first + step, last)
            unverified = chunks[~self._verified[chunks]]
            if len(unverified):
                self._verify_chunks(np.unique(unverified).tolist())

    def _verify_chunks(self, chunks: Sequence[int]) -> None:
        for chunk in chunks:
            begin = chunk * CHUNK_BYTES
            if crc32c(self._bytes[begin : begin + CHUNK_BYTES]) != self._checksums[chunk]:
                raise data_loss(self._path, f"bytes {begin} to {begin + CHUNK_BYTES} of a column are damaged")
            self._verified[chunk] = True
        if len(chunks) and self._verified.all():
            self._is_verified = True
