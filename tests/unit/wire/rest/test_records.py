"""The Records API over HTTP: bodies as clients send them, answers, and what is refused."""

import json
from typing import Any

import pytest

from pinyon.model.index import Embed
from pinyon.model.metric import Metric
from pinyon.wire.http import Request
from pinyon.wire.rest.data_plane import DataPlaneRoutes
from tests.codecs import Answer, Rest, data_plane, ok
from tests.unit.service.fake_registry import DIMENSION, FakeRegistry, index_of

UPSERT = "/records/namespaces/__default__/upsert"
SEARCH = "/records/namespaces/__default__/search"
EMBED = Embed(
    model="dense",
    text_field="body",
    read_parameters={"input_type": "query"},
    write_parameters={"input_type": "passage"},
    fingerprint="dense-weights-1",
)
SPARSE_EMBED = Embed(
    model="sparse",
    text_field="body",
    read_parameters={"input_type": "query"},
    write_parameters={"input_type": "passage"},
    fingerprint="sparse-weights-1",
)
DOG = {"_id": "dog", "body": "a dog ran", "year": 2020, "score": 0.5, "tags": ["x"], "ok": True}
CAT = {"_id": "cat", "body": "the cat sat"}


def ndjson(*records: dict[str, Any]) -> bytes:
    """As most clients send it: no end of the last line."""
    return "\n".join(json.dumps(record) for record in records).encode()


def query(**parts: Any) -> dict[str, Any]:
    return {"query": {"top_k": 2} | parts}


def inputs(text: str, **parts: Any) -> dict[str, Any]:
    return query(inputs={"text": text}, **parts)


def refused(answer: Answer, text: str, status: int = 400, code: str = "INVALID_ARGUMENT") -> None:
    """Check that an answer is a refusal in the shape of the control plane."""
    assert (answer.status, answer.body["status"], answer.body["error"]["code"]) == (status, status, code), answer.body
    assert text in answer.body["error"]["message"]


@pytest.fixture
def rest() -> Rest:
    rest = Rest(data_plane(DIMENSION, Metric.DOTPRODUCT, embed=EMBED), models=FakeRegistry())
    assert rest.post(UPSERT, ndjson(DOG, CAT)).status == 201
    return rest


@pytest.fixture
def words() -> Rest:
    rest = Rest(data_plane(None, embed=SPARSE_EMBED), models=FakeRegistry())
    assert rest.post(UPSERT, ndjson(DOG, CAT)).status == 201
    return rest


@pytest.fixture
def plain() -> Rest:
    """An index without a model."""
    rest = Rest(data_plane(2), models=FakeRegistry())
    ok(rest.post("/vectors/upsert", {"vectors": [{"id": "a", "values": [1, 0], "metadata": {"body": "text"}}]}))
    return rest


# Upsert.


def test_an_upsert_answers_201_with_nothing_but_the_lsn(rest):
    answer = rest.post(UPSERT, ndjson(CAT))
    assert (answer.status, answer.body, answer.headers) == (201, b"", {"x-pinecone-request-lsn": "2"})


def test_a_record_keeps_its_fields_and_its_text(rest):
    fetched = ok(rest.get("/vectors/fetch?ids=dog"))["vectors"]["dog"]
    assert fetched["metadata"] == {name: value for name, value in DOG.items() if name != "_id"}
    assert len(fetched["values"]) == DIMENSION


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"{", "Record 2 is not valid JSON"),
        (b'{"_id":"a","n":NaN}', "Record 2 is not valid JSON"),
        (b'{"_id":"a","n":"\xff"}', "Record 2 is not valid JSON"),
        (b'\xef\xbb\xbf{"_id":"a"}', "Record 2 is not valid JSON"),
        (b'{"_id":"a"}{"_id":"b"}', "Record 2 is not valid JSON"),
        (b'{"n":' + b"[" * 5000, "Record 2 is not valid JSON"),
        (b'[{"_id":"a"}]', "Record 2 is not a JSON object"),
        (b"null", "Record 2 is not a JSON object"),
        (b'{"body":"x"}', "Record 2 must contain an '_id' or 'id' field"),
        (b'{"_id":null,"body":"x"}', "Record 2 must contain an '_id' or 'id' field"),
        (b'{"_id":5,"body":"x"}', "The '_id' of record 2 must be a string"),
        (b'{"id":["a"],"body":"x"}', "The '_id' of record 2 must be a string"),
        (b'{"_id":"a","id":"b","body":"x"}', "Record 2 has two ids"),
    ],
    ids=lambda value: value[:30].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_lines_that_are_no_record_are_refused_and_named(rest, line, text):
    refused(rest.post(UPSERT, b'{"_id":"new","body":"x"}\n' + line), text)
    assert ok(rest.get("/vectors/list"))["vectors"] == [{"id": "cat"}, {"id": "dog"}]


