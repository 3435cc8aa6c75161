"""Vectors of texts, documents by relevance and the list of models, with every client."""

import json
import math
import operator
from typing import Any

import pytest

from tests.conformance.curl import Endpoint, control_plane
from tests.conformance.harness import NPM, PYTHON, Client, run_script
from tests.conformance.records_scenario import DENSE_MODEL, RERANKER, SPARSE_MODEL

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]

PINECONE_EMBEDS = ["llama-text-embed-v2", "multilingual-e5-large", "pinecone-sparse-english-v0"]
PINECONE_RERANKS = ["bge-reranker-v2-m3", "cohere-rerank-3.5", "pinecone-rerank-v0"]

DOCUMENTS: list[dict[str, Any]] = [
    {"id": "1", "text": "Bread rises when yeast turns sugar into gas.", "pages": 3},
    {"id": "2", "text": "A cat sleeps most of the day.", "tags": ["animal", "pet"]},
    {"id": "3", "text": "The stock market fell by two percent.", "place": {"city": "Zürich"}},
]
GIVEN: dict[str, Any] = {
    "dense_model": DENSE_MODEL,
    "sparse_model": SPARSE_MODEL,
    "reranker": RERANKER,
    "inputs": ["A cat sleeps most of the day.", "Bread rises when yeast turns sugar into gas.", "A kitten naps."],
    "query": "How long do cats rest?",
    "documents": DOCUMENTS,
}

REFUSALS = {
    "embed_model": (404, "Model 'unknown-model' not found"),
    "embed_with_reranker": (400, RERANKER),
    "embed_no_inputs": (400, "Must specify at least one input"),
    "embed_too_many": (400, "Input length '97' exceeded inputs limit of 96 for model 'multilingual-e5-large'"),
    "embed_empty_text": (400, "index 0"),
    "embed_too_long": (400, "exceeds the maximum token limit"),
    "embed_value": (
        400,
        "Invalid parameter value input_type='bad-parameter' for model 'multilingual-e5-large', "
        "must be one of [query, passage]",
    ),
    "embed_parameter": (400, "temperature"),
    "embed_no_input_type": (400, "Required parameter 'input_type'"),
    "embed_other_key": (422, "INVALID_FIELD"),
    "rerank_model": (404, "Model 'unknown-model' not found"),
    "rerank_with_embedder": (400, DENSE_MODEL),
    "rerank_field": (400, "field 'custom-field' not found in document at index 0"),
    "rerank_fields": (400, "Only one rank field is supported for model"),
    "rerank_too_many": (400, "Document length '101' exceeded documents limit of 100"),
    "rerank_too_long": (400, "exceeds the maximum token limit of 1024 for each query+document pair"),
    "model": (404, "no-such-model"),
}
"""Status and a part of the text; JavaScript shows no text of a 404."""


@pytest.fixture(scope="module", params=[*PYTHON, *NPM], ids=str, name="run")
def _run(request: pytest.FixtureRequest, server) -> tuple[Client, dict[str, Any]]:
    """A client, and what it saw."""
    return request.param, run_script(request.param, "inference", server, environment={"TEXTS": json.dumps(GIVEN)})


@pytest.fixture(scope="module")
def control(server) -> Endpoint:
    return control_plane(server)


@pytest.fixture(scope="module", name="raw")
def _raw(control) -> dict[str, Any]:
    """What raw requests get: dense and sparse vectors, and the order of the documents."""
    inputs = [{"text": text} for text in GIVEN["inputs"]]
    embed = {"inputs": inputs, "parameters": {"input_type": "passage"}}
    rerank = {"model": RERANKER, "query": GIVEN["query"], "documents": DOCUMENTS}
    answers = {
        "dense": control.send("POST", "/embed", embed | {"model": DENSE_MODEL}),
        "sparse": control.send("POST", "/embed", embed | {"model": SPARSE_MODEL}),
        "rerank": control.send("POST", "/rerank", rerank),
        "models": control.send("GET", "/models"),
    }
    assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(answers, 200)
    return {name: answer.json for name, answer in answers.items()}


