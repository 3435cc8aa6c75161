"""Every method of `VectorService`: its answer in the official messages, its metadata, its refusals."""

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from pinyon.errors import UnimplementedError
from pinyon.model.metric import Metric
from pinyon.wire.grpc.framing import frame
from pinyon.wire.grpc.servicer import GrpcRoutes
from tests.codecs import Grpc, GrpcError, data_plane
from tests.grpc_stubs import messages

pb = messages()
WROTE, READ = "x-pinecone-request-lsn", "x-pinecone-max-indexed-lsn"


def record(id_: str, values: Any = (1, 0), **metadata: Any) -> Any:
    made = pb.Vector(id=id_, values=values)
    if metadata:
        made.metadata.update(metadata)
    return made


def filled(message: Any, **structs: Any) -> Any:
    for name, fields in structs.items():
        getattr(message, name).SetInParent()
        getattr(message, name).update(fields)
    return message


@pytest.fixture
def grpc() -> Grpc:
    """Two records in the default namespace, one in "other"."""
    grpc = Grpc(data_plane(metric=Metric.DOTPRODUCT))
    grpc.call("Upsert", pb.UpsertRequest(vectors=[record("a", (1, 0), genre="drama", year=2020), record("b", (0, 2))]))
    grpc.call("Upsert", pb.UpsertRequest(vectors=[record("c", (3, 3))], namespace="other"))
    return grpc


def answer(grpc: Grpc, method: str, request: Any) -> Any:
    return MessageToDict(grpc.call(method, request)[0])


USAGE = {"readUnits": 1}
A = {"id": "a", "values": [1.0, 0.0], "metadata": {"genre": "drama", "year": 2020.0}}
B = {"id": "b", "values": [0.0, 2.0]}


def test_upsert(grpc):
    response, metadata = grpc.call("Upsert", pb.UpsertRequest(vectors=[record("a"), record("z")]))
    assert response.upserted_count == 2
    assert metadata[WROTE] == "3"
    assert READ not in metadata


def test_query(grpc):
    response, metadata = grpc.call("Query", pb.QueryRequest(top_k=2, vector=[1, 1]))
    assert metadata[READ] == "2"
    assert MessageToDict(response) == {
        "matches": [{"id": "b", "score": 2.0}, {"id": "a", "score": 1.0}],
        "namespace": "__default__",
        "usage": USAGE,
    }


def test_query_with_everything(grpc):
    request = pb.QueryRequest(top_k=1, id="a", include_values=True, include_metadata=True)
    assert answer(grpc, "Query", filled(request, filter={"genre": "drama"}))["matches"] == [A | {"score": 1.0}]


def test_query_of_sparse_values(grpc):
    sparse = pb.SparseValues(indices=[4294967295, 0], values=[2, 1])
    grpc.call("Upsert", pb.UpsertRequest(vectors=[pb.Vector(id="s", values=[1, 0], sparse_values=sparse)]))
    request = pb.QueryRequest(top_k=1, vector=[1, 0], sparse_vector=sparse, include_values=True)
    (match,) = grpc.call("Query", request)[0].matches
    assert (match.id, match.score, match.sparse_values) == ("s", 6.0, sparse)


def test_fetch(grpc):
    response, metadata = grpc.call("Fetch", pb.FetchRequest(ids=["a", "b", "nothing", "a"]))
    assert MessageToDict(response) == {"vectors": {"a": A, "b": B}, "namespace": "__default__", "usage": USAGE}
    assert metadata[READ] == "2"


def test_fetch_by_metadata(grpc):
    request = filled(pb.FetchByMetadataRequest(limit=1), filter={"x": {"$exists": False}})
    first = grpc.call("FetchByMetadata", request)[0]
    assert list(first.vectors) == ["a"]
    request.pagination_token = first.pagination.next
    second = grpc.call("FetchByMetadata", request)[0]
    assert list(second.vectors) == ["b"]
    assert not second.HasField("pagination")


def test_update(grpc):
    request = filled(pb.UpdateRequest(id="a", values=[4, 4]), set_metadata={"year": 1})
    response, metadata = grpc.call("Update", request)
    assert not response.HasField("matched_records")
    assert metadata[WROTE] == "3"
    expected = {"id": "a", "values": [4.0, 4.0], "metadata": {"genre": "drama", "year": 1.0}}
    assert answer(grpc, "Fetch", pb.FetchRequest(ids=["a"]))["vectors"] == {"a": expected}