def test_ninety_six_records_are_taken_and_no_more(rest):
    records = [{"_id": str(number), "body": "x"} for number in range(97)]
    assert rest.post(UPSERT, ndjson(*records[:96])).status == 201
    refused(rest.post(UPSERT, ndjson(*records)), "Error parsing request: Invalid input: Batch size exceeds 96")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "Upsert request must contain at least one record"),
        (ndjson(CAT, {"_id": "new"}), "Missing field 'body' of record 'new'"),
        (ndjson(CAT | {"body": 5}), "Invalid field 'body' of record 'cat'"),
        (ndjson(CAT | {"body": " "}), "Empty field 'body' of record 'cat'"),
        (ndjson(CAT | {"author": {"age": 3}}), """list of strings, got '{"age":3.0}' for field 'author'"""),
        (ndjson(CAT | {"_id": "é"}), "Vector ID must be ASCII"),
    ],
)
def test_records_that_are_refused(rest, body, text):
    refused(rest.post(UPSERT, body), text)


def test_an_index_without_a_model_takes_no_text(plain):
    for path, body in ((UPSERT, ndjson(CAT)), (SEARCH, inputs("x"))):
        refused(plain.post(path, body), "Integrated inference is not configured for this index")


@pytest.mark.parametrize(
    ("path", "namespace"),
    [
        ("a%2Fb%20c", "a/b c"),
        ("a/b%20c", "a/b c"),
        ("upsert", "upsert"),
        ("a/upsert", "a/upsert"),
        ("", ""),
        ("__default__", ""),
        ("a%2Fsearch", "a/search"),
        ("%2E%2E", ".."),
    ],
)
def test_namespaces_in_paths(rest, path, namespace):
    assert rest.post(f"/records/namespaces/{path}/upsert", ndjson({"_id": "new", "body": "x"})).status == 201
    shown = ok(rest.post("/query", {"id": "new", "topK": 3, "namespace": namespace}))["matches"]
    assert "new" in [match["id"] for match in shown]
    hits = ok(rest.post(f"/records/namespaces/{path}/search", query(id="new")))["result"]["hits"]
    assert hits[0]["_id"] == "new"


# Search.


def test_a_search_by_text(rest):
    answer = rest.post(SEARCH, inputs("dog ran", top_k=1))
    body = ok(answer)
    score = body["result"]["hits"][0].pop("_score")
    assert isinstance(score, float)
    assert body == {
        "result": {"hits": [{"_id": "dog", "fields": {name: DOG[name] for name in DOG if name != "_id"}}]},
        "usage": {"read_units": 1, "embed_total_tokens": 2},
    }
    assert answer.headers == {"x-pinecone-max-indexed-lsn": "1"}


def test_a_search_without_a_hit(rest):
    answer = ok(rest.post("/records/namespaces/nowhere/search", inputs("dog")))
    assert answer == {"result": {"hits": []}, "usage": {"read_units": 1, "embed_total_tokens": 1}}


def test_a_search_by_vector_and_id(plain):
    hit = {"_id": "a", "_score": 1.0, "fields": {"body": "text"}}
    for source in ({"vector": {"values": [2, 0]}}, {"vector": {"values": [2, 0], "sparse_values": []}}, {"id": "a"}):
        answer = ok(plain.post(SEARCH, query(**source)))
        assert answer == {"result": {"hits": [hit]}, "usage": {"read_units": 1}}


def test_a_search_by_sparse_vector(words):
    vector = {"sparse_indices": [index_of("dog")], "sparse_values": [0.5]}
    assert [hit["_id"] for hit in ok(words.post(SEARCH, query(vector=vector)))["result"]["hits"]] == ["dog"]


def test_a_search_that_reranks(rest):
    body = inputs("x") | {"rerank": {"model": "ranker", "rank_fields": ["body"], "top_n": 1, "query": "cat sat"}}
    answer = ok(rest.post(SEARCH, body | {"fields": []}))
    assert answer["result"]["hits"] == [{"_id": "cat", "_score": 1.0, "fields": {}}]
    assert answer["usage"] == {"read_units": 1, "embed_total_tokens": 1, "rerank_units": 1}
    nothing = inputs("x", filter={"year": 1}) | {"rerank": {"model": "ranker", "rank_fields": ["body"]}}
    assert ok(rest.post(SEARCH, nothing))["usage"] == {"read_units": 1, "embed_total_tokens": 1, "rerank_units": 0}