def cosine(one: list[float], other: list[float]) -> float:
    return dot(one, other) / math.sqrt(dot(one, one) * dot(other, other))


def dot(one: list[float], other: list[float]) -> float:
    return sum(map(operator.mul, one, other), 0.0)


def test_texts_of_one_meaning_are_near(raw):
    cat, bread, kitten = (item["values"] for item in raw["dense"]["data"])
    assert cosine(cat, kitten) > cosine(cat, bread) + 0.2


def test_a_raw_answer_has_all_its_parts(raw):
    assert {name: set(raw[name]) for name in ("dense", "sparse", "rerank")} == {
        "dense": {"model", "vector_type", "data", "usage"},
        "sparse": {"model", "vector_type", "data", "usage"},
        "rerank": {"model", "data", "usage"},
    }
    assert {key for item in raw["dense"]["data"] for key in item} == {"values", "vector_type"}
    assert {key for item in raw["sparse"]["data"] for key in item} == {
        "sparse_values",
        "sparse_indices",
        "vector_type",
    }
    assert raw["rerank"]["data"][0] == {
        "index": 1,
        "score": raw["rerank"]["data"][0]["score"],
        "document": DOCUMENTS[1],
    }


def test_dense_vectors(run, raw):
    client, seen = run
    dense = seen["dense"]
    assert dense["model"] == DENSE_MODEL
    assert dense["values"] == [[round(value, 4) for value in item["values"]] for item in raw["dense"]["data"]]
    assert {len(values) for values in dense["values"]} == {1024}
    assert dense["tokens"] == raw["dense"]["usage"]["total_tokens"] > 0
    if client.version != "4.1.0":
        assert dense["vector_type"] == "dense"
    if client.language == "python":
        assert (dense["one_text"], dense["as_objects"], dense["dimension"]) == (1, 2, 2048)


def test_sparse_vectors(run, raw):
    client, seen = run
    assert ("sparse" in seen) == (client.version != "4.1.0")
    if "sparse" not in seen:
        return
    sparse = seen["sparse"]
    assert sparse["vector_type"] == "sparse"
    assert sparse["indices"] == [item["sparse_indices"] for item in raw["sparse"]["data"]]
    assert [len(tokens) for tokens in sparse["tokens"]] == [len(indices) for indices in sparse["indices"]]
    assert all(value > 0 for values in sparse["values"] for value in values)
    assert any(token.startswith("sleep") for token in sparse["tokens"][0])
    assert sparse["no_tokens"] is None


def test_documents_by_relevance(run, raw):
    _, seen = run
    rerank = seen["rerank"]
    ranked = [[item["index"], round(item["score"], 4), item["document"]] for item in raw["rerank"]["data"]]
    assert rerank["objects"] == ranked
    assert ranked[0][0] == 1
    assert [score for _, score, _ in ranked] == sorted((score for _, score, _ in ranked), reverse=True)
    assert all(0 <= score <= 1 for _, score, _ in ranked)
    assert rerank["strings"] == [[index, score, {"text": one["text"]}] for index, score, one in ranked]
    assert rerank["best"] == ranked[:1]
    assert rerank["no_documents"] == [[index, score, None] for index, score, _ in ranked]
    other = {"title": DOCUMENTS[1]["text"], "id": "2"}
    assert rerank["other_field"] == [[1, ranked[0][1], other]]
    assert (rerank["model"], rerank["units"]) == (RERANKER, 1)


