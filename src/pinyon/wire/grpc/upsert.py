"""UpsertRequest to records: the one message that is worth reading column by column.

    UpsertRequest {1: repeated Vector, 2: namespace}
    Vector        {1: id, 2: values, packed float, 3: metadata, 4: sparse_values}
    SparseValues  {1: indices, packed uint32, 2: values, packed float}

Every encoder in use writes the fields of a Vector in ascending order, so the end of one field is where the next one
starts, in all records at once. Whatever deviates, down to a wrong dimension, sends the whole request to the scalar
reader: it reads anything that protobuf allows, and it alone raises errors, the first in the order of the records. Both
readers give the same result.
"""

from typing import Final

import numpy as np

from pinyon import limits
from pinyon.errors import InvalidArgumentError
from pinyon.model.batches import bytes_column, sparse_column
from pinyon.model.record import Float32s, Int64s, Mask, Record, RecordBatch, SparseColumn, UInt32s
from pinyon.protobuf.columns import Bytes, bytes_at, gather, items_at, packed_varints, read_bounds
from pinyon.protobuf.wire_format import Buffer, encode_varint, read_text, read_varint
from pinyon.service.requests import Upsert
from pinyon.service.validation import check_record_id
from pinyon.wire.grpc import fields
from pinyon.wire.grpc.metadata_column import canonical_metadata, metadata_column

_COLUMNS_FROM: Final = 10
"""Records from which on the fixed cost of the numpy steps is less than that of a loop (measured)."""

_VECTOR: Final = 0x0A
_NAMESPACE: Final = 0x12
_ID: Final = 0x0A
_VALUES: Final = b"\x12"
_METADATA: Final = 0x1A
_SPARSE: Final = 0x22
_INDICES: Final = 0x0A
_SPARSE_VALUES: Final = 0x12


class _IrregularError(Exception):
    """The request is not laid out for reading column by column. It may still be valid."""


def decode_upsert(body: Buffer, *, dimension: int | None) -> Upsert:
    """Decode an UpsertRequest.

    Checked here is what decoding depends on: ASCII ids, one dimension, metadata that can be stored, sparse indices of
    32 bits and as many as values. All other limits and rules are the service's.

    Args:
        body: the encoded message; nothing of the result refers to it.
        dimension: of the index; None for a sparse index.

    Raises:
        InvalidArgumentError: the bytes are not an UpsertRequest, or a record breaks one of the rules above.
    """
    try:
        return _decode_columns(body, dimension)
    except _IrregularError:
        return _decode_scalar(body, dimension)


# Column by column.


def _decode_columns(body: Buffer, dimension: int | None) -> Upsert:
    buffer = np.frombuffer(body, np.uint8)
    namespace, starts = _split(body, buffer, _walk(body))
    at, ends = read_bounds(buffer, starts)
    # All positions below are compared with these ends, and a varint that is not canonical puts them out of the buffer.
    _require(ends <= buffer.size)

    _require(bytes_at(buffer, at) == _ID)
    id_starts, id_ends = read_bounds(buffer, at)
    dense, at = (None, id_ends) if dimension is None else _dense(buffer, id_ends, ends, dimension)
    metadata_starts, metadata_ends = _optional(buffer, at, ends, _METADATA)
    sparse_starts, sparse_ends = _optional(buffer, metadata_ends, ends, _SPARSE)
    _require(sparse_ends == ends)

    ids = _ids(buffer, id_starts, id_ends)
    sparse = _sparse(buffer, sparse_starts, sparse_ends)
    # The one step that refuses records, so it comes last: the scalar reader would have found no other fault.
    metadata = metadata_column(buffer, metadata_starts, metadata_ends)
    return Upsert(namespace, RecordBatch(ids, dense, sparse, metadata))


def _require(condition: Mask | bool) -> None:
    if not (condition if isinstance(condition, bool) else condition.all()):
        raise _IrregularError


def _walk(body: Buffer) -> list[int]:
    """Where each field of the request starts, if all of them are length-delimited and have numbers below 16.

    The one loop over the records: where a record starts is known only from the one before.
    """
    starts = []
    position, end = 0, len(body)
    try:
        while position < end:
            starts.append(position)
            length = body[position + 1]
            if length < 0x80:
                position += 2 + length
            elif (second := body[position + 2]) < 0x80:
                position += 3 + (length - 0x80) + (second << 7)
            else:
                length, position = read_varint(body, position + 1, end)
                position += length
    except (IndexError, InvalidArgumentError) as error:
        raise _IrregularError from error
    _require(position == end and len(starts) >= _COLUMNS_FROM)
    return starts


def _split(body: Buffer, buffer: Bytes, fields_start: list[int]) -> tuple[str, Int64s]:
    """The namespace, and where the Vectors start."""
    starts = np.fromiter(fields_start, np.int64, len(fields_start))
    tags = bytes_at(buffer, starts)
    is_vector = tags == _VECTOR
    if is_vector.all():
        return "", starts
    others = starts[~is_vector]
    _require(tags[~is_vector] == _NAMESPACE)
    start, end = read_bounds(buffer, others)
    return read_text(body, int(start[-1]), int(end[-1])), starts[is_vector]