def test_scores_have_the_digits_of_a_float32(rest):
    for hit in ok(rest.post(SEARCH, inputs("dog cat")))["result"]["hits"]:
        assert len(repr(hit["_score"])) <= 12


def test_terms_that_hits_must_have(words):
    for terms, ids in ((["DOG"], ["dog"]), (["dog", "sat"], [])):
        for match_terms in ({"strategy": "all", "terms": terms}, {"terms": terms}):
            hits = ok(words.post(SEARCH, inputs("dog cat", match_terms=match_terms)))["result"]["hits"]
            assert sorted(hit["_id"] for hit in hits) == ids


@pytest.mark.parametrize(
    ("fields", "names"), [(["*"], 5), (None, 5), ([], 0), (["year", "nothing"], 1), (["body", "year"], 2)]
)
def test_fields(rest, fields, names):
    (hit,) = ok(rest.post(SEARCH, query(id="dog", top_k=1) | {"fields": fields}))["result"]["hits"]
    assert len(hit["fields"]) == names


def test_filters(rest):
    body = inputs("dog", filter={"year": {"$gt": 2000}})
    assert [hit["_id"] for hit in ok(rest.post(SEARCH, body))["result"]["hits"]] == ["dog"]


def test_absent_and_null_are_the_same(rest):
    nulls = inputs("dog", vector=None, id=None, filter=None, match_terms=None) | {"fields": None, "rerank": None}
    assert ok(rest.post(SEARCH, nulls)) == ok(rest.post(SEARCH, inputs("dog")))


def test_an_empty_vector_is_none(rest):
    vectors: list[dict[str, Any]] = [{}, {"values": []}, {"values": None, "sparse_values": None}]
    for vector in vectors:
        assert ok(rest.post(SEARCH, inputs("dog", vector=vector))) == ok(rest.post(SEARCH, inputs("dog")))


