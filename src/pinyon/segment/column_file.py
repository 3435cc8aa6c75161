"""Files of columns: written once, mapped, checked where they are read. `docs/format/v1.md`, section "Column files".

    header, columns, table of checksums, footer, trailer

What must hold:

- opening reads the header, the trailer, the footer and the table, whatever the size of the file;
- no byte of a column is given to a caller before its chunk's checksum was compared, once for each open file;
- what is damaged is an error that names the file, never an answer.

Thread rule: readers need no lock. Two that meet an unchecked chunk both check it; its flag is set after the check.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec
import numpy as np
from crc32c import crc32c
from numpy.typing import DTypeLike, NDArray

from pinyon.errors import DataLossError, FailedPreconditionError, NotFoundError
from pinyon.model.record import Int64s, Mask
from pinyon.storage.protocol import AppendFile, Storage

Scalar = TypeVar("Scalar", bound=np.generic)

FORMAT_VERSION: Final = 1
CHUNK_BYTES: Final = 64 * 1024
HEADER_BYTES: Final = 64
TRAILER_BYTES: Final = 44

_ALIGNMENT: Final = 64
_HEADER_MAGIC: Final = b"PINYNCOL"
_HEADER: Final = struct.Struct("<8s16sI")
_TRAILER_MAGIC: Final = b"PINYNEND"
_TRAILER: Final = struct.Struct("<QQQII")
_CHECKSUM: Final = struct.Struct("<I")
_DTYPES: Final = frozenset(
    {"uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64"}
)
_BUFFER_BYTES: Final = 1024 * 1024
"""Parts smaller than a chunk are gathered up to so many bytes, so that each costs no system call of its own."""


class _Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One column, as the footer has it."""

    name: str
    dtype: str
    shape: list[int]
    offset: int
    length: int


