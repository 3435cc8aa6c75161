"""Rules for the content of data-plane requests, with Pinecone's texts where they are known.

A codec has checked the shape before: batches are column-wise, metadata is flat. Everything here is checked before
anything is written, so a request is applied whole or not at all.
"""

from collections.abc import Sequence

import numpy as np

from pinyon import limits
from pinyon.errors import InvalidArgumentError, PayloadTooLargeError
from pinyon.model.batches import take_rows
from pinyon.model.index import IndexDefinition
from pinyon.model.metadata import merge_metadata
from pinyon.model.metric import Metric, VectorType
from pinyon.model.record import Float32s, Int64s, RecordBatch, SparseColumn, SparseVector
from pinyon.protobuf.struct import json_length

DEFAULT_NAMESPACE = "__default__"
_NO_DENSE = "Index configuration does not support dense values"
_NO_SPARSE = (
    "Index configuration does not support sparse values"
    " - only indexes that are sparse or using dotproduct are supported"
)


def namespace_name(name: str) -> str:
    """The one name of a namespace: `""` is the default one. Refuses names that no namespace can have."""
    if not name:
        return DEFAULT_NAMESPACE
    if not name.isascii() or "\0" in name:
        raise InvalidArgumentError(f"Namespace must be ASCII without NUL, but got {name[:80]!r}")
    if len(name) > limits.NAMESPACE_LENGTH_MAX:
        raise InvalidArgumentError(
            f"Namespace must be no longer than {limits.NAMESPACE_LENGTH_MAX} characters, but got {len(name)}"
        )
    return name


def check_record_id(id_: str) -> None:
    """Refuse an id that no record can have."""
    if not id_:
        raise InvalidArgumentError("Vector ID must not be empty")
    if not id_.isascii() or "\0" in id_:
        raise InvalidArgumentError(f"Vector ID must be ASCII, but got '{id_[:80]}'")
    if len(id_) > limits.ID_LENGTH_MAX:
        raise InvalidArgumentError(
            f"Vector ID must be no longer than {limits.ID_LENGTH_MAX} characters, but got {len(id_)}: '{id_[:80]}…'"
        )


def check_ids(ids: Sequence[str]) -> None:
    """Refuse a list of ids that is too long, or an id that no record can have."""
    if len(ids) > limits.IDS_PER_REQUEST_MAX:
        raise InvalidArgumentError(
            f"Cannot process more than {limits.IDS_PER_REQUEST_MAX} IDs in one request, but got {len(ids)}"
        )
    for id_ in ids:
        check_record_id(id_)


def check_upsert(records: RecordBatch, definition: IndexDefinition, upsert_bytes_max: int) -> RecordBatch:
    """Check a batch to be written.

    Returns:
        The batch without the rows that a later row of the same id replaces.

    Raises:
        InvalidArgumentError: a record breaks a rule; the message names it.
        PayloadTooLargeError: there are too many records or bytes.
    """
    check_record_count(len(records))
    unique = set(records.ids)
    joined = "".join(unique)
    if "" in unique or "\0" in joined or not joined.isascii() or max(map(len, unique)) > limits.ID_LENGTH_MAX:
        for id_ in records.ids:
            check_record_id(id_)
    _check_vector_type(records, definition)
    _check_request_size(records, upsert_bytes_max)
    if records.dense is not None:
        check_dense(records.dense)
    if records.sparse is not None:
        check_sparse(records.sparse)
    _check_metadata_sizes(records)
    return records if len(unique) == len(records) else take_rows(records, _last_rows(records.ids))


def check_record_count(count: int) -> None:
    """Refuse an upsert of no records or of too many."""
    if not count:
        raise InvalidArgumentError("Upsert request must contain at least one vector")
    if count > limits.RECORDS_PER_UPSERT_MAX:
        raise InvalidArgumentError(
            f"Request contains {count} vectors, which exceeds the limit of {limits.RECORDS_PER_UPSERT_MAX}"
        )


def check_dense(rows: Float32s) -> None:
    """Refuse numbers that are not finite, and rows of zeros, in `(n, dimension)`."""
    # A sum of squares is finite only if every number is; the exact test is for those sums that overflowed.
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares = np.vecdot(rows, rows)
    if not np.isfinite(squares).all() and not np.isfinite(rows).all():
        raise InvalidArgumentError("Dense vectors must contain only finite values, but got NaN or infinity")
    small = rows[squares < 1e-12]
    if len(small) and (np.abs(small).max(axis=1) < limits.ZERO_VECTOR_EPSILON).any():
        raise InvalidArgumentError("Dense vectors must contain at least one non-zero value")


def check_dimension(dense: Float32s, definition: IndexDefinition) -> None:
    """Refuse a vector, `(d,)`, of another dimension than the index has."""
    if definition.vector_type is VectorType.SPARSE:
        raise InvalidArgumentError(_NO_DENSE)
    if len(dense) != definition.dimension:
        raise InvalidArgumentError(
            f"Vector dimension {len(dense)} does not match the dimension of the index {definition.dimension}"
        )


def check_sparse(rows: SparseColumn) -> None:
    """Refuse too many non-zeros, an index twice in a row, and values that are not finite."""
    nonzeros = np.diff(rows.offsets)
    if nonzeros.max() > limits.SPARSE_NONZEROS_MAX:
        raise InvalidArgumentError(
            f"Sparse vectors must have at most {limits.SPARSE_NONZEROS_MAX} non-zero values, but got {nonzeros.max()}"
        )
    if not np.isfinite(rows.values).all():
        raise InvalidArgumentError("Sparse vectors must contain only finite values, but got NaN or infinity")
    row_of_value = np.repeat(np.arange(len(rows), dtype=np.uint64), nonzeros)
    keys = np.sort((row_of_value << np.uint64(32)) | rows.indices)
    if (keys[1:] == keys[:-1]).any():
        raise InvalidArgumentError("Sparse vector indices must be unique")