def test_numbers_may_be_written_in_any_way(plain):
    for top_k in (1, 1.0, "1"):
        assert len(ok(plain.post(SEARCH, query(id="a", top_k=top_k)))["result"]["hits"]) == 1


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "Missing field 'top_k' in query"),
        ({"query": {}}, "Missing field 'top_k' in query"),
        (query(), "Exactly one of 'inputs', 'vector' and 'id'"),
        (query(vector={}), "Exactly one of 'inputs', 'vector' and 'id'"),
        (inputs("a", id="b"), "got 'inputs' and 'id'"),
        (inputs("a", vector={"values": [1]}), "got 'inputs' and 'vector'"),
        (inputs(""), "The text to search for must not be empty"),
        (query(inputs={}), "Missing field 'text' in inputs"),
        (query(inputs={"text": 5}), "Invalid value for 'text': expected a string"),
        (query(inputs={"text": "a", "image": "b"}), 'Unknown name "image" in inputs'),
        (query(inputs=["a"]), "inputs must be an object"),
        (query(id=""), "Vector ID must not be empty"),
        (query(id=5), "Invalid value for 'id'"),
        (query(vector=[1, 2]), "vector must be an object"),
        (query(vector={"value": [1]}), 'Unknown name "value" in vector'),
        (query(vector={"sparseValues": [1]}), 'Unknown name "sparseValues" in vector'),
        (query(vector={"values": ["a"]}), "Invalid value for 'values'"),
        (query(vector={"values": [[1]] * DIMENSION}), "list of numbers"),
        (query(vector={"values": 5}), "Invalid value for 'values'"),
        (query(vector={"sparse_indices": [1]}), "as many indices as values"),
        (query(vector={"sparse_indices": [-1], "sparse_values": [1]}), "between 0 and 4294967295"),
        (query(vector={"sparse_indices": [1], "sparse_values": [1]}), "with only sparse vector"),
        (query(vector={"values": [1, 2]}), "Vector dimension 2 does not match the dimension of the index 64"),
        (inputs("a", top_k=0), "top_k must be between 1 and 10000"),
        (inputs("a", top_k=10_001), "top_k must be between 1 and 10000"),
        (inputs("a", top_k="many"), "Invalid value for 'top_k'"),
        (inputs("a", topK=3), 'Unknown name "topK" in query'),
        (inputs("a", filter=[]), "Invalid value for 'filter'"),
        (inputs("a", filter={"year": {"$near": 1}}), "$near"),
        (inputs("a", match_terms={"terms": ["x"]}), "match_terms is only supported"),
        (inputs("a", match_terms={"strategy": "any"}), "only 'all' is supported"),
        (inputs("a", match_terms={"terms": "x"}), "Invalid value for 'terms'"),
        (inputs("a", match_terms={}), "Invalid value for 'terms' in match_terms"),
        (inputs("a", match_terms={"strategy": "all"}), "Invalid value for 'terms' in match_terms"),
        (inputs("a", match_terms={"terms": []}), "Invalid value for 'terms' in match_terms"),
        (inputs("a", match_terms={"terms": ["a", " "]}), "Invalid value for 'terms' in match_terms"),
        (inputs("a", match_terms={"words": []}), 'Unknown name "words" in match_terms'),
        (inputs("a") | {"fields": "body"}, "Invalid value for 'fields'"),
        (inputs("a") | {"fields": [5]}, "Invalid value for 'fields'"),
        (inputs("a") | {"namespace": "n"}, 'Unknown name "namespace"'),
        (inputs("a") | {"rerank": {}}, "Missing field 'model' in rerank"),
        (inputs("a") | {"rerank": {"model": "ranker"}}, "Missing field 'rank_fields' in rerank"),
        (inputs("a") | {"rerank": {"model": "ranker", "rank_fields": []}}, "At least one rank field"),
        (inputs("a") | {"rerank": {"model": "ranker", "rank_fields": "body"}}, "Invalid value for 'rank_fields'"),
        (inputs("a") | {"rerank": {"model": "ranker", "rank_fields": ["no"]}}, "field 'no' not found in document"),
        (inputs("a") | {"rerank": {"model": "ranker", "rank_fields": ["body"], "top_n": 0}}, "top_n"),
        (inputs("a") | {"rerank": {"model": "ranker", "rank_fields": ["body"], "n": 0}}, 'Unknown name "n" in rerank'),
        (query(id="a") | {"rerank": {"model": "ranker", "rank_fields": ["body"]}}, "needs a 'query'"),
        ([], "the request must be an object"),
        ({"query": "dog"}, "query must be an object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_searches_that_are_refused(rest, body, text):
    refused(rest.post(SEARCH, body), text)


def test_a_reranker_that_is_not_served_is_not_found(rest):
    body = inputs("a") | {"rerank": {"model": "non-existent-model", "rank_fields": ["body"]}}
    refused(rest.post(SEARCH, body), "Model 'non-existent-model' not found", 404, "NOT_FOUND")


def test_texts_for_a_model_that_something_else_serves_are_refused():
    rest = Rest(data_plane(DIMENSION, embed=EMBED), models=(models := FakeRegistry()))
    models.dense_encoder.fingerprint = "other"
    for path, body in ((UPSERT, ndjson(CAT)), (SEARCH, inputs("x"))):
        refused(rest.post(path, body), "dense is now served by other", 412, "FAILED_PRECONDITION")


def test_vectors_with_texts_full_of_brackets(rest):
    """The parser counts brackets to see that a list of numbers is flat; some may stand elsewhere."""
    values = [1.0] + [0.0] * (DIMENSION - 1)
    body = query(vector={"values": values}, filter={"year": {"$in": [2020, 5]}}) | {"fields": ["[", "body", "\\["]}
    assert [hit["_id"] for hit in ok(rest.post(SEARCH, body))["result"]["hits"]] == ["dog"]
    body["query"]["vector"]["values"] = [[1.0], *values[1:]]
    refused(rest.post(SEARCH, body), "list of numbers")


# Paths.


@pytest.mark.parametrize("path", [UPSERT, SEARCH, "/records/namespaces/a/b/search"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_wrong_method_is_not_allowed(rest, method, path):
    answer = rest.send(method, path)
    assert (answer.status, answer.headers) == (405, {"allow": "POST"})
    assert answer.body["status"] == 405


@pytest.mark.parametrize(
    "path",
    ["/records", "/records/", "/records/namespaces", "/records/namespaces/upsert", "/records/namespaces/n",
     "/records/namespaces/n/delete", "/records/other/n/upsert", "/records/namespaces/n/upsert/"],
)  # fmt: skip
def test_paths_that_are_not_there(rest, path):
    refused(rest.post(path, b""), "not found", 404, "NOT_FOUND")


def test_records_take_a_model_and_vectors_do_not():
    routes = DataPlaneRoutes(data_plane(), None)  # type: ignore[arg-type]
    for path in (UPSERT, SEARCH, "/records/namespaces/a/b/upsert"):
        assert routes.takes_model("POST", path)
        assert not routes.is_brief("POST", path)
    for path in ("/query", "/vectors/upsert", "/namespaces/records/documents/search", "/health"):
        assert not routes.takes_model("POST", path)


def test_a_request_is_answered_from_a_large_body():
    """The wire joins large bodies in an array."""
    rest = Rest(data_plane(DIMENSION, embed=EMBED), models=FakeRegistry())
    request = Request("POST", UPSERT, body=memoryview(bytearray(ndjson(DOG))))
    assert rest._routes.handle(request).status == 201
