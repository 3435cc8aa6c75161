"""Rules of 3.2 and 4.6 of the API, with their texts."""

import re
from typing import Any

import numpy as np
import pytest

from pinyon import limits
from pinyon.errors import InvalidArgumentError, PayloadTooLargeError
from pinyon.model.batches import bytes_column, sparse_column
from pinyon.model.index import Deployment, IndexDefinition
from pinyon.model.metric import Metric, VectorType
from pinyon.model.record import RecordBatch, SparseVector
from pinyon.protobuf.struct import encode_metadata
from pinyon.service import validation
from pinyon.service.validation import DEFAULT_NAMESPACE

NO_DENSE = "Index configuration does not support dense values"
NO_SPARSE = (
    "Index configuration does not support sparse values"
    " - only indexes that are sparse or using dotproduct are supported"
)
ZERO = "Dense vectors must contain at least one non-zero value"
NOT_FINITE = "Dense vectors must contain only finite values"
REAL_MAX = float(np.finfo(np.float32).max)


def index(dimension: int | None = 2, metric: Metric = Metric.COSINE) -> IndexDefinition:
    return IndexDefinition(
        name="index",
        index_id="0",
        vector_type=VectorType.SPARSE if dimension is None else VectorType.DENSE,
        dimension=dimension,
        metric=metric if dimension else Metric.DOTPRODUCT,
        deployment=Deployment(kind="serverless"),
    )


def sparse(indices: Any = (1,), values: Any = None) -> SparseVector:
    given = [1.0] * len(indices) if values is None else values
    return SparseVector(np.array(indices, np.uint32), np.array(given, np.float32))


def batch(ids: Any = ("a",), dense: Any = ((1.0, 2.0),), sparse_rows: Any = None, metadata: Any = None) -> RecordBatch:
    names = list(ids)
    return RecordBatch(
        ids=names,
        dense=None if dense is None else np.array(dense, np.float32).reshape(len(names), -1),
        sparse=None if sparse_rows is None else sparse_column(sparse_rows),
        metadata=None if metadata is None else bytes_column([encode_metadata(each) for each in metadata]),
    )


def check(records: RecordBatch, definition: IndexDefinition | None = None, bytes_max: int = 10**9) -> RecordBatch:
    return validation.check_upsert(records, definition or index(), bytes_max)


# Names.


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("", DEFAULT_NAMESPACE),
        (DEFAULT_NAMESPACE, DEFAULT_NAMESPACE),
        ("a/b c%2F", "a/b c%2F"),
        ("\x01\x7f", "\x01\x7f"),
        ("x" * 512, "x" * 512),
    ],
)
def test_namespaces(name: str, canonical: str) -> None:
    assert validation.namespace_name(name) == canonical


