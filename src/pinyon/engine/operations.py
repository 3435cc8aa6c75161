"""What the log of an index says: operations, and their bytes.

An entry is a header in MessagePack and then columns, each padded to 8 bytes so that arrays are read in place:

    u32 header length | header | padding | column | padding | column | …

The header names the operation, its namespace and the byte length of each column (-1: the column is absent). Columns
go to the file from the arrays that hold them and come back as views of the mapped file: no number is ever converted.

Operations say what happened, not what was asked: filters are resolved to ids before they are logged, so that replaying
a log needs no knowledge of what filters meant when it was written. `docs/format/v1.md` is the normative page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from pinyon.errors import DataLossError, InvalidArgumentError
from pinyon.model.record import BytesColumn, Int64s, RecordBatch, SparseColumn
from pinyon.storage.protocol import BytesLike


@dataclass(frozen=True, slots=True)
class UpsertRecords:
    """Write whole records; ids are unique within `records`."""

    namespace: str
    records: RecordBatch


@dataclass(frozen=True, slots=True)
class PatchRecords:
    """Change parts of records that exist; ids that do not are passed over.

    `changes` has one row per id: columns that are present replace the record's, and its metadata (always an encoded
    Struct, maybe empty) is merged over the record's field by field.
    """

    namespace: str
    changes: RecordBatch


@dataclass(frozen=True, slots=True)
class SetMetadata:
    """Merge the same metadata, an encoded Struct, over that of many records; ids that do not exist are passed over."""

    namespace: str
    ids: list[str]
    metadata: bytes


@dataclass(frozen=True, slots=True)
class DeleteRecords:
    """Delete records; ids that do not exist are passed over."""

    namespace: str
    ids: list[str]


@dataclass(frozen=True, slots=True)
class DeleteNamespace:
    """Delete a namespace with all its records. With `keep_declared`, one that was created explicitly stays, empty."""

    namespace: str
    keep_declared: bool = False


@dataclass(frozen=True, slots=True)
class CreateNamespace:
    """Create an empty namespace. `filterable_fields` None inherits the index's."""

    namespace: str
    filterable_fields: tuple[str, ...] | None = None


Operation: TypeAlias = UpsertRecords | PatchRecords | SetMetadata | DeleteRecords | DeleteNamespace | CreateNamespace


def written_ids(operation: Operation) -> Sequence[str]:
    """The ids that an operation names; none for one of a whole namespace."""
    match operation:
        case UpsertRecords(_, records) | PatchRecords(_, records):
            return records.ids
        case SetMetadata(_, ids) | DeleteRecords(_, ids):
            return ids
        case DeleteNamespace() | CreateNamespace():
            return ()


class _Header(msgspec.Struct, array_like=True):
    kind: str
    namespace: str
    columns: list[int] = []
    dimension: int = 0
    options: dict[str, Any] = {}


_ABSENT = -1
_ID_SEPARATOR = "\0"
_encode_header = msgspec.msgpack.Encoder().encode
_header_decoder = msgspec.msgpack.Decoder(_Header)


def encode(operation: Operation) -> list[BytesLike]:
    """The parts of an operation's entry, to be written one after another."""
    match operation:
        case UpsertRecords(namespace, records):
            return _encode_records("upsert", namespace, records)
        case PatchRecords(namespace, changes):
            return _encode_records("patch", namespace, changes)
        case SetMetadata(namespace, ids, metadata):
            return _assemble(_Header("set_metadata", namespace), [_encode_ids(ids), metadata])
        case DeleteRecords(namespace, ids):
            return _assemble(_Header("delete", namespace), [_encode_ids(ids)])
        case DeleteNamespace(namespace, keep_declared):
            return _assemble(_Header("delete_namespace", namespace, options={"keep_declared": keep_declared}), [])
        case CreateNamespace(namespace, fields):
            return _assemble(_Header("create_namespace", namespace, options={"filterable_fields": fields}), [])


def decode(entry: memoryview) -> Operation:
    """The operation of an entry. Its arrays are views of `entry`.

    Raises:
        DataLossError: the bytes are no entry; their checksum was right, so another version must have written them.
    """
    try:
        header, columns = _disassemble(entry)
        match header.kind:
            case "upsert":
                return UpsertRecords(header.namespace, _decode_records(header, columns))
            case "patch":
                return PatchRecords(header.namespace, _decode_records(header, columns))
            case "set_metadata":
                ids, metadata = columns
                return SetMetadata(header.namespace, _decode_ids(ids), bytes(metadata or b""))
            case "delete":
                return DeleteRecords(header.namespace, _decode_ids(columns[0]))
            case "delete_namespace":
                return DeleteNamespace(header.namespace, bool(header.options["keep_declared"]))
            case "create_namespace":
                fields = header.options["filterable_fields"]
                return CreateNamespace(header.namespace, None if fields is None else tuple(fields))
            case unknown:
                problem = f"it holds the unknown operation {unknown!r}; a newer Pinyon wrote it"
    except (msgspec.MsgspecError, ValueError, LookupError, TypeError) as error:
        raise DataLossError(f"a log entry cannot be read: {error}") from error
    raise DataLossError(f"a log entry cannot be read: {problem}")


