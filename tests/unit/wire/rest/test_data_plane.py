"""The data plane over REST: what each endpoint takes, answers and refuses."""

from typing import Any
from urllib.parse import quote, quote_plus

import numpy as np
import pytest

from pinyon.model.metric import Metric
from tests.codecs import Rest, data_plane, ok, refused

A: dict[str, Any] = {
    "id": "a",
    "values": [1.0, 0.0],
    "metadata": {"genre": "drama", "year": 2020, "score": 0.5, "tags": ["x"], "ok": True},
}
B: dict[str, Any] = {"id": "b", "values": [0.0, 2.0]}
USAGE = {"readUnits": 1}
ODD_ID = "".join(map(chr, range(1, 128)))
REAL_MAX = float(np.finfo(np.float32).max)


@pytest.fixture
def rest() -> Rest:
    """A cosine index of dimension 2 with a record in each of two namespaces."""
    rest = Rest(data_plane())
    ok(rest.post("/vectors/upsert", {"vectors": [A]}))
    ok(rest.post("/vectors/upsert", {"vectors": [B], "namespace": "a/b c"}))
    return rest


@pytest.fixture
def hybrid() -> Rest:
    return Rest(data_plane(metric=Metric.DOTPRODUCT))


# Answers have all their keys.


def test_upsert(rest):
    answer = rest.post("/vectors/upsert", {"vectors": [A, B], "namespace": ""})
    assert (answer.status, answer.body) == (200, {"upsertedCount": 2})
    assert answer.headers == {"x-pinecone-request-lsn": "3"}


def test_query(rest):
    answer = rest.post("/query", {"topK": 1, "vector": [0.0, 3.0]})
    assert ok(answer) == {
        "results": [],
        "matches": [{"id": "a", "score": 0.0, "values": []}],
        "namespace": "__default__",
        "usage": USAGE,
    }
    assert answer.headers == {"x-pinecone-max-indexed-lsn": "2"}


def test_query_with_everything(rest):
    body = {"topK": 1, "vector": [1, 0], "includeValues": True, "includeMetadata": True}
    assert ok(rest.post("/query", body))["matches"] == [A | {"score": 1.0}]
    body |= {"namespace": "a/b c", "vector": [0, 1]}
    assert ok(rest.post("/query", body))["matches"] == [B | {"score": 1.0}]


def test_query_without_a_match(rest):
    for body in ({"id": "unknown"}, {"vector": [1, 1], "namespace": "nowhere"}, {"vector": [1, 1], "filter": {"x": 1}}):
        answer = ok(rest.post("/query", {"topK": 5} | body))
        assert answer["matches"] == []
        assert set(answer) == {"results", "matches", "namespace", "usage"}


def test_fetch(rest):
    answer = rest.get("/vectors/fetch?ids=a&ids=nothing&ids=a")
    assert ok(answer) == {"vectors": {"a": A}, "namespace": "__default__", "usage": USAGE}
    assert answer.headers == {"x-pinecone-max-indexed-lsn": "2"}
    assert ok(rest.get("/vectors/fetch?ids=a&namespace=nowhere")) == {
        "vectors": {},
        "namespace": "nowhere",
        "usage": USAGE,
    }


def test_fetch_of_sparse_values(hybrid):
    record: dict[str, Any] = {
        "id": "s",
        "values": [1.0, 1.0],
        "sparseValues": {"indices": [7, 4294967295], "values": [0.5, -1.0]},
    }
    ok(hybrid.post("/vectors/upsert", {"vectors": [record]}))
    assert ok(hybrid.get("/vectors/fetch?ids=s"))["vectors"] == {"s": record}
    included = ok(hybrid.post("/query", {"topK": 1, "id": "s", "includeValues": True}))["matches"][0]
    assert included == record | {"score": 3.25}
    bare = ok(hybrid.post("/query", {"topK": 1, "id": "s"}))["matches"][0]
    assert set(bare) == {"id", "score", "values"}


def test_fetch_by_metadata(rest):
    answer = rest.post("/vectors/fetch_by_metadata", {"filter": {"year": 2020}})
    assert ok(answer) == {"vectors": {"a": A}, "namespace": "__default__", "usage": USAGE}
    assert answer.headers == {"x-pinecone-max-indexed-lsn": "2"}
    ok(rest.post("/vectors/upsert", {"vectors": [B | {"metadata": A["metadata"]}]}))
    first = ok(rest.post("/vectors/fetch_by_metadata", {"filter": {"year": 2020}, "limit": 1}))
    assert list(first["vectors"]) == ["a"]
    token = first["pagination"]["next"]
    second = ok(
        rest.post("/vectors/fetch_by_metadata", {"filter": {"year": 2020}, "limit": 1, "paginationToken": token})
    )
    assert list(second["vectors"]) == ["b"]
    assert "pagination" not in second


