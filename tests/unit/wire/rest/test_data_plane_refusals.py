"""The data plane over REST: what it refuses, with its texts, and that nothing changes by it."""

import json
from typing import Any

import pytest

from tests.codecs import Rest, data_plane, ok, refused

A: dict[str, Any] = {"id": "a", "values": [1.0, 0.0], "metadata": {"year": 2020}}
B: dict[str, Any] = {"id": "b", "values": [0.0, 2.0]}


@pytest.fixture
def rest() -> Rest:
    """A cosine index of dimension 2 with a record in each of two namespaces."""
    rest = Rest(data_plane())
    ok(rest.post("/vectors/upsert", {"vectors": [A]}))
    ok(rest.post("/vectors/upsert", {"vectors": [B], "namespace": "a/b c"}))
    return rest


UPSERT, QUERY, UPDATE, DELETE = "/vectors/upsert", "/query", "/vectors/update", "/vectors/delete"
FETCH_BY_METADATA, STATS, NAMESPACES = "/vectors/fetch_by_metadata", "/describe_index_stats", "/namespaces"
OF_NUMBERS = "expected a list of numbers"
DIMENSION = "Vector dimension {} does not match the dimension of the index 2"


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        (UPSERT, {}, "at least one vector"),
        (UPSERT, {"vectors": []}, "at least one vector"),
        (UPSERT, {"vectors": None}, "at least one vector"),
        (UPSERT, {"vectors": "abc"}, "'vectors': expected a list"),
        (UPSERT, {"vectors": [[]]}, "must be an object"),
        (UPSERT, {"vectors": [None]}, "must be an object"),
        (UPSERT, {"vectors": [A | {"score": 1}]}, 'Unknown name "score" in vectors'),
        (UPSERT, {"vectors": [A], "name": 1}, 'Unknown name "name" in the request'),
        (UPSERT, {"vectors": [A], "namespace": 1}, "'namespace': expected a string"),
        (UPSERT, {"vectors": [{"values": [1, 1]}]}, "Vector ID must not be empty"),
        (UPSERT, {"vectors": [A | {"id": 1}]}, "'id': expected a string"),
        (UPSERT, {"vectors": [A | {"id": "a\0b"}]}, "Vector ID must be ASCII"),
        (UPSERT, {"vectors": [{"id": "x"}]}, DIMENSION.format(0)),
        (UPSERT, {"vectors": [A | {"values": None}]}, DIMENSION.format(0)),
        (UPSERT, {"vectors": [A | {"values": [1]}]}, DIMENSION.format(1)),
        (UPSERT, {"vectors": [A | {"values": [1, 2, 3]}]}, DIMENSION.format(3)),
        (UPSERT, {"vectors": [A | {"values": "12"}]}, OF_NUMBERS),
        (UPSERT, {"vectors": [A | {"values": [1, "2"]}]}, OF_NUMBERS),
        (UPSERT, {"vectors": [A | {"values": [True, 2]}]}, OF_NUMBERS),
        (UPSERT, {"vectors": [A | {"values": [None, 2]}]}, OF_NUMBERS),
        (UPSERT, {"vectors": [A | {"values": [[1], [2]]}]}, OF_NUMBERS),
        (UPSERT, {"vectors": [A | {"values": [[1, 2]]}]}, OF_NUMBERS),
        (UPSERT, {"vectors": [A | {"values": [1, [2]]}]}, OF_NUMBERS),
        (UPSERT, {"vectors": [A | {"values": [1, {}]}]}, OF_NUMBERS),
        (UPSERT, {"vectors": [A | {"values": {}}]}, OF_NUMBERS),
        (UPSERT, {"vectors": [A | {"values": [1e39, 1]}]}, "finite"),
        (UPSERT, {"vectors": [A | {"values": [0, 1e-9]}]}, "at least one non-zero value"),
        (UPSERT, {"vectors": [A | {"sparseValues": []}]}, "must be an object"),
        (UPSERT, {"vectors": [A | {"sparseValues": {"indices": [1]}}]}, "as many indices as values"),
        (UPSERT, {"vectors": [A | {"sparseValues": {"indices": [-1], "values": [1]}}]}, "between 0 and 4294967295"),
        (UPSERT, {"vectors": [A | {"sparseValues": {"indices": [2**32], "values": [1]}}]}, "between 0 and 4294967295"),
        (UPSERT, {"vectors": [A | {"sparseValues": {"indices": [1.5], "values": [1]}}]}, "'indices': expected an"),
        (UPSERT, {"vectors": [A | {"sparseValues": {"indices": [[1]], "values": [1]}}]}, OF_NUMBERS),
        (UPSERT, {"vectors": [A | {"sparseValues": {"indices": [1], "values": [[1]]}}]}, OF_NUMBERS),
        (UPSERT, {"vectors": [A | {"sparseValues": {"indices": [1, 1], "values": [1, 1]}}]}, "must be unique"),
        (UPSERT, {"vectors": [A | {"metadata": []}]}, "'metadata': expected an object"),
        (
            UPSERT,
            {"vectors": [A | {"metadata": {"f": [1, "x"]}}]},
            "Metadata value must be a string, number, boolean or list of strings, got '[1.0,\"x\"]' for field 'f'",
        ),
        (
            UPSERT,
            {"vectors": [A | {"metadata": {"f": {"n": 10}}}]},
            "Metadata value must be a string, number, boolean or list of strings, got '{\"n\":10.0}' for field 'f'",
        ),
        (UPSERT, {"vectors": [A | {"metadata": {"f": ["x", None]}}]}, "list of strings, got '[\"x\",null]'"),
        (UPSERT, {"vectors": [A | {"metadata": {"$f": 1}}]}, "Metadata field '$f' cannot start with '$'"),
        (UPSERT, {"vectors": [A | {"metadata": {"f": "x" * 41_000}}]}, "exceeds the limit of 40960 bytes"),
        (UPSERT, {"vectors": [{"id": str(n), "values": [1, 1]} for n in range(1001)]}, "1001 vectors"),
        (UPSERT, {"vectors": [{}] * 1001}, "1001 vectors"),
        (QUERY, {}, "must contain top_k"),
        (QUERY, {"vector": [1, 1]}, "must contain top_k"),
        (QUERY, {"topK": None, "vector": [1, 1]}, "must contain top_k"),
        (QUERY, {"topK": True, "vector": [1, 1]}, "'topK': expected an integer"),
        (QUERY, {"topK": [1], "vector": [1, 1]}, "'topK': expected an integer"),
        (QUERY, {"topK": "", "vector": [1, 1]}, "'topK': expected an integer"),
        (QUERY, {"topK": "nan", "vector": [1, 1]}, "'topK': expected an integer"),
        (QUERY, {"topK": "inf", "vector": [1, 1]}, "'topK': expected an integer"),
        (QUERY, {"topK": "²", "vector": [1, 1]}, "'topK': expected an integer"),
        (QUERY, {"topK": 1e300, "vector": [1, 1]}, "top_k must be between"),
        (QUERY, {"topK": 0, "vector": [1, 1]}, "top_k must be between 1 and 10000, but got 0"),
        (QUERY, {"topK": 1}, "Either 'vector' or 'ID' must be provided"),
        (QUERY, {"topK": 1, "vector": ""}, "'vector': expected a list of numbers"),
        (QUERY, {"topK": 1, "vector": {}}, "'vector': expected a list of numbers"),
        (QUERY, {"topK": 1, "vector": False}, "'vector': expected a list of numbers"),
        (QUERY, {"topK": 1, "vector": [[1], [2]]}, "'vector': expected a list of numbers"),
        (QUERY, {"topK": 1, "vector": [1]}, DIMENSION.format(1)),
        (QUERY, {"topK": 1, "vector": [1e39, 0]}, "finite"),
        (QUERY, {"topK": 1, "id": 1}, "'id': expected a string"),
        (QUERY, {"topK": 1, "id": "é"}, "Vector ID must be ASCII"),
        (QUERY, {"topK": 1, "id": "a", "vector": [1, 1]}, "Cannot provide both 'ID' and 'vector' at the same time."),
        (QUERY, {"topK": 1, "vector": [1, 1], "sparseVector": {"indices": [1], "values": [1]}}, "support sparse"),
        (QUERY, {"topK": 1, "sparseVector": {"indices": [1], "values": [1]}}, "with only sparse vector"),
        (QUERY, {"topK": 1, "vector": [1, 1], "includeValues": "true"}, "'includeValues': expected a boolean"),
        (QUERY, {"topK": 1, "vector": [1, 1], "include_metadata": 1}, "'includeMetadata': expected a boolean"),
        (QUERY, {"topK": 1, "vector": [1, 1], "filter": "x"}, "'filter': expected an object"),
        (QUERY, {"topK": 1, "vector": [1, 1], "filter": {"$and": []}}, "$and operator"),
        (QUERY, {"topK": 1, "vector": [1, 1], "queries": [{"values": [1, 1]}]}, "'queries' is deprecated"),
        (QUERY, {"topK": 1, "vector": [1, 1], "queries": 5}, "'queries'"),
        (QUERY, {"topK": 1, "vector": [1, 1], "queries": {"a": 1}}, "'queries'"),
        (QUERY, {"topK": 1, "vector": [1, 1], "scanFactor": 1}, "'scanFactor' is only supported"),
        (QUERY, {"topK": 1, "vector": [1, 1], "max_candidates": 10}, "'maxCandidates' is only supported"),
        (QUERY, {"topK": 1, "vector": [1, 1], "top-k": 1}, 'Unknown name "top-k" in the request: cannot find field.'),
        (UPDATE, {"values": [1, 1]}, "Either 'id' or 'filter' must be provided"),
        (UPDATE, {"id": "a", "values": ""}, "'values': expected a list of numbers"),
        (UPDATE, {"id": "a", "values": {}}, "'values': expected a list of numbers"),
        (UPDATE, {"id": "a", "values": [1]}, DIMENSION.format(1)),
        (UPDATE, {"id": "a", "setMetadata": {"f": {}}}, "got '{}' for field 'f'"),
        (UPDATE, {"id": "a", "metadata": {"f": 1}}, 'Unknown name "metadata"'),
        (UPDATE, {"filter": {}, "setMetadata": {"f": 1}}, "Update with empty metadata filter is not allowed"),
        (UPDATE, {"filter": {"f": 1}, "values": [1, 1]}, "does not support updating vector values."),
        (UPDATE, {"id": "a", "dryRun": "no"}, "'dryRun': expected a boolean"),
        (DELETE, {}, "ids, a filter or delete_all"),
        (DELETE, {"ids": []}, "ids, a filter or delete_all"),
        (DELETE, {"ids": "a"}, "'ids': expected a list"),
        (DELETE, {"ids": ["a", 1]}, "'ids': expected a list of strings"),
        (DELETE, {"ids": ["a"], "deleteAll": True}, "No explicit IDs allowed when delete_all=true"),
        (DELETE, {"deleteAll": "true"}, "'deleteAll': expected a boolean"),
        (DELETE, {"filter": {"filter": {"genre": "x"}}}, "illegal condition for field filter"),
        (FETCH_BY_METADATA, {}, "Empty filter provided for fetch by metadata request"),
        (FETCH_BY_METADATA, {"filter": {"a": 1}, "limit": 0}, "limit"),
        (FETCH_BY_METADATA, {"filter": {"a": 1}, "limit": 10_001}, "limit must be between 1 and 10000"),
        (FETCH_BY_METADATA, {"filter": {"a": 1}, "paginationToken": "é"}, "Invalid pagination token"),
        (STATS, {"filter": {"a": 1}}, "metadata filtering"),
        (STATS, {"filter": []}, "'filter': expected an object"),
        (NAMESPACES, {}, "always exists"),
        (NAMESPACES, {"name": "__default__"}, "always exists"),
        (NAMESPACES, {"name": "é"}, "ASCII"),
        (NAMESPACES, {"name": "n", "schema": []}, "schema must be an object"),
        (NAMESPACES, {"name": "n", "schema": {"fields": []}}, "'fields': expected an object"),
        (NAMESPACES, {"name": "n", "schema": {"fields": {"f": {"filterable": False}}}}, "Only filterable: true"),
        (NAMESPACES, {"name": "n", "schema": {"fields": {"f": {}}}}, "Only filterable: true"),
        (NAMESPACES, {"name": "n", "schema": {"other": {}}}, 'Unknown name "other" in schema'),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("/") else json.dumps(value)[:60],
)  # fmt: skip
def test_bodies_that_are_refused(rest, path, body, text):
    before = rest.post(STATS, {}).body, rest.get("/vectors/fetch?ids=a").body
    refused(rest.post(path, body), text)
    assert (rest.post(STATS, {}).body, rest.get("/vectors/fetch?ids=a").body) == before


