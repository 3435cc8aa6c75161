"""What each request does to an index and answers; what it refuses, it has not done in part."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from pinyon import limits
from pinyon.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError, PayloadTooLargeError
from pinyon.model.batches import bytes_column, sparse_column
from pinyon.model.metric import Metric
from pinyon.model.namespace import NamespaceDescription
from pinyon.model.record import RecordBatch, SparseVector
from pinyon.protobuf.struct import decode_metadata, encode_metadata
from pinyon.service.data_plane import DataPlane
from pinyon.service.requests import (
    CreateNamespace,
    Delete,
    DescribeStats,
    Fetch,
    FetchByMetadata,
    ListIds,
    ListNamespaces,
    Query,
    Update,
    Upsert,
)
from tests.codecs import data_plane


def vector(*numbers: float) -> Any:
    return np.array(numbers, np.float32)


def sparse(**weights: float) -> SparseVector:
    """A sparse vector; `sparse(_5=2.0)` has 2.0 at index 5."""
    indices = [int(name[1:]) for name in weights]
    return SparseVector(np.array(indices, np.uint32), np.array(list(weights.values()), np.float32))


def put(plane: DataPlane, namespace: str = "", **rows: Any) -> int:
    """Upsert records, as `put_all`."""
    return put_all(plane, namespace, rows)


def put_all(plane: DataPlane, namespace: str, rows: dict[str, Any]) -> int:
    """Upsert records: id to values, or to (values, sparse, metadata)."""
    full = [row if isinstance(row, tuple) else (row, None, {}) for row in rows.values()]
    is_dense = plane.definition.dimension is not None
    records = RecordBatch(
        ids=list(rows),
        dense=np.array([row[0] for row in full], np.float32) if is_dense else None,
        sparse=sparse_column([row[1] for row in full]),
        metadata=bytes_column([encode_metadata(row[2]) for row in full]),
    )
    return plane.upsert(Upsert(namespace, records)).lsn


def counts(plane: DataPlane) -> dict[str, int]:
    return plane.describe_stats(DescribeStats()).record_counts


def found(plane: DataPlane, **request: Any) -> list[tuple[str, float]]:
    fields: dict[str, Any] = {"namespace": "", "top_k": 10} | request
    matches = plane.query(Query(**fields)).matches
    return [(match.id, match.score) for match in matches]


def metadata_of(plane: DataPlane, namespace: str = "") -> dict[str, Any]:
    page = plane.fetch(Fetch(namespace, list("abcdef")))
    return {record.id: decode_metadata(record.metadata) for record in page.records}


@pytest.fixture
def plane() -> DataPlane:
    """Two records in the default namespace, one in "other"."""
    plane = data_plane()
    put(plane, a=([1, 0], None, {"n": 1}), b=([0, 2], None, {"n": 2}))
    put(plane, "other", c=[3, 3])
    return plane


# Writes and their LSNs.


def test_lsns_grow_with_every_write_and_reads_see_the_newest(plane):
    lsns = [
        put(plane, d=[1, 1]),
        plane.update(Update("", id="a", set_metadata={"n": 3})).lsn,
        plane.update(Update("", filter={"n": 3}, set_metadata={"m": 1})).lsn,
        plane.delete(Delete("", ids=["d"])).lsn,
        plane.delete(Delete("", filter={"n": 2})).lsn,
        plane.delete(Delete("other", delete_all=True)).lsn,
    ]
    assert lsns == sorted(set(lsns))
    for read in (plane.query(Query("x", 1, vector(1, 1))), plane.fetch(Fetch("x", ["a"])), plane.list_ids(ListIds(""))):
        assert read.lsn == lsns[-1]
    assert plane.describe_stats(DescribeStats()).lsn == lsns[-1]


@pytest.mark.parametrize(
    "write",
    [
        lambda plane: plane.update(Update("", id="unknown", dense=vector(1, 1))),
        lambda plane: plane.update(Update("nowhere", id="a", dense=vector(1, 1))),
        lambda plane: plane.update(Update("", filter={"n": 99}, set_metadata={"m": 1})),
        lambda plane: plane.update(Update("", filter={"n": 1}, set_metadata={"m": 1}, dry_run=True)),
        lambda plane: plane.delete(Delete("", filter={"n": 99})),
    ],
)
def test_a_write_with_nothing_to_do_has_the_lsn_that_reads_see(plane, write):
    before = plane.describe_stats(DescribeStats())
    assert write(plane).lsn == before.lsn
    assert plane.describe_stats(DescribeStats()) == before


def test_an_upsert_counts_what_was_sent(plane):
    records = RecordBatch(["x", "y", "x"], np.ones((3, 2), np.float32), None, None)
    assert plane.upsert(Upsert("", records)).count == 3
    assert counts(plane)["__default__"] == 4


def test_an_upsert_replaces_the_whole_record():
    plane = data_plane(metric=Metric.DOTPRODUCT)
    put(plane, a=([1, 0], sparse(_1=2), {"n": 1}))
    put(plane, a=[0, 1])
    (record,) = plane.fetch(Fetch("", ["a"])).records
    assert (record.sparse, record.metadata) == (None, b"")


@pytest.mark.parametrize("name", ["", "__default__"])
def test_the_default_namespace_has_two_names(plane, name):
    assert found(plane, namespace=name, dense=vector(1, 0))[0] == ("a", 1.0)
    assert [record.id for record in plane.fetch(Fetch(name, ["a"])).records] == ["a"]
    assert plane.list_ids(ListIds(name)).ids == ["a", "b"]
    assert plane.describe_namespace(name).record_count == 2
    put(plane, name, d=[1, 1])
    assert counts(plane) == {"__default__": 3, "other": 1}
    plane.delete(Delete(name, ids=["d"]))
    plane.delete_namespace(name)
    assert counts(plane) == {"other": 1}


def test_the_size_of_an_upsert_is_limited_as_configured():
    plane = data_plane(upsert_bytes_max=16)
    put(plane, a=[1, 1], b=[1, 1])
    with pytest.raises(PayloadTooLargeError, match="found 24 bytes, the limit is: 16 bytes"):
        put(plane, a=[1, 1], b=[1, 1], c=[1, 1])
    assert counts(plane) == {"__default__": 2}


# Queries.


def test_a_query_by_id_uses_what_is_stored(plane):
    assert found(plane, id="a") == [("a", 1.0), ("b", 0.0)]
    assert found(plane, id="unknown") == []
    assert found(plane, id="a", namespace="nowhere") == []
    assert found(plane, id="c") == [], "an id of another namespace"


def test_a_query_by_id_is_hybrid_where_the_metric_allows_it():
    plane = data_plane(metric=Metric.DOTPRODUCT)
    put(plane, a=([1, 0], sparse(_5=2), {}), b=([2, 0], None, {}))
    assert found(plane, id="a") == [("a", 5.0), ("b", 2.0)]


@pytest.mark.parametrize("metric", [Metric.COSINE, Metric.EUCLIDEAN])
def test_a_query_by_id_ignores_sparse_values_elsewhere(metric):
    plane = data_plane(metric=metric)
    put(plane, a=([1, 0], sparse(_5=2), {}))
    assert found(plane, id="a") == [("a", 1.0 if metric is Metric.COSINE else 0.0)]


def test_a_query_of_a_sparse_index():
    plane = data_plane(None)
    put(plane, a=(None, sparse(_1=2, _7=1), {}), b=(None, sparse(_7=5), {}), c=(None, sparse(_2=1), {}))
    assert found(plane, sparse=sparse(_7=2)) == [("b", 10.0), ("a", 2.0)]
    assert found(plane, id="a") == [("a", 5.0), ("b", 5.0)]


@pytest.mark.parametrize("filter_", [None, {}])
def test_no_filter_and_an_empty_one_are_the_same(plane, filter_):
    assert len(found(plane, dense=vector(1, 0), filter=filter_)) == 2


def test_a_query_of_zeros_is_answered(plane):
    """Callers use it to list records by a filter."""
    assert found(plane, dense=vector(0, 0)) == [("a", 0.0), ("b", 0.0)]


@pytest.mark.parametrize("metric", Metric)
def test_scores_are_finite_whatever_the_vectors(metric):
    plane = data_plane(metric=metric)
    huge = float(np.finfo(np.float32).max)
    put(plane, a=[huge, huge], b=[-huge, huge], c=[1e-7, 1e-7])
    for query in (vector(huge, huge), vector(-huge, -huge), vector(1e-30, 0)):
        assert np.isfinite([score for _, score in found(plane, dense=query)]).all()


# Fetching.


def test_fetch_gives_each_record_once(plane):
    assert [record.id for record in plane.fetch(Fetch("", ["b", "unknown", "a", "b"])).records] == ["b", "a"]


def test_fetch_by_metadata_goes_page_by_page():
    plane = data_plane()
    put_all(plane, "", {f"r{number:03}": ([1, 1], None, {"even": number % 2 == 0}) for number in range(250)})
    ids: list[str] = []
    token = None
    sizes = []
    while True:
        page = plane.fetch_by_metadata(FetchByMetadata("", {"even": True}, None, token))
        ids += [record.id for record in page.records]
        sizes.append(len(page.records))
        token = page.next_token
        if token is None:
            break
    assert sizes == [100, 25]
    assert ids == [f"r{number:03}" for number in range(0, 250, 2)]


@pytest.mark.parametrize(("limit", "has_next"), [(1, True), (2, False), (3, False), (10_000, False)])
def test_the_last_page_has_no_token(plane, limit, has_next):
    for page in (
        plane.fetch_by_metadata(FetchByMetadata("", {"n": {"$gt": 0}}, limit)),
        plane.list_ids(ListIds("", limit=min(limit, 100))),
        plane.list_namespaces(ListNamespaces(limit=min(limit, 100))),
    ):
        assert (page.next_token is not None) == has_next


def test_lists_go_page_by_page_in_byte_order():
    plane = data_plane()
    names = sorted(["B", "a", "a/1", "a/2", "a b", "~", "\x01", "é".encode().hex(), "a/"])
    put_all(plane, "", {name: [1, 1] for name in reversed(names)})
    listed: list[str] = []
    token = None
    while True:
        page = plane.list_ids(ListIds("", "", 2, token))
        listed += page.ids
        token = page.next_token
        if token is None:
            break
    assert listed == names
    assert plane.list_ids(ListIds("", "a/")).ids == ["a/", "a/1", "a/2"]
    assert plane.list_ids(ListIds("", "zz")).ids == []
    assert plane.list_ids(ListIds("nowhere")).ids == []


def test_a_page_stays_right_when_records_of_the_last_one_go(plane):
    page = plane.list_ids(ListIds("", limit=1))
    plane.delete(Delete("", ids=page.ids))
    assert plane.list_ids(ListIds("", limit=1, pagination_token=page.next_token)).ids == ["b"]


@pytest.mark.parametrize("token", ["nonsense", "é", "_w==", "a", "=", "YQ==\n", " ", "\ud800"])
@pytest.mark.parametrize(
    "read",
    [
        lambda plane, token: plane.list_ids(ListIds("", pagination_token=token)),
        lambda plane, token: plane.fetch_by_metadata(FetchByMetadata("", {"n": 1}, None, token)),
        lambda plane, token: plane.list_namespaces(ListNamespaces(pagination_token=token)),
    ],
)
def test_a_token_that_is_not_ours(plane, read, token):
    with pytest.raises(InvalidArgumentError, match="Invalid pagination token"):
        read(plane, token)


# Updates.


def test_an_update_changes_only_what_it_names():
    plane = data_plane(metric=Metric.DOTPRODUCT)
    put(plane, a=([1, 0], sparse(_1=1), {"n": 1, "m": 1}))
    plane.update(Update("", id="a", set_metadata={"n": 2, "x": ["y"]}))
    plane.update(Update("", id="a", dense=vector(0, 4)))
    plane.update(Update("", id="a", sparse=sparse(_9=3)))
    (record,) = plane.fetch(Fetch("", ["a"])).records
    assert decode_metadata(record.metadata) == {"n": 2, "m": 1, "x": ["y"]}
    assert record.dense is not None
    assert record.dense.tolist() == [0, 4]
    assert record.sparse is not None
    assert record.sparse.indices.tolist() == [9]


def test_an_update_by_filter_counts_and_changes_metadata(plane):
    dry = plane.update(Update("", filter={"n": {"$gte": 1}}, set_metadata={"m": 1}, dry_run=True))
    assert dry.count == 2
    assert metadata_of(plane) == {"a": {"n": 1}, "b": {"n": 2}}
    assert plane.update(Update("", filter={"n": 2}, set_metadata={"m": 1})).count == 1
    assert metadata_of(plane) == {"a": {"n": 1}, "b": {"n": 2, "m": 1}}
    assert plane.update(Update("", filter={"n": 2})).count == 1, "nothing to set"
    assert plane.update(Update("nowhere", filter={"n": 2}, set_metadata={"m": 1})).count == 0


def test_the_filter_of_an_update_wins_over_its_id(plane):
    assert plane.update(Update("", id="a", filter={"n": 2}, set_metadata={"m": 1})).count == 1
    assert metadata_of(plane)["a"] == {"n": 1}


def test_an_update_by_id_has_no_count(plane):
    assert plane.update(Update("", id="a", dense=vector(5, 5))).count is None


def test_an_update_by_filter_may_not_change_too_many(plane, monkeypatch):
    monkeypatch.setattr("pinyon.service.data_plane._UPDATE_MATCHES_MAX", 1)
    with pytest.raises(InvalidArgumentError, match="matches 2 records, which exceeds the limit of 1"):
        plane.update(Update("", filter={"n": {"$gt": 0}}, set_metadata={"m": 1}))
    assert metadata_of(plane) == {"a": {"n": 1}, "b": {"n": 2}}


def test_metadata_may_not_grow_too_long_by_merging(plane):
    plane.update(Update("", id="a", set_metadata={"x": "x" * 30_000}))
    with pytest.raises(InvalidArgumentError, match="Metadata size is"):
        plane.update(Update("", id="a", set_metadata={"y": "y" * 30_000}))
    assert set(metadata_of(plane)["a"]) == {"n", "x"}


def test_metadata_may_not_grow_too_long_by_merging_into_many(plane):
    plane.update(Update("", id="a", set_metadata={"x": "x" * 30_000}))
    with pytest.raises(InvalidArgumentError, match="Metadata size is"):
        plane.update(Update("", filter={"n": {"$gt": 0}}, set_metadata={"y": "y" * 30_000}))
    assert metadata_of(plane)["b"] == {"n": 2}


# Deletes.


def test_deletes(plane):
    put(plane, d=[1, 1])
    plane.delete(Delete("", ids=["d", "unknown"]))
    assert counts(plane) == {"__default__": 2, "other": 1}
    plane.delete(Delete("", filter={"n": 1}))
    assert plane.list_ids(ListIds("")).ids == ["b"]
    plane.delete(Delete("", delete_all=True))
    plane.delete(Delete("", delete_all=True))
    assert counts(plane) == {"other": 1}


def test_a_delete_with_a_filter_does_not_look_at_ids(plane):
    plane.delete(Delete("", ids=["b"], filter={"n": 1}))
    assert plane.list_ids(ListIds("")).ids == ["b"]


@pytest.mark.parametrize(
    "request_",
    [Delete("nowhere", ids=["a"]), Delete("nowhere", filter={"n": 1}), Delete("nowhere", delete_all=True)],
)
def test_deletes_in_a_namespace_that_is_not_there(plane, request_):
    with pytest.raises(NotFoundError, match="Namespace not found"):
        plane.delete(request_)


def test_deletes_in_the_default_namespace_never_fail():
    plane = data_plane()
    for request in (Delete("", ids=["a"]), Delete("", filter={"n": 1}), Delete("", delete_all=True)):
        plane.delete(request)
    plane.delete_namespace("")


# Texts of refusals; nothing changes.

EMPTY_NAMES = [CreateNamespace(""), CreateNamespace("__default__")]


@pytest.mark.parametrize(
    ("method", "request_", "text"),
    [
        ("query", Query("", 0, vector(1, 1)), "top_k must be between 1 and 10000"),
        ("query", Query("é", 1, vector(1, 1)), "Namespace must be ASCII"),
        ("query", Query("", 1, vector(1, 1), filter={"a": {"$like": 1}}), r"\$like is not a valid operator"),
        ("fetch", Fetch("", []), "at least one ID"),
        ("fetch", Fetch("", ["a"] * 1001), "more than 1000 IDs"),
        ("fetch", Fetch("", [""]), "Vector ID must not be empty"),
        ("fetch", Fetch("a\0", ["a"]), "Namespace must be ASCII"),
        ("fetch_by_metadata", FetchByMetadata("", {}), "^Empty filter provided for fetch by metadata request$"),
        ("fetch_by_metadata", FetchByMetadata("", {"n": 1}, 10_001), "limit must be between 1 and 10000"),
        ("fetch_by_metadata", FetchByMetadata("", {"n": 1}, -1), "limit must be between 1 and 10000"),
        ("update", Update("", dense=vector(1, 1)), "Either 'id' or 'filter' must be provided"),
        ("update", Update("", id="é", dense=vector(1, 1)), "Vector ID must be ASCII"),
        (
            "update",
            Update("", id="a", dense=vector(1)),
            "Vector dimension 1 does not match the dimension of the index 2",
        ),
        ("update", Update("", id="a", dense=vector(0, 0)), "at least one non-zero value"),
        ("update", Update("", id="a", dense=vector(np.nan, 0)), "finite"),
        ("update", Update("", id="a", set_metadata={"x": "x" * 41_000}), "Metadata size is"),
        ("update", Update("", id="unknown", dense=vector(1)), "Vector dimension 1 does not match"),
        (
            "update",
            Update("", filter={"n": 1}, dense=vector(1, 1)),
            r"^Update by metadata request does not support updating vector values\.$",
        ),
        (
            "update",
            Update("", filter={"n": 1}, sparse=SparseVector(np.ones(1, np.uint32), np.ones(1, np.float32))),
            r"^Update by metadata request does not support updating vector values\.$",
        ),
        ("update", Update("", filter={}, set_metadata={"a": 1}), "^Update with empty metadata filter is not allowed$"),
        ("delete", Delete("", ids=["a"], delete_all=True), "^No explicit IDs allowed when delete_all=true$"),
        ("delete", Delete("", filter={"n": 1}, delete_all=True), "^No filter allowed when delete_all=true$"),
        ("delete", Delete("", filter={}), "^Delete with empty metadata filter is not allowed$"),
        ("delete", Delete(""), "ids, a filter or delete_all"),
        ("delete", Delete("", ids=["a"] * 1001), "more than 1000 IDs"),
        ("delete", Delete("", ids=[""]), "Vector ID must not be empty"),
        ("list_ids", ListIds("", limit=101), "limit must be between 1 and 100"),
        ("list_ids", ListIds("", limit=-1), "limit must be between 1 and 100"),
        ("list_namespaces", ListNamespaces(limit=101), "limit must be between 1 and 100"),
        ("describe_stats", DescribeStats({"n": 1}), "do not support describing index stats with metadata filtering"),
        *[("create_namespace", request, "always exists") for request in EMPTY_NAMES],
        ("create_namespace", CreateNamespace("x" * 513), "no longer than 512"),
        ("describe_namespace", "é", "Namespace must be ASCII"),
        ("delete_namespace", "é", "Namespace must be ASCII"),
    ],
)
def test_refusals(plane, method, request_, text):
    before = plane.describe_stats(DescribeStats())
    with pytest.raises(InvalidArgumentError, match=text):
        getattr(plane, method)(request_)
    assert plane.describe_stats(DescribeStats()) == before


def test_an_update_of_a_sparse_index_takes_no_dense_values():
    plane = data_plane(None)
    put(plane, a=(None, sparse(_1=1), {}))
    with pytest.raises(InvalidArgumentError, match="Index configuration does not support dense values"):
        plane.update(Update("", id="a", dense=vector(1, 1)))


# Stats and namespaces.


def test_stats_of_a_sparse_index_have_no_dimension():
    stats = data_plane(None).describe_stats(DescribeStats({}))
    assert (stats.dimension, stats.metric, stats.vector_type) == (None, "dotproduct", "sparse")


def test_the_life_of_a_namespace(plane):
    created = plane.create_namespace(CreateNamespace("new", ("genre",)))
    assert created == NamespaceDescription("new", 0, 0, ("genre",))
    with pytest.raises(AlreadyExistsError, match="Namespace new already exists"):
        plane.create_namespace(CreateNamespace("new"))
    assert counts(plane)["new"] == 0
    put(plane, "new", x=[1, 1])
    plane.delete(Delete("new", delete_all=True))
    assert plane.describe_namespace("new") == created, "it was declared, so it stays"
    plane.delete_namespace("new")
    for refuse in (plane.describe_namespace, plane.delete_namespace):
        with pytest.raises(NotFoundError, match="Namespace not found"):
            refuse("new")


def test_a_namespace_that_begins_with_a_record_exists(plane):
    with pytest.raises(AlreadyExistsError, match="Namespace other already exists"):
        plane.create_namespace(CreateNamespace("other"))
    described = plane.describe_namespace("other")
    assert (described.name, described.record_count, described.filterable_fields) == ("other", 1, None)
    assert described.size_bytes == 2 * 4 + len("c")


def test_the_default_namespace_always_exists():
    assert data_plane().describe_namespace("") == NamespaceDescription("__default__", 0, 0, None)


def test_namespaces_are_listed_by_name_and_prefix(plane):
    for name in ("b", "a/2", "a/1"):
        put(plane, name, x=[1, 1])
    everything = plane.list_namespaces(ListNamespaces())
    assert [item.name for item in everything.namespaces] == ["__default__", "a/1", "a/2", "b", "other"]
    page = plane.list_namespaces(ListNamespaces("a/", 1))
    assert ([item.name for item in page.namespaces], page.total_count) == (["a/1"], 2)
    page = plane.list_namespaces(ListNamespaces("a/", 1, page.next_token))
    assert ([item.name for item in page.namespaces], page.total_count, page.next_token) == (["a/2"], 2, None)


def test_an_index_has_so_many_namespaces(plane, monkeypatch):
    monkeypatch.setattr(limits, "NAMESPACES_PER_INDEX_MAX", 2)
    for refuse in (lambda: put(plane, "third", x=[1, 1]), lambda: plane.create_namespace(CreateNamespace("third"))):
        with pytest.raises(InvalidArgumentError, match="more than 2 namespaces"):
            refuse()
    put(plane, "other", x=[1, 1])


def test_an_empty_namespace_counts_against_no_limit(plane, monkeypatch):
    monkeypatch.setattr(limits, "NAMESPACES_PER_INDEX_MAX", 2)
    plane.delete(Delete("other", ids=["c"]))
    assert counts(plane) == {"__default__": 2}
    put(plane, "third", x=[1, 1])
    with pytest.raises(InvalidArgumentError, match="more than 2 namespaces"):
        put(plane, "other", x=[1, 1])
    plane.delete(Delete("other", ids=["c"]))  # It is not known any more, and not unknown yet.


@pytest.mark.parametrize("of_namespace", [False, True])
def test_only_fields_of_the_schema_may_be_filtered(of_namespace):
    plane = data_plane(filterable_fields=("other",) if of_namespace else ("genre",))
    if of_namespace:
        plane.create_namespace(CreateNamespace("ns", ("genre",)))
    put(plane, "ns", a=([1, 1], None, {"genre": "drama", "year": 1}))
    assert found(plane, namespace="ns", dense=vector(1, 1), filter={"genre": "drama"}) != []
    for refuse in (
        lambda: found(plane, namespace="ns", dense=vector(1, 1), filter={"year": 1}),
        lambda: plane.delete(Delete("ns", filter={"year": 1})),
        lambda: plane.update(Update("ns", filter={"year": 1}, set_metadata={"x": 1})),
        lambda: plane.fetch_by_metadata(FetchByMetadata("ns", {"year": 1})),
    ):
        with pytest.raises(InvalidArgumentError, match="field year is not filterable"):
            refuse()


def test_of_two_that_create_a_namespace_at_once_one_succeeds():
    plane = data_plane()
    gate = threading.Barrier(8, timeout=10)

    def create(field: str) -> bool:
        gate.wait()
        try:
            plane.create_namespace(CreateNamespace("n", (field,)))
        except AlreadyExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(create, map(str, range(8))))
    assert created.count(True) == 1
    assert plane.describe_namespace("n").filterable_fields == (str(created.index(True)),)


@pytest.mark.parametrize("name", ["", "$set", "_hidden"])
def test_a_namespace_may_not_declare_fields_that_an_index_may_not(name):
    plane = data_plane()
    with pytest.raises(InvalidArgumentError):
        plane.create_namespace(CreateNamespace("n", (name,)))
    with pytest.raises(NotFoundError):
        plane.describe_namespace("n")


def test_an_index_is_small_until_it_holds_half_a_mebibyte():
    plane = data_plane(dimension=1000)
    rows = np.ones((200, 1000), np.float32)
    seen = [plane.is_small]
    plane.upsert(Upsert("", RecordBatch([str(row) for row in range(200)], rows, None, None)))
    seen.append(plane.is_small)
    plane.delete(Delete("", delete_all=True))
    assert [*seen, plane.is_small] == [True, False, True]