@pytest.mark.parametrize(("filter_", "count"), [({"genre": "drama"}, 1), ({"genre": "none"}, 0)])
@pytest.mark.parametrize("dry_run", [False, True])
def test_update_by_filter(grpc, filter_, count, dry_run):
    response, _ = grpc.call("Update", filled(pb.UpdateRequest(dry_run=dry_run), filter=filter_, set_metadata={"n": 1}))
    assert response.HasField("matched_records")
    assert response.matched_records == count
    seen = filled(pb.FetchByMetadataRequest(), filter={"n": 1})
    assert len(grpc.call("FetchByMetadata", seen)[0].vectors) == (0 if dry_run else count)


@pytest.mark.parametrize(
    "request_",
    [
        pb.DeleteRequest(ids=["a", "b"]),
        pb.DeleteRequest(delete_all=True),
        filled(pb.DeleteRequest(), filter={"q": {"$exists": False}}),
    ],
)
def test_delete(grpc, request_):
    response, metadata = grpc.call("Delete", request_)
    assert response == pb.DeleteResponse()
    assert metadata[WROTE] == "3"
    assert answer(grpc, "List", pb.ListRequest()) == {"namespace": "__default__", "usage": USAGE}


def test_list(grpc):
    first = grpc.call("List", pb.ListRequest(limit=1))[0]
    assert [item.id for item in first.vectors] == ["a"]
    second = grpc.call("List", pb.ListRequest(limit=1, pagination_token=first.pagination.next))[0]
    assert MessageToDict(second) == {"vectors": [{"id": "b"}], "namespace": "__default__", "usage": USAGE}
    assert answer(grpc, "List", pb.ListRequest(prefix="b"))["vectors"] == [{"id": "b"}]


def test_stats(grpc):
    response, _ = grpc.call("DescribeIndexStats", pb.DescribeIndexStatsRequest())
    assert {name: summary.vector_count for name, summary in response.namespaces.items()} == {
        "__default__": 2,
        "other": 1,
    }
    assert (response.total_vector_count, response.dimension, response.index_fullness) == (3, 2, 0)
    assert (response.metric, response.vector_type) == ("dotproduct", "dense")


def test_stats_of_a_sparse_index():
    response, _ = Grpc(data_plane(None)).call("DescribeIndexStats", pb.DescribeIndexStatsRequest())
    assert not response.HasField("dimension")
    assert (response.metric, response.vector_type) == ("dotproduct", "sparse")


def test_namespaces(grpc):
    create = pb.CreateNamespaceRequest(name="new")
    create.schema.fields["genre"].filterable = True
    created = grpc.call("CreateNamespace", create)[0]
    assert (created.name, created.record_count, list(created.indexed_fields.fields)) == ("new", 0, ["genre"])
    assert created.schema.fields["genre"].filterable
    assert grpc.call("DescribeNamespace", pb.DescribeNamespaceRequest(namespace="new"))[0] == created
    page = grpc.call("ListNamespaces", pb.ListNamespacesRequest(limit=2))[0]
    assert ([each.name for each in page.namespaces], page.total_count) == (["__default__", "new"], 3)
    token = page.pagination.next
    page = grpc.call("ListNamespaces", pb.ListNamespacesRequest(limit=2, pagination_token=token))[0]
    assert ([each.name for each in page.namespaces], page.HasField("pagination")) == (["other"], False)
    assert grpc.call("ListNamespaces", pb.ListNamespacesRequest(prefix="n"))[0].total_count == 1
    assert WROTE in grpc.call("DeleteNamespace", pb.DeleteNamespaceRequest(namespace="new"))[1]
    with pytest.raises(GrpcError) as refused:
        grpc.call("DescribeNamespace", pb.DescribeNamespaceRequest(namespace="new"))
    assert (refused.value.code, refused.value.message) == (5, "Namespace not found")
    described = grpc.call("DescribeNamespace", pb.DescribeNamespaceRequest(namespace="other"))[0]
    assert (described.record_count, described.size_bytes) == (1, 9)


@pytest.mark.parametrize(("version", "name"), [(None, ""), ("2025-04", ""), ("2025-10", "__default__")])
def test_the_name_of_the_default_namespace(version, name):
    grpc = Grpc(data_plane(), version)
    grpc.call("Upsert", pb.UpsertRequest(vectors=[record("a")], namespace="__default__"))
    for method, request in (
        ("Query", pb.QueryRequest(top_k=1, id="a")),
        ("Fetch", pb.FetchRequest(ids=["a"], namespace="__default__")),
        ("List", pb.ListRequest()),
        ("FetchByMetadata", filled(pb.FetchByMetadataRequest(), filter={"x": {"$exists": False}})),
    ):
        assert grpc.call(method, request)[0].namespace == name
    assert list(grpc.call("DescribeIndexStats", pb.DescribeIndexStatsRequest())[0].namespaces) == [name]