def test_update(rest):
    answer = rest.post("/vectors/update", {"id": "a", "setMetadata": {"year": 2021}, "values": [3, 4]})
    assert (answer.status, answer.body, answer.headers) == (200, {}, {"x-pinecone-request-lsn": "3"})
    record = ok(rest.get("/vectors/fetch?ids=a"))["vectors"]["a"]
    assert record["metadata"] == A["metadata"] | {"year": 2021}
    assert record["values"] == [3.0, 4.0]
    assert ok(rest.post("/vectors/update", {"id": "unknown", "values": [1, 1]})) == {}


def test_update_by_filter(rest):
    body = {"filter": {"year": 2020}, "setMetadata": {"seen": True}}
    assert ok(rest.post("/vectors/update", body | {"dryRun": True})) == {"matchedRecords": 1}
    assert ok(rest.post("/vectors/update", body)) == {"matchedRecords": 1}
    assert ok(rest.post("/vectors/update", body | {"filter": {"year": 1}})) == {"matchedRecords": 0}


@pytest.mark.parametrize("body", [{"ids": ["a", "unknown"]}, {"deleteAll": True}, {"filter": {"genre": "drama"}}])
def test_delete(rest, body):
    answer = rest.post("/vectors/delete", body)
    assert (answer.status, answer.body, answer.headers) == (200, {}, {"x-pinecone-request-lsn": "3"})
    assert ok(rest.get("/vectors/list"))["vectors"] == []


@pytest.mark.parametrize("query", ["ids=a&ids=b", "deleteAll=true", "delete_all=True"])
def test_delete_by_parameters(rest, query):
    assert ok(rest.send("DELETE", f"/vectors/delete?{query}&namespace=")) == {}
    assert ok(rest.get("/vectors/list"))["vectors"] == []


def test_list(rest):
    ids = [{"id": id_} for id_ in ("p/1", "p/2", "p/3")]
    ok(rest.post("/vectors/upsert", {"vectors": [each | {"values": [1, 1]} for each in ids]}))
    everything = ok(rest.get("/vectors/list?prefix=p%2F&limit=3"))
    assert everything == {"vectors": ids, "namespace": "__default__", "usage": USAGE}
    page = ok(rest.get("/vectors/list?prefix=p/&limit=2"))
    assert page["vectors"] == ids[:2]
    for spelling in ("paginationToken", "pagination_token"):
        rest_of_it = ok(rest.get(f"/vectors/list?prefix=p/&limit=2&{spelling}={quote(page['pagination']['next'])}"))
        assert rest_of_it == everything | {"vectors": ids[2:]}


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_stats(rest, method):
    assert ok(rest.send(method, "/describe_index_stats", {} if method == "POST" else None)) == {
        "namespaces": {"__default__": {"vectorCount": 1}, "a/b c": {"vectorCount": 1}},
        "indexFullness": 0,
        "totalVectorCount": 2,
        "dimension": 2,
        "metric": "cosine",
        "vectorType": "dense",
    }


def test_stats_of_an_empty_sparse_index():
    stats = ok(Rest(data_plane(None)).post("/describe_index_stats", {"filter": {}}))
    assert "dimension" not in stats
    assert (stats["namespaces"], stats["totalVectorCount"], stats["vectorType"]) == ({}, 0, "sparse")


def test_namespaces(rest):
    created = {"name": "new", "record_count": "0"}
    assert ok(rest.post("/namespaces", {"name": "new"})) == created
    assert ok(rest.get("/namespaces/new")) == created
    assert ok(rest.get("/namespaces?prefix=n")) == {"namespaces": [created], "total_count": 1}
    page = ok(rest.get("/namespaces?limit=2"))
    assert [each["name"] for each in page["namespaces"]] == ["__default__", "a/b c"]
    assert page["total_count"] == 3
    last = ok(rest.get(f"/namespaces?limit=2&paginationToken={quote(page['pagination']['next'])}"))
    assert last == {"namespaces": [created], "total_count": 3}
    answer = rest.send("DELETE", "/namespaces/new")
    assert (answer.status, answer.body) == (200, {})
    assert "x-pinecone-request-lsn" in answer.headers
    refused(rest.get("/namespaces/new"), "Namespace not found", 404, 5)


def test_the_schema_of_a_namespace(rest):
    body = {"name": "new", "schema": {"fields": {"genre": {"filterable": True}}}}
    created = ok(rest.post("/namespaces", body))
    assert created == {
        "name": "new",
        "record_count": "0",
        "schema": {"fields": {"genre": {"filterable": True}}},
        "indexed_fields": {"fields": ["genre"]},
    }
    assert ok(rest.get("/namespaces/new")) == created