def _dense(buffer: Bytes, at: Int64s, ends: Int64s, dimension: int) -> tuple[Float32s, Int64s]:
    """The matrix of all values, which is the only copy of them, and where they end."""
    size = 4 * dimension
    header = np.frombuffer(_VALUES + encode_varint(size), np.uint8)
    start = at + len(header)
    _require(start + size <= ends)
    _require(items_at(buffer, at, len(header)).view(np.uint8).reshape(-1, len(header)) == header)
    return items_at(buffer, start, size).view("<f4").reshape(-1, dimension), start + size


def _optional(buffer: Bytes, at: Int64s, ends: Int64s, tag: int) -> tuple[Int64s, Int64s]:
    """Bounds of the content of a length-delimited field that may stand at `at`; both are `at` where it does not."""
    present = (bytes_at(buffer, at) == tag) & (at < ends)
    if not present.any():
        return at, at
    start, end = read_bounds(buffer, at)
    if not present.all():
        start, end = np.where(present, start, at), np.where(present, end, at)
    _require(end <= ends)
    return start, end


def _ids(buffer: Bytes, starts: Int64s, ends: Int64s) -> list[str]:
    # The byte before an id, the last of its length, becomes the separator; then one decode and one split do for all.
    starts = starts - 1
    joined = gather(buffer, starts, ends)
    lengths = ends - starts
    joined[np.cumsum(lengths) - lengths] = 0
    try:
        ids = str(joined.data, "ascii").split("\0")[1:]
    except UnicodeDecodeError as error:
        raise _IrregularError from error
    _require(len(ids) == len(starts))
    return ids


def _sparse(buffer: Bytes, starts: Int64s, ends: Int64s) -> SparseColumn | None:
    """The sparse vectors between the bounds; empty bounds are no vector."""
    if (starts == ends).all():
        return None
    index_starts, index_ends = _optional(buffer, starts, ends, _INDICES)
    value_starts, value_ends = _optional(buffer, index_ends, ends, _SPARSE_VALUES)
    sizes = value_ends - value_starts
    _require((value_ends == ends) & (sizes % 4 == 0))
    offsets = np.zeros(len(starts) + 1, np.int64)
    np.cumsum(sizes // 4, out=offsets[1:])
    if not offsets[-1]:
        _require(index_starts == index_ends)
        return None
    indices = _sparse_indices(gather(buffer, index_starts, index_ends), np.cumsum(index_ends - index_starts), offsets)
    return SparseColumn(offsets, indices, gather(buffer, value_starts, value_ends).view("<f4"))


def _sparse_indices(packed: Bytes, row_ends: Int64s, offsets: Int64s) -> UInt32s:
    """The indices of all rows; those of row i end at byte `row_ends[i]` and are to be as many as `offsets` says."""
    indices, after = packed_varints(packed)
    _require(len(indices) == offsets[-1])
    _require(indices <= limits.SPARSE_INDEX_MAX)
    # With as many integers as there are values, each row has its own if its last one ends where the row does.
    _require(np.concatenate(([0], after))[offsets[1:]] == row_ends)
    return indices.astype(np.uint32)


# Record by record.


def _decode_scalar(body: Buffer, dimension: int | None) -> Upsert:
    request = fields.read_message(body, _REQUEST)
    records = [_decode_vector(each, dimension) for each in request.get("vectors", ())]
    batch = RecordBatch(
        ids=[record.id for record in records],
        dense=None if dimension is None else _stack(records, dimension),
        sparse=sparse_column([record.sparse for record in records]),
        metadata=bytes_column([record.metadata for record in records]),
    )
    return Upsert(request.get("namespace", ""), batch)


def _decode_vector(data: Buffer, dimension: int | None) -> Record:
    content = fields.read_message(data, _VECTOR_FIELDS)
    id_ = content.get("id", "")
    if not id_.isascii() or "\0" in id_:
        check_record_id(id_)
    dense = content.get("values", _NO_VALUES)
    if dimension is None and len(dense):
        raise InvalidArgumentError("Index configuration does not support dense values")
    if dimension is not None and len(dense) != dimension:
        raise InvalidArgumentError(
            f"Vector dimension {len(dense)} does not match the dimension of the index {dimension}"
        )
    return Record(id_, dense, content.get("sparse"), content.get("metadata", b""))


def _stack(records: list[Record], dimension: int) -> Float32s:
    rows = [record.dense for record in records if record.dense is not None]
    return np.stack(rows) if rows else np.empty((0, dimension), np.float32)


def _metadata(occurrences: fields.Occurrences) -> bytes:
    return canonical_metadata(fields.message(occurrences))


_NO_VALUES: Final = np.empty(0, np.float32)
_REQUEST: Final[fields.Schema] = {1: ("vectors", fields.messages), 2: ("namespace", fields.text)}
_VECTOR_FIELDS: Final[fields.Schema] = {
    1: ("id", fields.text),
    2: ("values", fields.floats),
    3: ("metadata", _metadata),
    4: ("sparse", fields.sparse_or_none),
}
