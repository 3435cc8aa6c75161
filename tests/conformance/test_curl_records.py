"""Raw requests of the Records API: every form that some client sends, and what is refused."""

import json
from typing import Any

import pytest

from tests.conformance.curl import Answer, Endpoint, control_plane, data_plane
from tests.conformance.records_scenario import DENSE_MODEL, SPARSE_MODEL
from tests.conformance.text_server import create_for_model, ndjson, records_path, search, upsert

pytestmark = pytest.mark.conformance

ONE: list[dict[str, Any]] = [{"_id": "one", "source_text": "A cat sleeps on the sofa."}]
TWO: list[dict[str, Any]] = [*ONE, {"_id": "two", "source_text": "Bread rises in a warm oven.", "page": 2}]
FIND = {"query": {"inputs": {"text": "a pet"}, "top_k": 5}}


@pytest.fixture(scope="module")
def shared(server) -> Endpoint:
    """An index that embeds text; each test writes to a namespace of its own."""
    return create_for_model(server, "texts", DENSE_MODEL)


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


def found(index: Endpoint, namespace: str) -> list[str]:
    answer = search(index, FIND, namespace)
    assert answer.status == 200, answer.text
    return [hit["_id"] for hit in answer.json["result"]["hits"]]


@pytest.mark.parametrize(
    "content_type", ["application/x-ndjson", "text/plain;charset=UTF-8", "application/json", "", None], ids=str
)
def test_the_content_type_does_not_matter(shared, content_type, namespace):
    path = records_path(namespace, "upsert")
    answer = shared.send("POST", path, ndjson(TWO), headers={"Content-Type": content_type})
    assert (answer.status, answer.text) == (201, "")
    assert int(answer.headers["x-pinecone-request-lsn"]) > 0
    assert found(shared, namespace) == ["one", "two"]


