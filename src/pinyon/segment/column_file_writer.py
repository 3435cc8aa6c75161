"""Writing files of columns, one column after another. `docs/format/v1.md`, section "Column files"."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from crc32c import crc32c
from numpy.typing import DTypeLike, NDArray

from pinyon.segment.column_format import CHUNK_BYTES, DTYPES, ColumnEntry, Footer, aligned, encode_end, encode_header
from pinyon.storage.protocol import AppendFile

_BUFFER_BYTES: Final = 1024 * 1024
"""Parts smaller than a chunk are gathered up to so many bytes, so that each costs no system call of its own."""


class ColumnFileWriter:
    """Writes a file of columns, one column after another."""

    def __init__(self, file: AppendFile, kind: str) -> None:
        """Begin a new, empty `file`; `kind` is 1 to 16 ASCII characters.

        Raises:
            UnavailableError: the disk failed, here and in the other methods; the file is then of no use.
        """
        self._file = file
        self._kind = kind
        self._columns: list[ColumnEntry] = []
        self._checksums = _Checksums()
        self._small = bytearray()
        self._append(memoryview(encode_header(kind)))

    def write(self, name: str, parts: Iterable[NDArray[Any]], dtype: DTypeLike, width: int | None = None) -> None:
        """Write one column.

        Args:
            name: differs from those of the other columns.
            parts: its rows, each part `(m,)`, or `(m, width)`, of `dtype`. A part may be overwritten once the next is
                asked for.
            dtype: integers or floats of fixed size.
            width: None for a column of one dimension.
        """
        kind = np.dtype(dtype)
        assert kind.name in DTYPES
        assert all(name != column.name for column in self._columns)
        self._align()
        offset, row_count = self._size, 0
        for part in parts:
            assert part.dtype == kind
            assert part.shape[1:] == (() if width is None else (width,))
            row_count += len(part)
            rows = np.ascontiguousarray(part, kind.newbyteorder("<"))
            content = rows.reshape(-1).view(np.uint8).data
            self._checksums.add(content)
            self._append(content)
        self._checksums.end()
        shape = [row_count] if width is None else [row_count, width]
        self._columns.append(ColumnEntry(name, kind.name, shape, offset, self._size - offset))

    def finish(self, properties: dict[str, Any]) -> None:
        """Write what readers need to find the columns, and make the file durable; its name is not yet.

        Args:
            properties: whatever MessagePack can hold.
        """
        self._align()
        table = np.array(self._checksums.found, "<u4").tobytes()
        for part in encode_end(self._size, table, Footer(self._kind, properties, self._columns)):
            self._append(memoryview(part))
        self._append_small()
        self._file.sync()

    @property
    def _size(self) -> int:
        return self._file.size + len(self._small)

    def _align(self) -> None:
        self._append(memoryview(bytes(aligned(self._size) - self._size)))

    def _append(self, content: memoryview) -> None:
        if len(content) < CHUNK_BYTES:
            self._small += content
            if len(self._small) >= _BUFFER_BYTES:
                self._append_small()
        else:
            self._append_small()
            self._file.append([content])

    def _append_small(self) -> None:
        if self._small:
            self._file.append([self._small])
            self._small = bytearray()


class _Checksums:
    """CRC-32C of each 64 KiB of a stream of bytes."""

    def __init__(self) -> None:
        self.found: list[int] = []
        self._current = 0
        self._room = CHUNK_BYTES

    def add(self, content: memoryview) -> None:
        """Go on with some bytes."""
        done = 0
        while done < len(content):
            piece = content[done : done + self._room]
            self._current = crc32c(piece, self._current)
            done += len(piece)
            self._room -= len(piece)
            if not self._room:
                self.end()

    def end(self) -> None:
        """End the chunk, if one was begun."""
        if self._room < CHUNK_BYTES:
            self.found.append(self._current)
            self._current, self._room = 0, CHUNK_BYTES