def test_models(run, raw):
    client, seen = run
    assert ("models" in seen) == (client.major >= 7)
    if "models" not in seen:
        return
    models = seen["models"]
    everything = [info["model"] for info in raw["models"]["models"]]
    assert models["all"] == everything
    assert [name for name in everything if name in PINECONE_EMBEDS] == PINECONE_EMBEDS
    assert set(PINECONE_RERANKS) <= set(models["rerank"])
    assert set(PINECONE_EMBEDS[:2]) <= set(models["dense"])
    assert SPARSE_MODEL in models["sparse"]
    assert not set(models["rerank"]) & set(models["dense"]) | set(models["dense"]) & set(models["sparse"])
    assert models["one"] == {
        "model": DENSE_MODEL,
        "type": "embed",
        "vector_type": "dense",
        "default_dimension": 1024,
        "modality": "text",
        "max_sequence_length": 256,  # that of the stand-in
        "max_batch_size": 96,
        "supported_dimensions": [1024],
        "supported_metrics": ["cosine", "euclidean"],
        "parameters": [
            ["input_type", "one_of", "string", True, ["query", "passage"], None],
            ["truncate", "one_of", "string", False, ["END", "NONE"], "END"],
        ],
    }


def test_the_limits_that_are_told_are_those_that_hold(raw):
    told = {info["model"]: info["max_sequence_length"] for info in raw["models"]["models"]}
    assert told[RERANKER] == 1024, "see rerank_too_long"
    assert (told[DENSE_MODEL], told[SPARSE_MODEL]) == (256, 512)


def test_stand_ins_say_so(raw):
    descriptions = {info["model"]: info["short_description"] for info in raw["models"]["models"]}
    assert [name for name in PINECONE_EMBEDS + PINECONE_RERANKS if "stand-in" not in descriptions[name].lower()] == []


def test_what_is_refused(run):
    client, seen = run
    wrong = {
        name: refusal
        for name, refusal in seen["refusals"].items()
        if not is_as_expected(client, REFUSALS[name], refusal)
    }
    assert wrong == {}


def is_as_expected(client: Client, expected: tuple[int, str], refusal: list[Any] | None) -> bool:
    if refusal is None:
        return False
    is_hidden = client.language == "npm" and expected[0] == 404
    return refusal[0] == expected[0] and (is_hidden or expected[1] in refusal[1])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/embed", b""),
        ("/embed", b"[]"),
        ("/embed", b'{"model": "multilingual-e5-large"}'),
        ("/embed", b'{"model": 5, "inputs": [{"text": "a"}]}'),
        (
            "/embed",
            b'{"model": "multilingual-e5-large", "inputs": [{"text": 5}], "parameters": {"input_type": "query"}}',
        ),
        ("/embed", b'{"model": "multilingual-e5-large", "inputs": "text", "parameters": {"input_type": "query"}}'),
        ("/embed", b'{"model": "multilingual-e5-large", "inputs": [{"text": "a"}], "parameters": []}'),
        ("/rerank", b'{"model": "bge-reranker-v2-m3", "query": "a"}'),
        ("/rerank", b'{"model": "bge-reranker-v2-m3", "query": "", "documents": [{"text": "a"}]}'),
        ("/rerank", b'{"model": "bge-reranker-v2-m3", "query": "a", "documents": []}'),
        ("/rerank", b'{"model": "bge-reranker-v2-m3", "query": "a", "documents": [{"text": 5}]}'),
        ("/rerank", b'{"model": "bge-reranker-v2-m3", "query": "a", "documents": [{"text": "a"}], "top_n": 0}'),
        ("/rerank", b'{"model": "bge-reranker-v2-m3", "query": "a", "documents": [{"text": "a"}], "top_n": -1}'),
    ],
)
def test_a_body_that_cannot_be_taken(control, path, body):
    answer = control.send("POST", path, body)
    assert answer.status in (400, 422), answer.text
    assert answer.json["status"] == answer.status
    assert answer.json["error"]["message"]


@pytest.mark.parametrize("query", ["type=other", "vector_type=other", "type=rerank&vector_type=dense"])
def test_a_list_of_models_that_cannot_be(control, query):
    answer = control.send("GET", f"/models?{query}")
    assert (answer.status, answer.json["error"]["code"]) == (400, "INVALID_ARGUMENT")
