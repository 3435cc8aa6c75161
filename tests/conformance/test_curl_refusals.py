"""What the server refuses: a 4xx in the right one of two shapes, Pinecone's text, and nothing changed. Never a 500."""

import json
from collections.abc import Iterator

import pytest

from tests.conformance.curl import Answer, Endpoint, control_plane, data_plane

pytestmark = pytest.mark.conformance

SERVERLESS = {"serverless": {"cloud": "aws", "region": "us-east-1"}}
GOOD = {"id": "good", "values": [1, 2, 3]}
UNTOUCHED = {"kept": {"vectorCount": 1}}


@pytest.fixture(scope="module")
def hosts(server) -> dict[str, str]:
    """A cosine index of dimension 3, and a sparse one; each with one record in the namespace "kept"."""
    control = control_plane(server)
    dense = {"name": "dense", "dimension": 3, "metric": "cosine", "spec": SERVERLESS}
    sparse = {"name": "sparse", "vector_type": "sparse", "metric": "dotproduct", "spec": SERVERLESS}
    records = {"dense": GOOD, "sparse": {"id": "good", "sparseValues": {"indices": [1], "values": [1]}}}
    hosts = {}
    for body in (dense, sparse):
        name = str(body["name"])
        hosts[name] = control.send("POST", "/indexes", body).json["host"]
        upsert = {"vectors": [records[name]], "namespace": "kept"}
        assert data_plane(server, hosts[name]).send("POST", "/vectors/upsert", upsert).status == 200
    return hosts


@pytest.fixture
def index(server, hosts) -> Iterator[Endpoint]:
    yield from tidied(data_plane(server, hosts["dense"]))


@pytest.fixture
def sparse_index(server, hosts) -> Iterator[Endpoint]:
    yield from tidied(data_plane(server, hosts["sparse"]))


def tidied(index: Endpoint) -> Iterator[Endpoint]:
    """The index; what a test leaves behind goes away, so that it fails no other test."""
    yield index
    for namespace in set(index.send("POST", "/describe_index_stats", {}).json["namespaces"]) - set(UNTOUCHED):
        index.send("POST", "/vectors/delete", {"deleteAll": True, "namespace": namespace})


def assert_refused(answer: Answer, text: str, *, status: int = 400, code: int = 3) -> None:
    """A refusal of the data plane: its shape, and a part of its text."""
    assert answer.status == status, f"{answer.status} {answer.text}"
    assert set(answer.json) == {"code", "message", "details"}
    assert (answer.json["code"], answer.json["details"]) == (code, [])
    assert text.lower() in answer.json["message"].lower()


def assert_untouched(index: Endpoint) -> None:
    """Only the record of the fixture is there."""
    assert index.send("POST", "/describe_index_stats", {}).json["namespaces"] == UNTOUCHED


SPARSE = {"indices": [1], "values": [1.0]}
VECTORS = [
    ({"values": [1, 2]}, "Vector dimension 2 does not match the dimension of the index 3"),
    ({"values": []}, ""),
    ({"values": [0, 0, 0]}, "Dense vectors must contain at least one non-zero value"),
    ({"values": [1e-9, 0, 0]}, "Dense vectors must contain at least one non-zero value"),
    ({"values": [1e39, 0, 0]}, ""),
    ({"values": ["a", 0, 0]}, ""),
    ({"values": [None, 1, 1]}, ""),
    ({"values": [[1], [2], [3]]}, ""),
    ({"values": {"0": 1}}, ""),
    ({"values": "abc"}, ""),
    ({"id": ""}, ""),
    ({"id": "x" * 513}, ""),
    ({"id": "é"}, "ASCII"),
    ({"id": "a\0b"}, ""),
    ({"id": None}, ""),
    ({"id": 7}, ""),
    ({"sparseValues": {"indices": [1, 1], "values": [1, 2]}}, ""),
    ({"sparseValues": {"indices": [1, 2], "values": [1]}}, ""),
    ({"sparseValues": {"indices": [-1], "values": [1]}}, ""),
    ({"sparseValues": {"indices": [4294967296], "values": [1]}}, ""),
    ({"sparseValues": {"indices": [1.5], "values": [1]}}, ""),
    ({"sparseValues": {"indices": list(range(2049)), "values": [1] * 2049}}, ""),
    ({"metadata": {"a": {"b": 1}}}, "Metadata value must be a string, number, boolean or list of strings, got"),
    ({"metadata": {"a": [1, 2]}}, "for field 'a'"),
    ({"metadata": {"a": ["x", 1]}}, "for field 'a'"),
    ({"metadata": {"$a": 1}}, "Metadata field '$a' cannot start with '$'"),
    ({"metadata": {"a": "x" * 41_000}}, ""),
    ({"metadata": ["a"]}, ""),
    ({"metadata": "a"}, ""),
]


