"""Files of columns: written once, mapped, checked where they are read. `docs/format/v1.md`, section "Column files".

What must hold:

- opening reads the header, the trailer, the footer and the table of checksums, whatever the size of the file;
- no byte of a column is given to a caller before its chunk's checksum was compared, once for each open file: see
  `pinyon.segment.checked_column`;
- what is damaged is an error that names the file, never an answer.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinyon.errors import NotFoundError
from pinyon.segment.checked_column import CheckedColumn
from pinyon.segment.column_format import (
    CHUNK_BYTES,
    DTYPES,
    HEADER_BYTES,
    HEADER_FILLED_BYTES,
    Footer,
    aligned,
    check_header,
    data_loss,
    read_footer,
    read_table,
    read_trailer,
)
from pinyon.storage.protocol import Storage


class ColumnFile:
    """An open file of columns.

    Attributes:
        path: of the file.
        properties: what its writer said of it.
        nbytes: length of the file.
    """

    def __init__(
        self, path: str, content: memoryview, properties: dict[str, Any], columns: dict[str, CheckedColumn[Any]]
    ) -> None:
        """Made by `open`."""
        self.path = path
        self.properties = properties
        self.nbytes = len(content)
        self._content = content
        self._columns = columns

    @classmethod
    def open(cls, storage: Storage, path: str, kind: str) -> "ColumnFile":
        """Map a file. Reads little of it: columns are checked later.

        Raises:
            DataLossError: the file is missing, cut, damaged or of another kind; names it.
            FailedPreconditionError: a newer Pinyon wrote it.
        """
        try:
            content = storage.read(path)
        except NotFoundError as error:
            raise data_loss(path, "the file is missing") from error
        check_header(path, content, kind)
        trailer = read_trailer(path, content)
        checksums = np.frombuffer(read_table(path, content, trailer), "<u4")
        footer = read_footer(path, content, trailer)
        return cls(path, content, footer.properties, _columns(path, content, footer, trailer.table_offset, checksums))

    @property
    def names(self) -> list[str]:
        """Of the columns, in the order of writing."""
        return list(self._columns)

    def column(self, name: str) -> CheckedColumn[Any]:
        """A column, to be read in parts.

        Raises:
            DataLossError: there is no such column.
        """
        column = self._columns.get(name)
        if column is None:
            raise data_loss(self.path, f"it has no column {name}")
        return column

    def array(self, name: str) -> NDArray[Any]:
        """A whole column, checked and read-only.

        Raises:
            DataLossError: there is no such column, or it is damaged.
        """
        column = self.column(name)
        return column.slice(0, len(column))

    def verify(self) -> None:
        """Check every byte of the file.

        Raises:
            DataLossError: one is damaged.
        """
        for column in self._columns.values():
            column.verify()
        end = HEADER_FILLED_BYTES
        for column in self._columns.values():
            begin = aligned(end)
            self._check_zeros(end, begin)
            end = begin + column.nbytes
        self._check_zeros(end, aligned(end))

    def _check_zeros(self, begin: int, end: int) -> None:
        if any(self._content[begin:end]):
            raise data_loss(self.path, f"bytes {begin} to {end} are damaged")


def _columns(
    path: str, content: memoryview, footer: Footer, columns_end: int, checksums: NDArray[np.uint32]
) -> dict[str, CheckedColumn[Any]]:
    """The columns, each where it must be: behind the one before it."""
    columns: dict[str, CheckedColumn[Any]] = {}
    end, first_chunk = HEADER_BYTES, 0
    for each in footer.columns:
        if each.dtype not in DTYPES or len(each.shape) not in (1, 2) or min(each.shape) < 0 or each.name in columns:
            raise data_loss(path, f"the footer describes column {each.name} wrong")
        dtype = np.dtype(each.dtype).newbyteorder("<")
        begin, end = aligned(end), each.offset + each.length
        chunk_count = -(-each.length // CHUNK_BYTES)
        if each.offset != begin or end > columns_end or dtype.itemsize * _product(each.shape) != each.length:
            raise data_loss(path, f"the footer describes column {each.name} wrong")
        array: NDArray[Any] = np.ndarray(tuple(each.shape), dtype, content, each.offset)
        mine = checksums[first_chunk : first_chunk + chunk_count]
        columns[each.name] = CheckedColumn(path, array, content[begin:end], mine)
        first_chunk += chunk_count
    if first_chunk != len(checksums) or aligned(end) != columns_end:
        raise data_loss(path, "the footer does not fit the file")
    return columns


def _product(shape: Sequence[int]) -> int:
    return shape[0] if len(shape) == 1 else shape[0] * shape[1]