@pytest.mark.parametrize("version", [None, "2025-04", "2025-10", "2026-07"])
@pytest.mark.parametrize("asked", ["", "__default__"])
def test_the_default_namespace_is_listed_and_described_by_one_name(version, asked):
    grpc = Grpc(data_plane(), version)
    describe = pb.DescribeNamespaceRequest(namespace=asked)
    assert not grpc.call("ListNamespaces", pb.ListNamespacesRequest())[0].namespaces
    assert grpc.call("DescribeNamespace", describe)[0].name == "__default__"
    grpc.call("Upsert", pb.UpsertRequest(vectors=[record("a")], namespace=asked))
    listed = grpc.call("ListNamespaces", pb.ListNamespacesRequest())[0].namespaces
    assert [each.name for each in listed] == ["__default__"]
    assert grpc.call("DescribeNamespace", describe)[0].name == "__default__"


@pytest.mark.parametrize(
    ("method", "request_", "code", "text"),
    [
        ("Upsert", pb.UpsertRequest(), 3, "at least one vector"),
        ("Upsert", pb.UpsertRequest(vectors=[record("a", (1,))]), 3, "Vector dimension 1 does not match the dimension"),
        ("Upsert", pb.UpsertRequest(vectors=[record("a", (0, 0))]), 3, "at least one non-zero value"),
        ("Upsert", pb.UpsertRequest(vectors=[record("a", (float("nan"), 0))]), 3, "finite"),
        ("Upsert", pb.UpsertRequest(vectors=[record("a", x=None)]), 3, "got 'null' for field 'x'"),
        ("Upsert", pb.UpsertRequest(vectors=[record("a", x={"n": 10})]), 3, "got '{\"n\":10.0}' for field 'x'"),
        ("Upsert", pb.UpsertRequest(vectors=[record("é")]), 3, "Vector ID must be ASCII"),
        ("Upsert", pb.UpsertRequest(vectors=[record("a")] * 1001), 3, "1001 vectors"),
        ("Query", pb.QueryRequest(vector=[1, 1]), 3, "top_k must be between"),
        ("Query", pb.QueryRequest(top_k=1), 3, "Either 'vector' or 'ID' must be provided"),
        ("Query", pb.QueryRequest(top_k=1, id="a", vector=[1, 1]), 3, "Cannot provide both 'ID' and 'vector'"),
        ("Fetch", pb.FetchRequest(), 3, "at least one ID"),
        ("FetchByMetadata", pb.FetchByMetadataRequest(), 3, "Empty filter provided"),
        ("FetchByMetadata", filled(pb.FetchByMetadataRequest(), filter={}), 3, "Empty filter provided"),
        ("Update", pb.UpdateRequest(values=[1, 1]), 3, "Either 'id' or 'filter'"),
        ("Update", filled(pb.UpdateRequest(), filter={}), 3, "Update with empty metadata filter is not allowed"),
        ("Delete", pb.DeleteRequest(), 3, "ids, a filter or delete_all"),
        ("Delete", filled(pb.DeleteRequest(), filter={}), 3, "Delete with empty metadata filter is not allowed"),
        ("Delete", pb.DeleteRequest(ids=["a"], namespace="nowhere"), 5, "Namespace not found"),
        ("List", pb.ListRequest(limit=101), 3, "limit must be between 1 and 100"),
        ("List", pb.ListRequest(pagination_token="é"), 3, "Invalid pagination token"),
        ("DescribeIndexStats", filled(pb.DescribeIndexStatsRequest(), filter={"a": 1}), 3, "metadata filtering"),
        ("CreateNamespace", pb.CreateNamespaceRequest(), 3, "always exists"),
        ("CreateNamespace", pb.CreateNamespaceRequest(name="other"), 6, "already exists"),
        ("DescribeNamespace", pb.DescribeNamespaceRequest(namespace="nowhere"), 5, "Namespace not found"),
        ("DeleteNamespace", pb.DeleteNamespaceRequest(namespace="nowhere"), 5, "Namespace not found"),
    ],
)
def test_refusals(grpc, method, request_, code, text):
    stats = pb.DescribeIndexStatsRequest()
    before = grpc.call("DescribeIndexStats", stats)[0]
    with pytest.raises(GrpcError) as refused:
        grpc.call(method, request_)
    assert refused.value.code == code
    assert text in refused.value.message
    assert grpc.call("DescribeIndexStats", stats)[0] == before


@pytest.mark.parametrize(
    "path", ["/VectorService/Nothing", "/VectorService/", "/Other/Query", "/", "", "/VectorService/Query/"]
)
def test_a_method_that_is_not_there(path):
    with pytest.raises(UnimplementedError, match=f"^Method {path} is not supported$"):
        GrpcRoutes(data_plane()).call(path, frame([b""]), {})
