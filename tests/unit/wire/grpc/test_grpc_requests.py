import numpy as np
import pytest

from pinyon.errors import InvalidArgumentError
from pinyon.service import requests as service
from pinyon.wire.grpc import requests
from tests.grpc_stubs import messages

pb = messages()
SPARSE = pb.SparseValues(indices=[5, 2**32 - 1], values=[0.5, 2.0])


def filled(message, **structs):
    for name, value in structs.items():
        getattr(message, name).update(value)
        getattr(message, name).SetInParent()
    return message.SerializeToString()


@pytest.mark.parametrize(
    ("request_", "body", "expected"),
    [
        (requests.QUERY, b"", service.Query(namespace="", top_k=0)),
        (
            requests.QUERY,
            filled(
                pb.QueryRequest(namespace="n", top_k=3, include_values=True, include_metadata=True, id="a"),
                filter={"$and": [{"a": {"$gt": 1}}, {"b": None}]},
            ),
            service.Query("n", 3, None, None, "a", {"$and": [{"a": {"$gt": 1.0}}, {"b": None}]}, True, True),
        ),
        (
            requests.FETCH,
            pb.FetchRequest(ids=["a", ""], namespace="n").SerializeToString(),
            service.Fetch("n", ["a", ""]),
        ),
        (requests.FETCH, b"", service.Fetch("", [])),
        (
            requests.FETCH_BY_METADATA,
            filled(pb.FetchByMetadataRequest(namespace="n", limit=5, pagination_token="t"), filter={"a": "b"}),
            service.FetchByMetadata("n", {"a": "b"}, 5, "t"),
        ),
        (requests.FETCH_BY_METADATA, b"", service.FetchByMetadata("", {})),
        (
            requests.UPDATE,
            filled(pb.UpdateRequest(id="a", namespace="n", dry_run=True), set_metadata={"x": 1}, filter={}),
            service.Update("n", "a", {}, None, None, {"x": 1.0}, True),
        ),
        (requests.DELETE, pb.DeleteRequest(ids=["a"], namespace="n").SerializeToString(), service.Delete("n", ["a"])),
        (requests.DELETE, filled(pb.DeleteRequest(delete_all=True), filter={}), service.Delete("", [], {}, True)),
        (
            requests.LIST,
            pb.ListRequest(prefix="p", limit=7, pagination_token="t", namespace="n").SerializeToString(),
            service.ListIds("n", "p", 7, "t"),
        ),
        (requests.LIST, b"", service.ListIds("")),
        (requests.DESCRIBE_INDEX_STATS, b"", service.DescribeStats()),
        (requests.DESCRIBE_INDEX_STATS, filled(pb.DescribeIndexStatsRequest(), filter={}), service.DescribeStats({})),
        (
            requests.LIST_NAMESPACES,
            pb.ListNamespacesRequest(pagination_token="t", limit=2, prefix="p").SerializeToString(),
            service.ListNamespaces("p", 2, "t"),
        ),
        (
            requests.CREATE_NAMESPACE,
            pb.CreateNamespaceRequest(name="n").SerializeToString(),
            service.CreateNamespace("n"),
        ),
        (requests.NAMESPACE_NAME, pb.DescribeNamespaceRequest(namespace="n").SerializeToString(), "n"),
        (requests.NAMESPACE_NAME, b"", ""),
    ],
)
def test_requests_become_those_of_the_service(request_, body, expected):
    assert request_.decode(body) == expected
    assert request_.decode(memoryview(body)) == expected


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (requests.QUERY, pb.QueryRequest(vector=[1.0, 2.5], sparse_vector=SPARSE)),
        (requests.UPDATE, pb.UpdateRequest(values=[1.0, 2.5], sparse_values=SPARSE)),
    ],
)
def test_vectors_become_arrays(request_, message):
    decoded = request_.decode(message.SerializeToString())
    assert decoded.dense.dtype == np.float32
    assert decoded.dense.tolist() == [1.0, 2.5]
    assert decoded.sparse.indices.tolist() == [5, 2**32 - 1]
    assert decoded.sparse.values.tolist() == [0.5, 2.0]


def test_floats_that_are_not_packed_are_read():
    dense = requests.QUERY.decode(b"\x3d\x00\x00\x80\x3f\x3a\x04\x00\x00\x00\x40").dense
    assert dense is not None
    assert dense.tolist() == [1.0, 2.0]


def test_the_schema_of_a_namespace_becomes_its_filterable_fields():
    message = pb.CreateNamespaceRequest(name="n")
    message.schema.fields["genre"].filterable = True
    assert requests.CREATE_NAMESPACE.decode(message.SerializeToString()).filterable_fields == ("genre",)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (pb.QueryRequest(queries=[pb.QueryVector()]), "'queries' is deprecated"),
        (pb.QueryRequest(scan_factor=2.0), "'scanFactor' is only supported for dedicated read capacity"),
        (pb.QueryRequest(max_candidates=100), "'maxCandidates' is only supported"),
        (pb.QueryRequest(sparse_vector=pb.SparseValues(indices=[1])), "got 1 indices and 0 values"),
    ],
)
def test_queries_that_are_not_supported_are_refused(message, text):
    with pytest.raises(InvalidArgumentError, match=text):
        requests.QUERY.decode(message.SerializeToString())


def test_a_schema_that_excludes_a_field_is_refused():
    message = pb.CreateNamespaceRequest(name="n")
    message.schema.fields["genre"].filterable = False
    with pytest.raises(InvalidArgumentError, match=r"Field 'genre' is set to .* Only filterable: true"):
        requests.CREATE_NAMESPACE.decode(message.SerializeToString())


@pytest.mark.parametrize("metadata", [{"a": None}, {"a": {"b": 1}}, {"$a": 1}])
def test_metadata_of_an_update_obeys_the_rules(metadata):
    with pytest.raises(InvalidArgumentError, match="Metadata"):
        requests.UPDATE.decode(filled(pb.UpdateRequest(id="a"), set_metadata=metadata))


@pytest.mark.parametrize("body", [b"\x0a", b"\x0a\x05a", b"\x12\x01a", b"\x0a\x01\xff", b"\x3a\x03abc"])
def test_malformed_bytes_are_refused(body):
    with pytest.raises(InvalidArgumentError, match="malformed"):
        requests.QUERY.decode(body)