@pytest.mark.parametrize(
    ("name", "text"), [("é", "ASCII"), ("a\0", "NUL"), ("x" * 513, "no longer than 512 characters, but got 513")]
)
def test_names_that_no_namespace_can_have(name: str, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^Namespace must be .*{text}"):
        validation.namespace_name(name)


BAD_IDS = [("", "empty"), ("é", "ASCII"), ("a\0b", "ASCII"), ("\0", "ASCII"), ("x" * 513, "no longer than 512")]


@pytest.mark.parametrize(("id_", "text"), BAD_IDS)
def test_ids_that_no_record_can_have(id_: str, text: str) -> None:
    for refuse in (
        lambda: validation.check_record_id(id_),
        lambda: validation.check_ids(["good", id_]),
        lambda: check(batch(["good", id_], [[1, 1], [1, 1]])),
        lambda: validation.check_query_vectors(id_, None, None, index()),
    ):
        with pytest.raises(InvalidArgumentError, match=f"^Vector ID must .*{text}"):
            refuse()


@pytest.mark.parametrize("id_", ["a", "x" * 512, "".join(map(chr, range(1, 128)))])
def test_ids_of_any_ascii_are_good(id_: str) -> None:
    validation.check_ids([id_] * limits.IDS_PER_REQUEST_MAX)
    assert check(batch([id_])).ids == [id_]


def test_too_many_ids() -> None:
    with pytest.raises(InvalidArgumentError, match="more than 1000 IDs in one request, but got 1001"):
        validation.check_ids(["a"] * 1001)


# Upserts.


def test_an_upsert_needs_a_record() -> None:
    with pytest.raises(InvalidArgumentError, match="at least one vector"):
        check(RecordBatch([], np.empty((0, 2), np.float32), None, None))


def test_an_upsert_has_at_most_a_thousand_records() -> None:
    assert len(check(batch(map(str, range(1000)), np.ones((1000, 2))))) == 1000
    with pytest.raises(InvalidArgumentError, match="1001 vectors, which exceeds the limit of 1000"):
        check(batch(map(str, range(1001)), np.ones((1001, 2))))


def batch_rows(*rows: Any) -> RecordBatch:
    return batch(map(str, range(len(rows))), rows)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ((0.0, 0.0), ZERO),
        ((-0.0, 0.0), ZERO),
        ((9e-9, -9e-9), ZERO),
        ((np.nan, 1.0), NOT_FINITE),
        ((np.inf, 1.0), NOT_FINITE),
        ((-np.inf, np.inf), NOT_FINITE),
        ((REAL_MAX, np.inf), NOT_FINITE),
    ],
)
def test_dense_rows_that_are_refused(row: tuple[float, float], text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        check(batch_rows((1.0, 1.0), row, (1.0, 1.0)))


@pytest.mark.parametrize("row", [(1e-7, 0.0), (2e-8, 0.0), (REAL_MAX, -REAL_MAX), (1e20, 1e-20), (-1.0, 0.0)])
def test_dense_rows_at_the_edges_are_good(row: tuple[float, float]) -> None:
    check(batch_rows((1.0, 1.0), row))


@pytest.mark.parametrize(
    ("vector", "text"),
    [
        (sparse((1, 1)), "indices must be unique"),
        (sparse((2**32 - 1, 0, 2**32 - 1)), "indices must be unique"),
        (sparse(range(2049)), "at most 2048 non-zero values, but got 2049"),
        (sparse((1,), (np.nan,)), "finite"),
        (sparse((1,), (np.inf,)), "finite"),
    ],
)
def test_sparse_rows_that_are_refused(vector: SparseVector, text: str) -> None:
    for refuse in (
        lambda: check(batch(["a", "b"], [[1, 1], [1, 1]], [sparse(), vector])),
        lambda: check(batch(["a", "b"], None, [sparse(), vector]), index(None)),
        lambda: validation.check_sparse_vector(vector),
        lambda: validation.check_query_vectors(None, None, vector, index(None)),
    ):
        with pytest.raises(InvalidArgumentError, match=text):
            refuse()


def test_sparse_rows_at_the_edges_are_good() -> None:
    rows = [sparse(range(2048)), None, sparse((2**32 - 1, 0, 7)), sparse((7,), (0.0,))]
    check(batch("abcd", np.ones((4, 2)), rows))


@pytest.mark.parametrize("metric", Metric)
def test_sparse_values_may_be_stored_whatever_the_metric(metric: Metric) -> None:
    check(batch(sparse_rows=[sparse()]), index(2, metric))


@pytest.mark.parametrize(
    ("records", "text"),
    [
        (batch(sparse_rows=[sparse()]), NO_DENSE),
        (batch(dense=None), "Sparse vectors must contain at least one value"),
        (batch("ab", None, [sparse(), None]), "Sparse vectors must contain at least one value"),
    ],
)
def test_records_that_a_sparse_index_refuses(records: RecordBatch, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        check(records, index(None))


def test_of_equal_ids_the_last_one_is_kept() -> None:
    records = check(
        batch(
            "abac",
            [[1, 1], [2, 2], [3, 3], [4, 4]],
            [sparse((1,)), None, sparse((3,)), None],
            [{"n": n} for n in range(4)],
        )
    )
    assert records.ids == ["b", "a", "c"]
    assert records.dense is not None
    assert records.dense[:, 0].tolist() == [2, 3, 4]
    assert records.sparse is not None
    assert records.sparse[1].indices.tolist() == [3]
    assert records.metadata is not None
    assert records.metadata[1] == encode_metadata({"n": 2})


def test_a_batch_without_equal_ids_is_not_copied() -> None:
    records = batch("ab", [[1, 1], [2, 2]])
    assert check(records) is records


@pytest.mark.parametrize("length", [40 * 1024 - len('{"k":""}'), 10])
def test_metadata_up_to_forty_kilobytes(length: int) -> None:
    check(batch(metadata=[{"k": "x" * length}]))


@pytest.mark.parametrize(
    "metadata",
    [{"k": "x" * (40 * 1024 - len('{"k":""}') + 1)}, {"k": "\x01" * 7000}, {str(n): True for n in range(6000)}],
)
def test_metadata_that_is_too_long(metadata: Any) -> None:
    """It is a rule about one record, which no smaller request would heal: 400 and not 413."""
    for refuse in (
        lambda: check(batch("ab", [[1, 1], [1, 1]], None, [{}, metadata])),
        lambda: validation.check_metadata_size(encode_metadata(metadata)),
    ):
        with pytest.raises(InvalidArgumentError, match="exceeds the limit of 40960 bytes per vector") as raised:
            refuse()
        assert not isinstance(raised.value, PayloadTooLargeError)


def test_an_upsert_is_measured_by_what_it_holds() -> None:
    metadata = [{"k": "x" * 100}, {}]
    records = batch("ab", [[1, 1], [1, 1]], [sparse(), None], metadata)
    size = 2 * 2 * 4 + 8 + len(encode_metadata(metadata[0]))
    check(records, bytes_max=size)
    with pytest.raises(PayloadTooLargeError, match=f"found {size} bytes, the limit is: {size - 1} bytes"):
        check(records, bytes_max=size - 1)


@pytest.mark.parametrize(
    ("dimension", "metadata_bytes", "records"), [(386, 0, 1000), (768, 500, 559), (1536, 2000, 245)]
)
def test_the_batches_of_the_seed_page_fit(dimension: int, metadata_bytes: int, records: int) -> None:
    metadata = [{"k": "x" * (metadata_bytes - 14)} if metadata_bytes else {}] * records
    rows = batch(map(str, range(records)), np.ones((records, dimension)), None, metadata)
    check(rows, index(dimension), limits.UPSERT_BYTES_MAX)


# Queries.

DENSE = np.array([1, 2], np.float32)


@pytest.mark.parametrize(
    ("id_", "dense", "vector", "definition", "text"),
    [
        ("a", DENSE, None, index(), "Cannot provide both 'ID' and 'vector' at the same time."),
        ("a", None, sparse(), index(), "Cannot provide both 'ID' and 'sparse_vector' at the same time."),
        ("a", DENSE, sparse(), index(), "Cannot provide both 'ID' and 'vector' at the same time."),
        (None, None, None, index(), "Either 'vector' or 'ID' must be provided"),
        (None, None, None, index(None), "Either 'sparse_vector' or 'ID' must be provided"),
        (None, DENSE, None, index(None), NO_DENSE),
        (None, DENSE, sparse(), index(None), NO_DENSE),
        (None, None, sparse(), index(), "Cannot query index with dense 'vector_type' with only sparse vector"),
        (None, DENSE, sparse(), index(), NO_SPARSE),
        (None, DENSE, sparse(), index(2, Metric.EUCLIDEAN), NO_SPARSE),
        (None, DENSE, None, index(3), "Vector dimension 2 does not match the dimension of the index 3"),
        (None, np.array([np.nan, 1], np.float32), None, index(), NOT_FINITE),
        (None, np.array([np.inf, 1], np.float32), None, index(), NOT_FINITE),
    ],
)
def test_queries_whose_vectors_do_not_fit(
    id_: str | None, dense: Any, vector: SparseVector | None, definition: IndexDefinition, text: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=re.escape(text)):
        validation.check_query_vectors(id_, dense, vector, definition)


@pytest.mark.parametrize(
    ("id_", "dense", "vector", "definition"),
    [
        ("a", None, None, index()),
        ("a", None, None, index(None)),
        (None, DENSE, None, index()),
        (None, np.zeros(2, np.float32), None, index()),
        (None, DENSE, sparse(), index(2, Metric.DOTPRODUCT)),
        (None, None, sparse(), index(None)),
    ],
)
def test_queries_whose_vectors_fit(
    id_: str | None, dense: Any, vector: SparseVector | None, definition: IndexDefinition
) -> None:
    validation.check_query_vectors(id_, dense, vector, definition)


@pytest.mark.parametrize("top_k", [0, -1, 10_001, 2**63])
def test_top_k_out_of_range(top_k: int) -> None:
    with pytest.raises(InvalidArgumentError, match=f"top_k must be between 1 and 10000, but got {top_k}"):
        validation.check_top_k(top_k)


@pytest.mark.parametrize("top_k", [1, 10_000])
def test_top_k_in_range(top_k: int) -> None:
    validation.check_top_k(top_k)


@pytest.mark.parametrize(("limit", "size"), [(None, 100), (0, 100), (1, 1), (99, 99), (200, 200)])
def test_the_size_of_a_page(limit: int | None, size: int) -> None:
    assert validation.page_size(limit, 100, 200) == size


@pytest.mark.parametrize("limit", [-1, 201, 2**40])
def test_a_size_that_no_page_can_have(limit: int) -> None:
    with pytest.raises(InvalidArgumentError, match=f"limit must be between 1 and 200, but got {limit}"):
        validation.page_size(limit, 100, 200)