@pytest.mark.parametrize(("change", "text"), VECTORS, ids=[json.dumps(change)[:40] for change, _ in VECTORS])
def test_one_bad_record_refuses_the_whole_request(index, change, text):
    vectors = [{"id": "before", "values": [1, 1, 1]}, GOOD | change, {"id": "after", "values": [1, 1, 1]}]
    assert_refused(index.send("POST", "/vectors/upsert", {"vectors": vectors}), text)
    assert_untouched(index)


UPSERTS: list[tuple[object, str]] = [
    ({}, ""),
    ({"vectors": []}, ""),
    ({"vectors": None}, ""),
    ({"vectors": {}}, ""),
    ({"vectors": [1]}, ""),
    ({"vectors": [None]}, ""),
    ({"vectors": [GOOD], "namespace": "x" * 513}, ""),
    ({"vectors": [GOOD], "namespace": "é"}, "ASCII"),
    ({"vectors": [GOOD], "namespace": "a\0"}, ""),
    ({"vectors": [GOOD], "namespace": 7}, ""),
    ({"vectors": [{"id": str(row), "values": [1, 1, 1]} for row in range(1001)]}, "1000"),
    ([GOOD], ""),
    ("text", ""),
    (None, ""),
    (b"", ""),
    (b'{"vectors": [{"id": "a", "values": [1, 2, 3]}', ""),
    (b'{"vectors": [{"id": "a", "values": [1, 2, 3]}]} trailing', ""),
    (b'{"vectors": [{"id": "a", "values": [NaN, 2, 3]}]}', ""),
    (b'{"vectors": [{"id": "a", "values": [Infinity, 2, 3]}]}', ""),
    (b'{"vectors": [{"id": "a", "values": [1e999, 2, 3]}]}', ""),
    (b'{"vectors": [{"id": "\xff", "values": [1, 2, 3]}]}', ""),
    (b'{"vectors": [{"id": "\\ud800", "values": [1, 2, 3]}]}', ""),
    (b"\x00\x01\x02", ""),
    (b"[" * 100_000, ""),
    (b'{"vectors":' * 5_000, ""),
    (b'{"vectors": [{"id": "a", "values": [1, 2, 3], "metadata": ' + b'{"a":' * 2000 + b"1" + b"}" * 2002 + b"]}", ""),
]


@pytest.mark.parametrize(("body", "text"), UPSERTS, ids=[repr(body)[:40] for body, _ in UPSERTS])
def test_a_malformed_upsert(index, body, text):
    payload = b"null" if body is None else body
    assert_refused(index.send("POST", "/vectors/upsert", payload), text)
    assert_untouched(index)


def test_an_upsert_of_more_than_two_megabytes(index):
    """Counted as binary vectors and metadata, not as JSON text."""
    vectors = [{"id": str(row), "values": [1, 2, 3], "metadata": {"text": "x" * 3000}} for row in range(1000)]
    answer = index.send("POST", "/vectors/upsert", {"vectors": vectors})
    assert answer.status in (400, 413), f"{answer.status} {answer.text}"
    assert "2097152" in answer.json["message"] or "2MB" in answer.json["message"], answer.text
    assert_untouched(index)