@pytest.mark.parametrize("path", [UPSERT, QUERY, UPDATE, DELETE, FETCH_BY_METADATA, STATS, NAMESPACES])
@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"null", b"1", b'"a"', b"\xff", b"\0", b"{} {}", b'{"a":NaN}', b"[" * 10_000, b"{'a':1}"]
)
def test_bodies_that_are_no_object(rest, path, body):
    refused(rest.post(path, body), "Invalid JSON payload received")


@pytest.mark.parametrize("path", [UPSERT, QUERY, UPDATE, DELETE, FETCH_BY_METADATA, NAMESPACES])
def test_an_empty_body(rest, path):
    refused(rest.post(path, b""), "Invalid JSON payload received")


def test_a_body_of_stats_may_be_missing(rest):
    assert ok(rest.post(STATS, b"")) == ok(rest.post(STATS, {}))


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("/vectors/fetch", "at least one ID"),
        ("/vectors/fetch?ids=", "must not be empty"),
        ("/vectors/fetch?ids=%C3%A9", "ASCII"),
        ("/vectors/fetch?ids=%00", "ASCII"),
        ("/vectors/fetch?ids=%ff", "ASCII"),
        ("/vectors/fetch?" + "&".join(f"ids={n}" for n in range(1001)), "more than 1000 IDs"),
        ("/vectors/fetch?ids=a&namespace=%C3%A9", "ASCII"),
        ("/vectors/list?limit=0", "limit"),
        ("/vectors/list?limit=-1", "limit"),
        ("/vectors/list?limit=101", "limit must be between 1 and 100"),
        ("/vectors/list?limit=x", "'limit': expected an integer"),
        ("/vectors/list?limit=1.5", "'limit': expected an integer"),
        ("/vectors/list?limit=", "'limit': expected an integer"),
        ("/vectors/list?paginationToken=%C3%A9", "Invalid pagination token"),
        ("/namespaces?limit=101", "limit must be between 1 and 100"),
        ("/namespaces?paginationToken=x", "Invalid pagination token"),
        ("/namespaces/%C3%A9", "ASCII"),
        ("/namespaces/" + "x" * 513, "no longer than 512"),
    ],
)
def test_targets_that_are_refused(rest, target, text):
    refused(rest.get(target), text)


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", DELETE, {"ids": ["a"], "namespace": "nowhere"}),
        ("POST", DELETE, {"filter": {"a": 1}, "namespace": "nowhere"}),
        ("POST", DELETE, {"deleteAll": True, "namespace": "nowhere"}),
        ("GET", "/namespaces/nowhere", None),
        ("DELETE", "/namespaces/nowhere", None),
    ],
)
def test_a_namespace_that_is_not_there(rest, method, target, body):
    refused(rest.send(method, target, body), "Namespace not found", 404, 5)