def _encode_records(kind: str, namespace: str, records: RecordBatch) -> list[BytesLike]:
    sparse, metadata = records.sparse, records.metadata
    columns = [
        _encode_ids(records.ids),
        None if records.dense is None else _bytes_of(records.dense, np.float32),
        None if sparse is None else _bytes_of(sparse.offsets, np.int64),
        None if sparse is None else _bytes_of(sparse.indices, np.uint32),
        None if sparse is None else _bytes_of(sparse.values, np.float32),
        None if metadata is None else _bytes_of(metadata.offsets, np.int64),
        None if metadata is None else metadata.data,
    ]
    dimension = 0 if records.dense is None else records.dense.shape[1]
    return _assemble(_Header(kind, namespace, dimension=dimension), columns)


def _decode_records(header: _Header, columns: Sequence[memoryview | None]) -> RecordBatch:
    ids, dense, sparse_offsets, indices, values, metadata_offsets, metadata = columns
    records = RecordBatch(
        ids=_decode_ids(ids),
        dense=None if dense is None else _array(dense, np.float32).reshape(-1, header.dimension),
        sparse=None
        if sparse_offsets is None
        else SparseColumn(_array(sparse_offsets, np.int64), _array(indices, np.uint32), _array(values, np.float32)),
        metadata=None
        if metadata_offsets is None or metadata is None
        else BytesColumn(metadata, _array(metadata_offsets, np.int64)),
    )
    _check_rows(records)
    return records


def _check_rows(records: RecordBatch) -> None:
    """Applying must not fail half-way, so what was written by a defect is found here."""
    if records.dense is not None and len(records.dense) != len(records):
        raise ValueError(f"it has {len(records)} ids and {len(records.dense)} dense vectors")
    if records.sparse is not None:
        _check_offsets(records.sparse.offsets, len(records), len(records.sparse.indices))
        _check_offsets(records.sparse.offsets, len(records), len(records.sparse.values))
    if records.metadata is not None:
        _check_offsets(records.metadata.offsets, len(records), len(records.metadata.data))


def _check_offsets(offsets: Int64s, row_count: int, size: int) -> None:
    if len(offsets) != row_count + 1 or offsets[0] < 0 or offsets[-1] > size or (offsets[1:] < offsets[:-1]).any():
        raise ValueError("the rows of a column do not fit its bytes")


def _assemble(header: _Header, columns: Sequence[BytesLike | None]) -> list[BytesLike]:
    header.columns = [_ABSENT if column is None else len(column) for column in columns]
    encoded = _encode_header(header)
    start = len(encoded).to_bytes(4, "little") + encoded
    parts: list[BytesLike] = [start + _padding(len(start))]
    for column in columns:
        if column is not None:
            parts += [column, _padding(len(column))]
    return [part for part in parts if len(part)]


def _disassemble(entry: memoryview) -> tuple[_Header, list[memoryview | None]]:
    header_length = int.from_bytes(entry[:4], "little")
    header = _header_decoder.decode(entry[4 : 4 + header_length])
    lengths = [0 if length == _ABSENT else length for length in header.columns]
    start = _padded(4 + header_length)
    starts = list(accumulate([start, *map(_padded, lengths)]))
    if min(lengths, default=0) < 0 or starts[-1] != len(entry):
        raise ValueError("its columns do not fill it")
    columns = [
        None if length == _ABSENT else entry[at : at + length]
        for length, at in zip(header.columns, starts, strict=False)
    ]
    return header, columns


def _encode_ids(ids: Sequence[str]) -> bytes:
    joined = _ID_SEPARATOR.join(ids)
    # Requests were checked before; but an id that is two ids after a restart would cost the whole index.
    if joined.count(_ID_SEPARATOR) != max(len(ids) - 1, 0):
        raise InvalidArgumentError("Vector ID must not contain NUL")
    return joined.encode()


def _decode_ids(column: memoryview | None) -> list[str]:
    if column is None:
        raise ValueError("it has no ids")
    # No id is empty, so nothing is no id.
    return str(column, "utf-8").split(_ID_SEPARATOR) if len(column) else []


def _bytes_of(array: NDArray[Any], dtype: type[np.generic]) -> memoryview:
    """The bytes of an array in place; little-endian, as every platform that Pinyon runs on is."""
    assert array.dtype == dtype, "the log has no place for the dtype, and would give the bytes back as others"
    flat: NDArray[np.uint8] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return flat.data


def _array(column: memoryview | None, dtype: type[np.generic]) -> NDArray[Any]:
    if column is None:
        raise ValueError("a column is missing")
    return np.frombuffer(column, dtype)


def _padded(length: int) -> int:
    return length + -length % 8


def _padding(length: int) -> bytes:
    return bytes(-length % 8)