class _Footer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds."""

    kind: str
    properties: dict[str, Any]
    columns: list[_Column]


class _Trailer(NamedTuple):
    """The fixed end of the file."""

    table_offset: int
    footer_offset: int
    footer_bytes: int
    table_checksum: int
    footer_checksum: int


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


class ColumnFileWriter:
    """Writes a file of columns, one column after another."""

    def __init__(self, file: AppendFile, kind: str) -> None:
        """Begin a new, empty `file`; `kind` is 1 to 16 ASCII characters.

        Raises:
            UnavailableError: the disk failed, here and in the other methods; the file is then of no use.
        """
        self._file = file
        self._kind = kind
        self._columns: list[_Column] = []
        self._checksums = _Checksums()
        self._small = bytearray()
        fields = _HEADER.pack(_HEADER_MAGIC, kind.encode("ascii"), FORMAT_VERSION)
        self._append(memoryview((fields + _CHECKSUM.pack(crc32c(fields))).ljust(HEADER_BYTES, b"\0")))

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
        assert kind.name in _DTYPES
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
        self._columns.append(_Column(name, kind.name, shape, offset, self._size - offset))

    def finish(self, properties: dict[str, Any]) -> None:
        """Write what readers need to find the columns, and make the file durable; its name is not yet.

        Args:
            properties: whatever MessagePack can hold.
        """
        self._align()
        table_offset = self._size
        table = np.array(self._checksums.found, "<u4").tobytes()
        footer = msgspec.msgpack.encode(_Footer(self._kind, properties, self._columns))
        trailer = _TRAILER.pack(table_offset, table_offset + len(table), len(footer), crc32c(table), crc32c(footer))
        for part in (table, footer, trailer, _CHECKSUM.pack(crc32c(trailer)), _TRAILER_MAGIC):
            self._append(memoryview(part))
        self._append_small()
        self._file.sync()

    @property
    def _size(self) -> int:
        return self._file.size + len(self._small)

    def _align(self) -> None:
        self._append(memoryview(bytes(-self._size % _ALIGNMENT)))

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
        _check_header(path, content, kind)
        trailer = _read_trailer(path, content)
        footer = _read_footer(path, content, trailer)
        checksums = np.frombuffer(content[trailer.table_offset : trailer.footer_offset], "<u4")
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
        end = _HEADER.size + _CHECKSUM.size
        for column in self._columns.values():
            begin = _aligned(end)
            self._check_zeros(end, begin)
            end = begin + column.nbytes
        self._check_zeros(end, _aligned(end))

    def _check_zeros(self, begin: int, end: int) -> None:
        if any(self._content[begin:end]):
            raise data_loss(self.path, f"bytes {begin} to {end} are damaged")


def data_loss(path: str, what: str) -> DataLossError:
    """The error for a damaged file."""
    return DataLossError(f"{path}: {what}; restore the data directory from a backup")


def _aligned(offset: int) -> int:
    return offset + -offset % _ALIGNMENT


def _check_header(path: str, content: memoryview, kind: str) -> None:
    if len(content) < HEADER_BYTES + TRAILER_BYTES:
        raise data_loss(path, f"it has only {len(content)} bytes")
    magic, found_kind, version = _HEADER.unpack_from(content)
    (checksum,) = _CHECKSUM.unpack_from(content, _HEADER.size)
    if magic != _HEADER_MAGIC or checksum != crc32c(content[: _HEADER.size]):
        raise data_loss(path, "the file header is damaged")
    if version != FORMAT_VERSION:
        raise FailedPreconditionError(
            f"{path} has column file format {version}; this Pinyon reads format {FORMAT_VERSION}: "
            "open the data directory with the version of Pinyon that wrote it"
        )
    if found_kind.rstrip(b"\0") != kind.encode("ascii"):
        raise data_loss(path, f"it is of kind {found_kind!r} where {kind!r} must be")


def _read_trailer(path: str, content: memoryview) -> _Trailer:
    raw = content[-TRAILER_BYTES:]
    (checksum,) = _CHECKSUM.unpack_from(raw, _TRAILER.size)
    if bytes(raw[-len(_TRAILER_MAGIC) :]) != _TRAILER_MAGIC or checksum != crc32c(raw[: _TRAILER.size]):
        raise data_loss(path, "its end is damaged or cut off")
    trailer = _Trailer(*_TRAILER.unpack_from(raw))
    if trailer.footer_offset + trailer.footer_bytes + TRAILER_BYTES != len(content):
        raise data_loss(path, f"it has {len(content)} bytes, and not those that its end tells")
    if not HEADER_BYTES <= trailer.table_offset <= trailer.footer_offset:
        raise data_loss(path, "its end contradicts itself")
    return trailer


def _read_footer(path: str, content: memoryview, trailer: _Trailer) -> _Footer:
    table = content[trailer.table_offset : trailer.footer_offset]
    encoded = content[trailer.footer_offset : trailer.footer_offset + trailer.footer_bytes]
    if crc32c(table) != trailer.table_checksum or len(table) % 4:
        raise data_loss(path, "the table of checksums is damaged")
    if crc32c(encoded) != trailer.footer_checksum:
        raise data_loss(path, "the footer is damaged")
    try:
        footer = msgspec.msgpack.decode(encoded, type=_Footer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise data_loss(path, f"the footer cannot be read: {error}") from error
    return footer


def _columns(
    path: str, content: memoryview, footer: _Footer, columns_end: int, checksums: NDArray[np.uint32]
) -> dict[str, CheckedColumn[Any]]:
    """The columns, each where it must be: behind the one before it."""
    columns: dict[str, CheckedColumn[Any]] = {}
    end, first_chunk = HEADER_BYTES, 0
    for each in footer.columns:
        if each.dtype not in _DTYPES or len(each.shape) not in (1, 2) or min(each.shape) < 0 or each.name in columns:
            raise data_loss(path, f"the footer describes column {each.name} wrong")
        dtype = np.dtype(each.dtype).newbyteorder("<")
        begin, end = _aligned(end), each.offset + each.length
        chunk_count = -(-each.length // CHUNK_BYTES)
        if each.offset != begin or end > columns_end or dtype.itemsize * _product(each.shape) != each.length:
            raise data_loss(path, f"the footer describes column {each.name} wrong")
        array: NDArray[Any] = np.ndarray(tuple(each.shape), dtype, content, each.offset)
        mine = checksums[first_chunk : first_chunk + chunk_count]
        columns[each.name] = CheckedColumn(path, array, content[begin:end], mine)
        first_chunk += chunk_count
    if first_chunk != len(checksums) or _aligned(end) != columns_end:
        raise data_loss(path, "the footer does not fit the file")
    return columns


def _product(shape: Sequence[int]) -> int:
    return shape[0] if len(shape) == 1 else shape[0] * shape[1]