QUERY = {"topK": 1, "vector": [1, 2, 3]}
QUERIES = [
    ({"vector": [1, 2]}, "Vector dimension 2 does not match the dimension of the index 3"),
    ({"id": "good"}, "Cannot provide both 'ID' and 'vector' at the same time"),
    ({"vector": None, "id": "good", "sparseVector": SPARSE}, "'ID' and 'sparse_vector'"),
    ({"vector": None}, ""),
    ({"vector": None, "sparseVector": SPARSE}, "Cannot query index with dense 'vector_type' with only sparse vector"),
    ({"sparseVector": SPARSE}, "Index configuration does not support sparse values - only indexes that are sparse"),
    ({"topK": 0}, ""),
    ({"topK": -1}, ""),
    ({"topK": 10_001}, "10000"),
    ({"topK": 1.5}, ""),
    ({"topK": "many"}, ""),
    ({"topK": None}, ""),
    ({"topK": 1e300}, ""),
    ({"includeValues": "yes"}, ""),
    ({"filter": "genre"}, ""),
    ({"filter": []}, ""),
    ({"filter": {"$like": 1}}, "$like"),
    ({"filter": {"a": {"$like": 1}}}, "$like"),
    ({"filter": {"a": {"$gt": "b"}}}, "$gt"),
    ({"filter": {"a": {"$in": "b"}}}, "$in"),
    ({"filter": {"a": {"$in": [True]}}}, ""),
    ({"filter": {"a": {"$eq": ["b"]}}}, ""),
    ({"filter": {"a": ["b"]}}, ""),
    ({"filter": {"a": None}}, ""),
    ({"filter": {"a": {"$exists": 1}}}, "$exists"),
    ({"filter": {"a": {"b": 1}}}, ""),
    ({"filter": {"$and": {}}}, "$and"),
    ({"filter": {"$and": []}}, "$and"),
    ({"filter": {"$or": [1]}}, "$or"),
    ({"filter": {"a": {"$in": [str(number) for number in range(10_001)]}}}, ""),
    ({"queries": [{"values": [1, 2, 3]}]}, ""),
]


@pytest.mark.parametrize(("change", "text"), QUERIES, ids=[json.dumps(change)[:40] for change, _ in QUERIES])
def test_a_bad_query(index, change, text):
    body = {key: value for key, value in (QUERY | change).items() if value is not None}
    assert_refused(index.send("POST", "/query", body), text)


def test_a_filter_nested_without_end(index):
    deep = b'{"$and":[' * 1000 + b'{"a":1}' + b"]}" * 1000
    body = b'{"topK": 1, "vector": [1, 2, 3], "filter": ' + deep + b"}"
    assert_refused(index.send("POST", "/query", body), "")


def test_a_sparse_index_takes_no_dense_values(sparse_index):
    body = {"vectors": [{"id": "a", "values": [1, 2, 3]}]}
    assert_refused(
        sparse_index.send("POST", "/vectors/upsert", body), "Index configuration does not support dense values"
    )
    query = {"topK": 1, "vector": [1, 2, 3]}
    assert_refused(sparse_index.send("POST", "/query", query), "")
    assert_untouched(sparse_index)


CHANGES = [
    ("/vectors/delete", {"deleteAll": True, "ids": ["good"]}, "No explicit IDs allowed when delete_all=true"),
    ("/vectors/delete", {"deleteAll": True, "filter": {"a": 1}}, "No filter allowed when delete_all=true"),
    ("/vectors/delete", {"filter": {}}, "Delete with empty metadata filter is not allowed"),
    ("/vectors/delete", {"filter": {"a": {"$like": 1}}}, "$like"),
    ("/vectors/delete", {}, ""),
    ("/vectors/delete", {"ids": "good"}, ""),
    ("/vectors/delete", {"ids": [str(number) for number in range(1001)]}, "1000"),
    ("/vectors/update", {"filter": {}, "setMetadata": {"a": 1}}, "Update with empty metadata filter is not allowed"),
    ("/vectors/update", {"filter": {"a": 1}, "values": [1, 2, 3]}, "does not support updating vector values"),
    (
        "/vectors/update",
        {"id": "good", "values": [1]},
        "Vector dimension 1 does not match the dimension of the index 3",
    ),
    ("/vectors/update", {"id": "good", "values": [0, 0, 0]}, "Dense vectors must contain at least one non-zero value"),
    ("/vectors/update", {"id": "good", "setMetadata": {"a": {}}}, "Metadata value must be"),
    ("/vectors/update", {"values": [1, 2, 3]}, ""),
    ("/vectors/fetch_by_metadata", {"filter": {}}, "Empty filter provided for fetch by metadata request"),
    ("/vectors/fetch_by_metadata", {"filter": {"a": 1}, "limit": 0}, ""),
    ("/describe_index_stats", {"filter": {"a": 1}}, ""),
]