@pytest.mark.parametrize("schema", [None, {}, {"fields": None}, {"fields": {}}])
def test_a_schema_without_fields_is_no_schema(rest, schema):
    created = ok(rest.post("/namespaces", {"name": "new", "schema": schema}))
    assert created == {"name": "new", "record_count": "0"}


# Versions.


@pytest.mark.parametrize(
    ("version", "name"),
    [(None, ""), ("2024-07", ""), ("2025-04", ""), ("2025-10", "__default__"), ("2026-07", "__default__")],
)
def test_the_name_of_the_default_namespace(version, name):
    rest = Rest(data_plane(), version)
    ok(rest.post("/vectors/upsert", {"vectors": [A], "namespace": "__default__"}))
    ok(rest.post("/vectors/upsert", {"vectors": [A], "namespace": ""}))
    assert list(ok(rest.post("/describe_index_stats", {}))["namespaces"]) == [name]
    for asked in ("", "__default__"):
        assert ok(rest.post("/query", {"topK": 1, "id": "a", "namespace": asked}))["namespace"] == name
        assert ok(rest.get(f"/vectors/fetch?ids=a&namespace={asked}"))["namespace"] == name
        assert ok(rest.get(f"/vectors/list?namespace={asked}"))["namespace"] == name
        fetched = ok(rest.post("/vectors/fetch_by_metadata", {"filter": {"year": 2020}, "namespace": asked}))
        assert fetched["namespace"] == name


@pytest.mark.parametrize("version", [None, "2025-04", "2025-10", "2026-07"])
def test_the_default_namespace_is_listed_and_described_by_one_name(version):
    rest = Rest(data_plane(), version)
    assert ok(rest.get("/namespaces"))["namespaces"] == []
    assert ok(rest.get("/namespaces/__default__"))["name"] == "__default__"
    ok(rest.post("/vectors/upsert", {"vectors": [A]}))
    assert [each["name"] for each in ok(rest.get("/namespaces"))["namespaces"]] == ["__default__"]
    assert ok(rest.get("/namespaces/__default__"))["name"] == "__default__"


@pytest.mark.parametrize(("version", "shown"), [("2025-10", False), ("2026-04", False), ("2026-07", True)])
def test_the_size_of_a_namespace_is_shown_from_2026_07_on(version, shown):
    rest = Rest(data_plane(), version)
    ok(rest.post("/vectors/upsert", {"vectors": [B], "namespace": "n"}))
    described = ok(rest.get("/namespaces/n"))
    assert described["record_count"] == "1"
    assert ("size_bytes" in described) == shown
    assert described.get("size_bytes", "9") == "9"


# Forms of requests.


@pytest.mark.parametrize(
    "body",
    [
        {"topK": 1, "vector": [1, 0], "includeValues": True, "includeMetadata": True},
        {"top_k": 1, "vector": [1, 0], "include_values": True, "include_metadata": True},
        {"topK": 1.0, "vector": [1.0, 0.0], "includeValues": True, "includeMetadata": True},
        {"topK": "1", "vector": [1, 0], "includeValues": True, "includeMetadata": True},
        {"topK": "1.0", "vector": [1, 0], "includeValues": True, "includeMetadata": True},
        {"topK": 1, "id": "a", "vector": [], "includeValues": True, "includeMetadata": True},
        {"topK": 1, "id": "a", "vector": None, "sparseVector": None, "includeValues": True, "includeMetadata": True},
        {"topK": 1, "id": "", "vector": [1, 0], "includeValues": True, "includeMetadata": True},
        {"topK": 1, "id": None, "filter": None, "namespace": None, "vector": [1, 0], "includeValues": True,
         "includeMetadata": True, "queries": []},
        {"topK": 1, "vector": [1, 0], "sparseVector": {"indices": [], "values": []}, "includeValues": True,
         "includeMetadata": True},
        {"topK": 1, "vector": [1, 0], "sparse_vector": {}, "includeValues": True, "includeMetadata": True},
    ],
)  # fmt: skip
def test_a_query_may_be_written_in_many_ways(rest, body):
    assert ok(rest.post("/query", body))["matches"] == [A | {"score": 1.0}]


@pytest.mark.parametrize(
    "body",
    [
        {"id": "a", "set_metadata": {"year": 1}, "dry_run": False},
        {
            "id": "a",
            "setMetadata": {"year": 1, "genre": None},
            "values": [],
            "sparseValues": {"indices": [], "values": []},
        },
        {"id": "a", "setMetadata": {"year": 1}, "values": None, "sparse_values": None, "filter": None},
    ],
)
def test_an_update_may_be_written_in_many_ways(rest, body):
    assert ok(rest.post("/vectors/update", body)) == {}
    record = ok(rest.get("/vectors/fetch?ids=a"))["vectors"]["a"]
    assert record == A | {"metadata": A["metadata"] | {"year": 1}}