def test_a_namespace_is_created_once(rest):
    refused(rest.post("/namespaces", {"name": "a/b c"}), "already exists", 409, 6)


@pytest.mark.parametrize("value", ["x", "1", "yes"])
def test_delete_all_as_a_parameter_is_a_boolean(rest, value):
    refused(rest.send("DELETE", f"/vectors/delete?deleteAll={value}"), "'deleteAll': expected a boolean")


@pytest.mark.parametrize(
    ("method", "path", "names"),
    [
        ("POST", "/namespaces/n/documents/upsert", "documents API"),
        ("POST", "/namespaces/a/b/documents/search", "documents API"),
        ("POST", "/bulk/imports", "imports"),
        ("GET", "/bulk/imports", "imports"),
        ("DELETE", "/bulk/imports/1", "imports"),
        ("GET", "/namespace-aliases", "aliases"),
        ("PATCH", "/namespace-aliases/x", "aliases"),
    ],
)
def test_what_is_not_built_says_so(rest, method, path, names):
    answer = rest.send(method, path, {} if method == "POST" else None)
    message = answer.body["message"] if "message" in answer.body else answer.body["error"]["message"]
    assert answer.status == 501
    assert names in message


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", UPSERT),
        ("PUT", QUERY),
        ("POST", "/vectors/fetch"),
        ("DELETE", "/describe_index_stats"),
        ("DELETE", "/namespaces"),
        ("PUT", "/namespaces/n"),
        ("PATCH", "/namespaces/a/b"),
    ],
)
def test_a_method_that_a_path_does_not_have(rest, method, path):
    refused(rest.send(method, path), f"{method} is not allowed for {path}", 405, 12)


@pytest.mark.parametrize("path", ["/vectors", "/vectors/upsert/", "/vectors/x", "/namespaces/", "/query/x", "/Query"])
def test_a_path_that_is_not_there(rest, path):
    refused(rest.post(path, {}) if path != "/Query" else rest.post("/query/", {}), "not found", 404, 5)