LINE = b'{"_id": "one", "source_text": "A cat sleeps on the sofa."}'
BODIES = {
    "no-final-newline": LINE,
    "crlf": LINE + b"\r\n",
    "empty-lines": b"\n\n" + LINE + b"\n\r\n \n",
    "escaped": rb'{"\u005fid": "one", "source_text": "A cat\u2026 \ud83d\ude3a"}',
    "raw-utf8": '{"_id": "one", "source_text": "A cat… 😺"}'.encode(),
    "id": b'{"id": "one", "source_text": "A cat"}',
    "both-ids": b'{"id": "one", "_id": "one", "source_text": "A cat"}',
    "null-field": b'{"_id": "one", "source_text": "A cat", "absent": null}',
    "twice": LINE.replace(b"cat", b"dog") + b"\n" + LINE,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_lines_in_every_form(shared, body, namespace):
    answer = shared.send("POST", records_path(namespace, "upsert"), body)
    assert answer.status == 201, answer.text
    [hit] = search(shared, FIND, namespace).json["result"]["hits"]
    assert hit["_id"] == "one"
    assert set(hit["fields"]) == {"source_text"}
    assert "cat" in hit["fields"]["source_text"]


def test_96_records_at_once(shared, namespace):
    records = [{"_id": f"r{number:02}", "source_text": f"Page {number} of a book"} for number in range(96)]
    assert upsert(shared, records, namespace).status == 201
    assert (
        len(search(shared, {"query": {"inputs": {"text": "a book"}, "top_k": 100}}, namespace).json["result"]["hits"])
        == 96
    )


@pytest.mark.parametrize(
    ("written", "searched"),
    [
        ("/records/namespaces/a%2Fb%20c/upsert", "/records/namespaces/a/b%20c/search"),
        ("/records/namespaces/a/upsert/upsert", "/records/namespaces/a%2Fupsert/search"),
        ("/records/namespaces//upsert", "/records/namespaces/__default__/search"),
        ("/records/namespaces/search/upsert", "/records/namespaces/search/search"),
    ],
    ids=["slash-and-space", "name-of-a-verb-inside", "default", "name-of-a-verb"],
)
def test_namespaces_in_paths(shared, written, searched):
    assert shared.send("POST", written, ndjson(ONE)).status == 201
    answer = shared.send("POST", searched, FIND)
    assert [hit["_id"] for hit in answer.json["result"]["hits"]] == ["one"]


def test_a_search_says_what_it_saw(shared, namespace):
    written = upsert(shared, ONE, namespace)
    answer = search(shared, FIND, namespace)
    assert int(answer.headers["x-pinecone-max-indexed-lsn"]) >= int(written.headers["x-pinecone-request-lsn"])


@pytest.mark.parametrize("version", [None, "unstable", "2024-07", "2025-01", "2025-10", "2026-07"])
def test_every_version_is_answered_alike(server, shared, namespace, version):
    upsert(shared, ONE, namespace)
    answer = shared.send("POST", records_path(namespace, "search"), FIND, headers={"X-Pinecone-Api-Version": version})
    assert [hit["_id"] for hit in answer.json["result"]["hits"]] == ["one"]


def test_a_vector_finds_records_in_an_index_without_a_model(server):
    body = {"name": "vectors-only", "dimension": 2, "metric": "cosine", "spec": SERVERLESS}
    index = data_plane(server, control_plane(server).send("POST", "/indexes", body).json["host"])
    vectors = [{"id": "x", "values": [1, 0], "metadata": {"n": 1}}, {"id": "y", "values": [0, 1]}]
    index.send("POST", "/vectors/upsert", {"vectors": vectors, "namespace": "n"})
    answer = search(index, {"query": {"vector": {"values": [2, 0]}, "top_k": 1}}, "n")
    assert answer.json["result"]["hits"] == [{"_id": "x", "_score": 1, "fields": {"n": 1}}]
    assert "embed_total_tokens" not in answer.json["usage"]


def test_a_sparse_vector_finds_texts(server):
    index = create_for_model(server, "sparse-texts", SPARSE_MODEL)
    upsert(index, TWO, "n")
    embed = {
        "model": SPARSE_MODEL,
        "inputs": [{"text": "sleeping cats"}],
        "parameters": {"input_type": "query", "return_tokens": True},
    }
    [item] = control_plane(server).send("POST", "/embed", embed).json["data"]
    vector = {name: item[name] for name in ("sparse_values", "sparse_indices")}
    answer = search(index, {"query": {"vector": vector, "top_k": 5}}, "n")
    assert [hit["_id"] for hit in answer.json["result"]["hits"]] == ["one"]


SERVERLESS = {"serverless": {"cloud": "aws", "region": "us-east-1"}}


# What is refused.


def assert_refused(answer: Answer, text: str, *, status: int = 400, code: str = "INVALID_ARGUMENT") -> None:
    """The shape of the control plane, as Pinecone answers here, and a part of the text."""
    assert answer.status == status, f"{answer.status} {answer.text}"
    assert set(answer.json) == {"status", "error"}
    assert answer.json["status"] == status
    assert answer.json["error"]["code"] == code
    assert text.lower() in answer.json["error"]["message"].lower()


BAD_LINES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "at least one record"),
    "only-newlines": (b"\n \n", "at least one record"),
    "not-json": (b'{"_id": "a", "source_text": "x"', "Record 2"),
    "array": (b"[]", "Record 2"),
    "no-id": (b'{"source_text": "x"}', "Record 2"),
    "id-number": (b'{"_id": 5, "source_text": "x"}', "id"),
    "id-empty": (b'{"_id": "", "source_text": "x"}', "id"),
    "id-long": (b'{"_id": "%s", "source_text": "x"}' % (b"x" * 513), "512"),
    "two-ids": (b'{"_id": "a", "id": "b", "source_text": "x"}', "id"),
    "no-text": (b'{"_id": "a", "text": "x"}', "source_text"),
    "null-text": (b'{"_id": "a", "source_text": null}', "source_text"),
    "list-text": (b'{"_id": "a", "source_text": ["x"]}', "source_text"),
    "blank-text": (b'{"_id": "a", "source_text": " \\n"}', "source_text"),
    "object": (b'{"_id": "a", "source_text": "x", "place": {"city": "Bern"}}', "place"),
    "numbers": (b'{"_id": "a", "source_text": "x", "list": [1, 2]}', "list"),
    "not-utf8": (b'{"_id": "a", "source_text": "\xff"}', "Record 2"),
    "too-large": (b'{"_id": "a", "source_text": "x", "more": "%s"}' % (b"x" * 41_000), "40960"),
}


@pytest.mark.parametrize(("line", "text"), BAD_LINES.values(), ids=BAD_LINES)
def test_one_bad_record_refuses_the_batch(shared, namespace, line, text):
    is_alone = not line.strip()
    body = line if is_alone else ndjson(ONE) + line
    assert_refused(shared.send("POST", records_path(namespace, "upsert"), body), text)
    assert found(shared, namespace) == []


def test_97_records(shared, namespace):
    records = [{"_id": str(number), "source_text": "text"} for number in range(97)]
    assert_refused(upsert(shared, records, namespace), "Batch size exceeds 96")
    assert found(shared, namespace) == []


