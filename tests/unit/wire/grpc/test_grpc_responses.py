"""Every response is read back by the official protobuf package."""

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict

from pinyon.model.metric import Metric, VectorType
from pinyon.model.namespace import NamespaceDescription
from pinyon.model.record import Match, Record, SparseVector
from pinyon.protobuf.struct import encode_metadata
from pinyon.service.requests import Fetched, IdPage, IndexStats, Matches, NamespacePage, Written
from pinyon.wire.grpc import responses
from tests.grpc_stubs import messages

pb = messages()

DENSE = np.array([1.0, 2.5], np.float32)
SPARSE = SparseVector(np.array([0, 300, 2**32 - 1], np.uint32), np.array([0.5, 1.0, -1.0], np.float32))
METADATA = encode_metadata({"a": "b", "n": 2.0})
FULL = {
    "values": [1.0, 2.5],
    "metadata": {"a": "b", "n": 2.0},
    "sparse_values": {"indices": [0, 300, 2**32 - 1], "values": [0.5, 1.0, -1.0]},
}


def shown(parts, message):
    return MessageToDict(message.FromString(b"".join(parts)), preserving_proto_field_name=True)


def test_upserts_are_counted():
    assert shown(responses.encode_upsert(Written(1, 300)), pb.UpsertResponse) == {"upserted_count": 300}


@pytest.mark.parametrize(("count", "expected"), [(None, {}), (0, {"matched_records": 0}), (3, {"matched_records": 3})])
def test_matched_records_are_shown_where_they_were_counted(count, expected):
    assert shown(responses.encode_update(Written(1, count)), pb.UpdateResponse) == expected


def test_a_deletion_has_an_empty_response():
    assert shown(responses.encode_empty(), pb.DeleteResponse) == {}


def test_matches_keep_their_order_and_show_what_they_have():
    matches = [Match("b", 0.5, DENSE, SPARSE, METADATA), Match("a", 0.0), Match("c", -1.0, DENSE[:0])]
    response = shown(responses.encode_matches(Matches(1, "ns", matches), "__default__"), pb.QueryResponse)
    assert response == {
        "matches": [{"id": "b", "score": 0.5, **FULL}, {"id": "a"}, {"id": "c", "score": -1.0}],
        "namespace": "ns",
        "usage": {"read_units": 1},
    }


def test_rows_of_a_strided_matrix_are_written_in_order():
    match = Match("a", 1.0, np.arange(6, dtype=np.float32).reshape(2, 3).T[1])
    response = pb.QueryResponse.FromString(b"".join(responses.encode_matches(Matches(1, "", [match]), "")))
    assert list(response.matches[0].values) == [1.0, 4.0]


@pytest.mark.parametrize("message", [pb.FetchResponse, pb.FetchByMetadataResponse])
def test_fetched_records_are_a_map_by_id(message):
    records = [Record("a", DENSE, SPARSE, METADATA), Record("b", DENSE, None, b"")]
    response = shown(responses.encode_fetched(Fetched(1, "", records), "__default__"), message)
    assert response == {
        "vectors": {"a": {"id": "a", **FULL}, "b": {"id": "b", "values": [1.0, 2.5]}},
        "namespace": "__default__",
        "usage": {"read_units": 1},
    }


def test_a_page_of_records_names_the_next():
    parts = responses.encode_fetched(Fetched(1, "n", [], "token"), "")
    assert shown(parts, pb.FetchByMetadataResponse)["pagination"] == {"next": "token"}


def test_a_page_of_ids_names_the_next_only_where_there_is_one():
    page = shown(responses.encode_id_page(IdPage(1, "n", ["a", "b"], "token"), ""), pb.ListResponse)
    assert page == {
        "vectors": [{"id": "a"}, {"id": "b"}],
        "pagination": {"next": "token"},
        "namespace": "n",
        "usage": {"read_units": 1},
    }
    assert "pagination" not in shown(responses.encode_id_page(IdPage(1, "n", []), ""), pb.ListResponse)


@pytest.mark.parametrize("namespace", ["", "__default__"])
@pytest.mark.parametrize("default", ["", "__default__"])
def test_the_default_namespace_is_shown_as_the_version_of_the_caller_does(namespace, default):
    response = shown(responses.encode_matches(Matches(1, namespace, []), default), pb.QueryResponse)
    assert response.get("namespace", "") == default


def test_stats_count_records_by_namespace():
    stats = IndexStats(1, {"__default__": 2, "n": 0}, 384, Metric.COSINE, VectorType.DENSE)
    assert shown(responses.encode_stats(stats, ""), pb.DescribeIndexStatsResponse) == {
        "namespaces": {"": {"vector_count": 2}, "n": {}},
        "dimension": 384,
        "total_vector_count": 2,
        "metric": "cosine",
        "vector_type": "dense",
    }


def test_stats_of_a_sparse_index_have_no_dimension():
    stats = IndexStats(1, {}, None, Metric.DOTPRODUCT, VectorType.SPARSE)
    response = pb.DescribeIndexStatsResponse.FromString(b"".join(responses.encode_stats(stats, "")))
    assert not response.HasField("dimension")
    assert response.vector_type == "sparse"


def test_namespaces_are_described():
    page = NamespacePage(
        [NamespaceDescription("n", 2**40, 2**41, ("a", "b")), NamespaceDescription("__default__", 0, 0, None)],
        7,
        "token",
    )
    assert shown(responses.encode_namespace_page(page), pb.ListNamespacesResponse) == {
        "namespaces": [
            {
                "name": "n",
                "record_count": str(2**40),
                "schema": {"fields": {"a": {"filterable": True}, "b": {"filterable": True}}},
                "indexed_fields": {"fields": ["a", "b"]},
                "size_bytes": str(2**41),
            },
            {"name": "__default__"},
        ],
        "pagination": {"next": "token"},
        "total_count": 7,
    }