@pytest.mark.parametrize(("path", "body", "text"), CHANGES, ids=[f"{p} {json.dumps(b)[:30]}" for p, b, _ in CHANGES])
def test_a_bad_change(index, path, body, text):
    assert_refused(index.send("POST", path, {"namespace": "kept"} | body), text)
    kept = index.send("GET", "/vectors/fetch?ids=good&namespace=kept").json["vectors"]
    assert kept == {"good": GOOD}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/vectors/delete", {"ids": ["a"], "namespace": "nowhere"}),
        ("POST", "/vectors/delete", {"filter": {"a": 1}, "namespace": "nowhere"}),
        ("GET", "/namespaces/nowhere", None),
        ("DELETE", "/namespaces/nowhere", None),
    ],
)
def test_an_unknown_namespace(index, method, path, body):
    assert_refused(index.send(method, path, body), "", status=404, code=5)


def test_a_namespace_is_created_once(index):
    assert index.send("POST", "/namespaces", {"name": "once"}).status == 200
    assert_refused(index.send("POST", "/namespaces", {"name": "once"}), "", status=409, code=6)
    assert_refused(index.send("POST", "/namespaces", {"name": "__default__"}), "")
    assert_refused(index.send("POST", "/namespaces", {"name": ""}), "")
    assert index.send("DELETE", "/namespaces/once").status == 200


@pytest.mark.parametrize("query", ["", "ids=", "ids=" + "x" * 513, "&".join(f"ids={n}" for n in range(1001))])
def test_a_bad_fetch(index, query):
    assert_refused(index.send("GET", f"/vectors/fetch?{query}"), "")


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "paginationToken=nonsense"])
def test_a_bad_list(index, query):
    assert_refused(index.send("GET", f"/vectors/list?{query}"), "")


@pytest.mark.parametrize("key", [None, "", "wrong", "conformance-key-and-more", "CONFORMANCE-KEY"])
def test_a_wrong_key_is_told_in_plain_text(server, index, key):
    for endpoint, path in ((control_plane(server), "/indexes"), (index, "/vectors/list")):
        answer = endpoint.send("GET", path, headers={"Api-Key": key})
        assert (answer.status, answer.reason) == (401, "Unauthorized")
        assert answer.headers["content-type"].startswith("text/plain")
        assert "API" in answer.text


def assert_control_refused(answer: Answer, status: int, code: str, text: str = "") -> None:
    """A refusal of the control plane: its shape, and a part of its text."""
    assert answer.status == status, f"{answer.status} {answer.text}"
    assert answer.json["status"] == status
    assert answer.json["error"]["code"] == code
    assert text.lower() in answer.json["error"]["message"].lower()


INDEX = {"name": "fresh", "dimension": 3, "metric": "cosine", "spec": SERVERLESS}
SPARSE_INDEX = {"dimension": None, "vector_type": "sparse", "metric": "dotproduct"}
INVALID = [
    {"name": "Upper"},
    {"name": ""},
    {"name": "x" * 46},
    {"name": "-a"},
    {"name": "a_b"},
    {"dimension": 0},
    {"dimension": 20_001},
    {"dimension": -3},
    {"metric": "manhattan"},
    {"vector_type": "other"},
    SPARSE_INDEX | {"dimension": 3},
    SPARSE_INDEX | {"metric": "cosine"},
    {"tags": {f"key-{number}": "x" for number in range(21)}},
    {"tags": {"k" * 81: "x"}},
    {"tags": {"key": "x" * 121}},
    {"deletion_protection": "perhaps"},
]