TEXT = {"inputs": {"text": "a"}}
BAD_SEARCHES: dict[str, tuple[Any, str]] = {
    "not-json": (b"{", ""),
    "no-query": ({}, "query"),
    "no-top-k": ({"query": TEXT}, "top_k"),
    "top-k-zero": ({"query": {**TEXT, "top_k": 0}}, "top_k"),
    "top-k-large": ({"query": {**TEXT, "top_k": 10_001}}, "top_k"),
    "nothing": ({"query": {"top_k": 1}}, "inputs"),
    "all": ({"query": {**TEXT, "id": "a", "vector": {"values": [1.0] * 1024}, "top_k": 1}}, "inputs"),
    "inputs-string": ({"query": {"inputs": "a", "top_k": 1}}, "inputs"),
    "inputs-other": ({"query": {"inputs": {"image": "a"}, "top_k": 1}}, "image"),
    "empty-text": ({"query": {"inputs": {"text": ""}, "top_k": 1}}, "empty"),
    "dimension": ({"query": {"vector": {"values": [1, 2]}, "top_k": 1}}, "dimension"),
    "sparse-on-cosine": ({"query": {"vector": {"sparse_values": [1], "sparse_indices": [1]}, "top_k": 1}}, "sparse"),
    "filter": ({"query": {**TEXT, "top_k": 1, "filter": {"a": {"$near": 1}}}}, "$near"),
    "strategy": ({"query": {**TEXT, "top_k": 1, "match_terms": {"strategy": "any", "terms": ["a"]}}}, "strategy"),
    "terms": ({"query": {**TEXT, "top_k": 1, "match_terms": {"strategy": "all", "terms": ["a"]}}}, "match_terms"),
    "fields": ({"query": {**TEXT, "top_k": 1}, "fields": "category"}, "fields"),
    "unknown": ({"query": {**TEXT, "top_k": 1, "topk": 2}}, "topk"),
    "no-rank-fields": ({"query": {**TEXT, "top_k": 1}, "rerank": {"model": "bge-reranker-v2-m3"}}, "rank_fields"),
    "no-reranker": ({"query": {**TEXT, "top_k": 1}, "rerank": {"rank_fields": ["a"]}}, "model"),
    "top-n": (
        {
            "query": {**TEXT, "top_k": 1},
            "rerank": {"model": "bge-reranker-v2-m3", "rank_fields": ["source_text"], "top_n": 0},
        },
        "top_n",
    ),
    "rerank-parameter": (
        {
            "query": {**TEXT, "top_k": 1},
            "rerank": {"model": "bge-reranker-v2-m3", "rank_fields": ["source_text"], "parameters": {"heat": 1}},
        },
        "heat",
    ),
}


@pytest.mark.parametrize(("body", "text"), BAD_SEARCHES.values(), ids=BAD_SEARCHES)
def test_a_search_that_cannot_be_made(shared, body, text):
    assert_refused(search(shared, body, "nowhere"), text)


@pytest.mark.parametrize("verb", ["delete", "", "upsert/"])
def test_an_unknown_path(shared, verb):
    assert_refused(shared.send("POST", f"/records/namespaces/n/{verb}", {}), "", status=404, code="NOT_FOUND")


def test_a_wrong_key(shared):
    answer = shared.send("POST", records_path("n", "search"), FIND, headers={"Api-Key": "wrong"})
    assert answer.status == 401


CREATE = {"name": "refused", "cloud": "aws", "region": "us-east-1"}
E5 = {"model": DENSE_MODEL, "field_map": {"text": "source_text"}}
BAD_INDEXES: dict[str, tuple[dict[str, Any], str, int]] = {
    "no-embed": (CREATE, "embed", 422),
    "no-model": (CREATE | {"embed": {"field_map": {"text": "t"}}}, "model", 422),
    "no-field-map": (CREATE | {"embed": {"model": DENSE_MODEL}}, "field_map", 422),
    "map-of-another-kind": (CREATE | {"embed": E5 | {"field_map": {"image": "i"}}}, "Missing required key 'text'", 400),
    "empty-field": (CREATE | {"embed": E5 | {"field_map": {"text": ""}}}, "field_map", 400),
    "dimension": (CREATE | {"embed": E5 | {"dimension": 384}}, "dimension", 400),
    "metric": (CREATE | {"embed": E5 | {"metric": "dotproduct"}}, "metric", 400),
    "parameter": (CREATE | {"embed": E5 | {"read_parameters": {"heat": 1}}}, "heat", 400),
    "value": (CREATE | {"embed": E5 | {"write_parameters": {"truncate": "MIDDLE"}}}, "truncate", 400),
    "name": (CREATE | {"name": "Upper", "embed": E5}, "name", 400),
    "unknown": (CREATE | {"embed": E5, "dimension": 1024}, "dimension", 422),
}


@pytest.mark.parametrize(("body", "text", "status"), BAD_INDEXES.values(), ids=BAD_INDEXES)
def test_an_index_that_cannot_be(server, body, text, status):
    code = {400: "INVALID_ARGUMENT", 422: "UNPROCESSABLE_ENTITY"}[status]
    answer = control_plane(server).send("POST", "/indexes/create-for-model", body)
    assert_refused(answer, text, status=status, code=code)
    assert control_plane(server).send("GET", "/indexes/refused").status == 404


def test_a_model_that_does_not_fit_the_index(server):
    body = {"name": "narrow", "dimension": 8, "metric": "cosine", "spec": SERVERLESS}
    control = control_plane(server)
    control.send("POST", "/indexes", body)
    answer = control.send("PATCH", "/indexes/narrow", {"embed": E5})
    assert_refused(answer, "dimension")
    assert "embed" not in control.send("GET", "/indexes/narrow").json
    assert json.loads(answer.text)["status"] == 400