def test_sparse_values_of_an_update_by_filter_may_be_empty(rest):
    body = {
        "filter": {"year": 2020},
        "setMetadata": {"x": 1},
        "values": [],
        "sparseValues": {"indices": [], "values": []},
    }
    assert ok(rest.post("/vectors/update", body)) == {"matchedRecords": 1}


def test_a_sparse_query_without_values_is_none():
    answer = Rest(data_plane(None)).post("/query", {"topK": 1, "sparseVector": {"indices": [], "values": []}})
    refused(answer, "Either 'sparse_vector' or 'ID' must be provided")


@pytest.mark.parametrize(
    "id_", [ODD_ID, "a/b", "%2F", "a b+c", "'\"`", "..", "/", "&ids=x", "\x01", "\x7f", "#?", "x" * 512]
)
def test_odd_ids_come_back(rest, id_):
    ok(rest.post("/vectors/upsert", {"vectors": [{"id": id_, "values": [1, 1]}], "namespace": id_}))
    for escape in (lambda text: quote(text, safe=""), quote_plus):
        fetched = ok(rest.get(f"/vectors/fetch?ids={escape(id_)}&namespace={escape(id_)}"))
        assert list(fetched["vectors"]) == [id_]
        assert fetched["namespace"] == id_
        assert ok(rest.get(f"/vectors/list?namespace={escape(id_)}&prefix={escape(id_)}"))["vectors"] == [{"id": id_}]
    assert ok(rest.post("/query", {"topK": 1, "id": id_, "namespace": id_}))["matches"][0]["id"] == id_
    assert ok(rest.get(f"/namespaces/{quote(id_, safe='')}"))["name"] == id_
    ok(rest.post("/vectors/delete", {"ids": [id_], "namespace": id_}))
    assert ok(rest.get(f"/vectors/list?namespace={quote_plus(id_)}"))["vectors"] == []
    ok(rest.send("DELETE", f"/namespaces/{quote(id_, safe='')}"))


@pytest.mark.parametrize("path", ["a%2Fb%20c", "a/b%20c", "a%2fb%20c", "%61/b c"])
def test_a_namespace_in_a_path_may_be_escaped_or_not(rest, path):
    assert ok(rest.get(f"/namespaces/{path}"))["name"] == "a/b c"
    assert ok(rest.send("DELETE", f"/namespaces/{path}")) == {}


@pytest.mark.parametrize("name", ["documents", "a/documents/b", "x/documents/upsert"])
def test_a_namespace_may_look_like_the_path_of_documents(rest, name):
    ok(rest.post("/vectors/upsert", {"vectors": [B], "namespace": name}))
    assert ok(rest.get(f"/namespaces/{name}"))["name"] == name


def test_control_characters_and_unicode_in_metadata_come_back(rest):
    metadata = {"": "é", "\x00\n": ODD_ID, "漢": ["", "\U0001f600"], "_x": "", "none": []}
    ok(rest.post("/vectors/upsert", {"vectors": [B | {"metadata": metadata | {"gone": None}}]}))
    assert ok(rest.get("/vectors/fetch?ids=b"))["vectors"]["b"]["metadata"] == metadata


@pytest.mark.parametrize("metadata", [{}, None, {"a": None}])
def test_metadata_without_fields_is_not_shown(rest, metadata):
    ok(rest.post("/vectors/upsert", {"vectors": [B | {"metadata": metadata}]}))
    assert ok(rest.get("/vectors/fetch?ids=b"))["vectors"]["b"] == B


@pytest.mark.parametrize("number", [0, -1, 2020, 2**53, -(2**62), 0.1, -2.5, 1e300, 5e-324])
def test_numbers_of_metadata_come_back(rest, number):
    ok(rest.post("/vectors/upsert", {"vectors": [B | {"metadata": {"n": number}}]}))
    shown = ok(rest.get("/vectors/fetch?ids=b"))["vectors"]["b"]["metadata"]["n"]
    assert shown == number
    assert type(shown) is (int if abs(number) < 2**63 and number == int(number) else float)


@pytest.mark.parametrize("metric", Metric)
def test_scores_are_numbers_whatever_the_vectors(metric):
    rest = Rest(data_plane(metric=metric))
    vectors = [{"id": str(sign), "values": [sign * REAL_MAX, REAL_MAX]} for sign in (1, -1)]
    ok(rest.post("/vectors/upsert", {"vectors": vectors}))
    matches = ok(rest.post("/query", {"topK": 2, "vector": [REAL_MAX, REAL_MAX]}))["matches"]
    assert [type(match["score"]) for match in matches] == [float, float]