@pytest.mark.parametrize("change", INVALID, ids=lambda change: json.dumps(change)[:40])
def test_an_index_that_may_not_be(server, hosts, change):
    control = control_plane(server)
    body = {key: value for key, value in (INDEX | change).items() if value is not None}
    answer = control.send("POST", "/indexes", body)
    assert answer.status in (400, 422), f"{answer.status} {answer.text}"
    assert set(answer.json) >= {"status", "error"}
    names = [index["name"] for index in control.send("GET", "/indexes").json["indexes"]]
    assert sorted(names) == ["dense", "sparse"]


@pytest.mark.parametrize("left_out", ["name", "dimension", "spec"])
def test_an_index_without(server, hosts, left_out):
    body = {key: value for key, value in INDEX.items() if key != left_out}
    answer = control_plane(server).send("POST", "/indexes", body)
    assert answer.status in (400, 422)
    assert left_out in answer.json["error"]["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b'"text"', b"\xff", b"[" * 100_000])
def test_a_malformed_body_on_the_control_plane(server, body):
    answer = control_plane(server).send("POST", "/indexes", body)
    assert answer.status in (400, 422)
    assert set(answer.json) >= {"status", "error"}


def test_names_are_unique(server, hosts):
    answer = control_plane(server).send("POST", "/indexes", INDEX | {"name": "dense"})
    assert_control_refused(answer, 409, "ALREADY_EXISTS", "Resource already exists")


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
def test_an_unknown_index(server, method):
    answer = control_plane(server).send(method, "/indexes/unknown", {"tags": {}} if method == "PATCH" else None)
    assert_control_refused(answer, 404, "NOT_FOUND", "Resource unknown not found")


def test_deletion_protection(server):
    control = control_plane(server)
    control.send("POST", "/indexes", INDEX | {"name": "guarded", "deletion_protection": "enabled"})
    answer = control.send("DELETE", "/indexes/guarded")
    assert_control_refused(answer, 403, "FORBIDDEN", "Deletion protection is enabled for this index. Disable deletion")
    control.send("PATCH", "/indexes/guarded", {"deletion_protection": "disabled"})
    assert control.send("DELETE", "/indexes/guarded").status == 202


def test_unknown_fields_are_refused_from_2026_07_on(server):
    fields = {"_values": {"type": "dense_vector", "dimension": 3, "metric": "cosine"}}
    control = control_plane(server, "2026-07")
    answer = control.send("POST", "/indexes", {"name": "odd", "schema": {"fields": fields}, "colour": "red"})
    assert_control_refused(answer, 422, "UNPROCESSABLE_ENTITY")
    answer = control.send("POST", "/indexes", {"name": "odd", "schema": {"fields": {}}})
    assert_control_refused(answer, 400, "INVALID_ARGUMENT", "Schema must contain at least one of")


@pytest.mark.parametrize("path", ["/", "/nothing", "/indexes/dense/nothing", "/../etc/passwd", "/%00", "/indexes/%ff"])
def test_an_unknown_path(server, path):
    assert control_plane(server).send("GET", path).status in (400, 404)


@pytest.mark.parametrize("path", ["/vectors/upsert", "/query"])
def test_an_unknown_method(index, path):
    assert index.send("PUT", path, {}).status in (404, 405)


@pytest.mark.parametrize("path", ["/collections", "/backups", "/restore-jobs"])
def test_what_is_not_built_says_so_on_the_control_plane(server, path):
    assert_control_refused(control_plane(server).send("GET", path), 501, "UNIMPLEMENTED")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/bulk/imports"),
        ("GET", "/bulk/imports"),
        ("POST", "/namespaces/n/documents/upsert"),
    ],
)
def test_what_is_not_built_says_so_on_the_data_plane(index, method, path):
    answer = index.send(method, path, {} if method == "POST" else None)
    assert answer.status == 501, f"{answer.status} {answer.text}"
    assert_untouched(index)