def check_sparse_vector(vector: SparseVector) -> None:
    """As `check_sparse`, for one vector."""
    check_sparse(SparseColumn(np.array([0, len(vector.indices)]), vector.indices, vector.values))


def check_query_vectors(
    id_: str | None, dense: Float32s | None, sparse: SparseVector | None, definition: IndexDefinition
) -> None:
    """Refuse a query whose vectors do not fit each other or the index."""
    if id_ is not None and dense is not None:
        raise InvalidArgumentError("Cannot provide both 'ID' and 'vector' at the same time.")
    if id_ is not None and sparse is not None:
        raise InvalidArgumentError("Cannot provide both 'ID' and 'sparse_vector' at the same time.")
    if id_ is not None:
        check_record_id(id_)
    elif definition.vector_type is VectorType.SPARSE:
        if dense is not None:
            raise InvalidArgumentError(_NO_DENSE)
        if sparse is None:
            raise InvalidArgumentError("Either 'sparse_vector' or 'ID' must be provided")
    elif dense is None and sparse is None:
        raise InvalidArgumentError("Either 'vector' or 'ID' must be provided")
    elif dense is None:
        raise InvalidArgumentError("Cannot query index with dense 'vector_type' with only sparse vector")
    else:
        _check_dense_query(dense, sparse, definition)
    if sparse is not None:
        check_sparse_vector(sparse)


def check_top_k(top_k: int) -> None:
    """Refuse a number of results that is out of range."""
    if not 1 <= top_k <= limits.TOP_K_MAX:
        raise InvalidArgumentError(f"top_k must be between 1 and {limits.TOP_K_MAX}, but got {top_k}")


def page_size(limit: int | None, default: int, largest: int) -> int:
    """How many entries a page has: the caller's `limit`; the default for None and for 0, which gRPC has for none."""
    if not limit:
        return default
    if not 1 <= limit <= largest:
        raise InvalidArgumentError(f"limit must be between 1 and {largest}, but got {limit}")
    return limit


def check_metadata_size(metadata: bytes) -> None:
    """Refuse the metadata of one record, an encoded Struct, that is too long as JSON."""
    if len(metadata) * _JSON_GROWTH_MAX <= limits.METADATA_BYTES_MAX:
        return
    size = json_length(metadata)
    if size > limits.METADATA_BYTES_MAX:
        raise InvalidArgumentError(
            f"Metadata size is {size} bytes, which exceeds the limit of {limits.METADATA_BYTES_MAX} bytes per vector"
        )


def check_merged_metadata_size(stored: bytes, changes: bytes) -> None:
    """As `check_metadata_size`, for what `changes` would make of `stored`."""
    # Merging takes a decoder's time, so it is left out where the sum of both cannot be too long.
    if (len(stored) + len(changes)) * _JSON_GROWTH_MAX > limits.METADATA_BYTES_MAX:
        check_metadata_size(merge_metadata(stored, changes))


_JSON_GROWTH_MAX = 6
"""JSON of a Struct is never longer than so many times its encoding: one byte becomes at most `\\u0001`."""


def _check_vector_type(records: RecordBatch, definition: IndexDefinition) -> None:
    if definition.vector_type is VectorType.DENSE:
        assert records.dense is not None, "the codec refuses records without dense values"
    elif records.dense is not None:
        raise InvalidArgumentError(_NO_DENSE)
    elif records.sparse is None or not np.diff(records.sparse.offsets).all():
        raise InvalidArgumentError("Sparse vectors must contain at least one value")


def _check_request_size(records: RecordBatch, upsert_bytes_max: int) -> None:
    size = 0 if records.dense is None else records.dense.nbytes
    size += 0 if records.sparse is None else records.sparse.indices.nbytes + records.sparse.values.nbytes
    size += 0 if records.metadata is None else len(records.metadata.data)
    check_request_size(size, upsert_bytes_max)


def check_request_size(size: int, upsert_bytes_max: int) -> None:
    """Refuse an upsert of more bytes of vectors and metadata than one request may have."""
    if size > upsert_bytes_max:
        raise PayloadTooLargeError(
            f"Error, message length too large: found {size} bytes, the limit is: {upsert_bytes_max} bytes"
        )


def _check_metadata_sizes(records: RecordBatch) -> None:
    if records.metadata is None:
        return
    lengths = np.diff(records.metadata.offsets)
    for row in np.flatnonzero(lengths * _JSON_GROWTH_MAX > limits.METADATA_BYTES_MAX).tolist():
        check_metadata_size(records.metadata[row])


def _check_dense_query(dense: Float32s, sparse: SparseVector | None, definition: IndexDefinition) -> None:
    check_dimension(dense, definition)
    if not np.isfinite(dense).all():
        raise InvalidArgumentError("Dense vectors must contain only finite values, but got NaN or infinity")
    if sparse is not None and definition.metric is not Metric.DOTPRODUCT:
        raise InvalidArgumentError(_NO_SPARSE)


def _last_rows(ids: Sequence[str]) -> Int64s:
    """The row of the last appearance of each id, in the order of rows."""
    last = {id_: row for row, id_ in enumerate(ids)}
    return np.array(sorted(last.values()), np.int64)
