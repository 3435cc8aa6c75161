"""The Inference API over HTTP: what each path takes and answers, in which version, and what it refuses."""

import json
from typing import Any
from unittest.mock import MagicMock

import pytest

from pinyon.errors import PinyonError
from pinyon.service.inference import Inference
from pinyon.wire.error_bodies import error_response
from pinyon.wire.http import Request
from pinyon.wire.rest.control_plane import ControlPlaneRoutes
from tests.codecs import Answer, ok
from tests.unit.service.fake_registry import DIMENSION, FakeRegistry, index_of

QUERY = {"input_type": "query"}
DOCUMENTS = [{"text": "dogs are cool", "id": "1"}, {"text": "everyone loves dogs", "id": "2"}]
RERANK: dict[str, Any] = {"model": "ranker", "query": "who loves dogs", "documents": DOCUMENTS}


class Server:
    def __init__(self) -> None:
        self.models = FakeRegistry()
        self.routes = ControlPlaneRoutes(MagicMock(), MagicMock(), Inference(self.models))

    def send(self, method: str, target: str, body: object = None, version: str | None = "2025-10") -> Answer:
        path, _, query = target.partition("?")
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        headers = {} if version is None else {"x-pinecone-api-version": version}
        request = Request(method, path, query, headers, content)
        try:
            response = self.routes.handle(request)
        except PinyonError as error:
            response = error_response(error, request)
        return Answer(response.status, json.loads(response.body), response.headers)

    def embed(self, version: str | None = "2025-10", **changes: Any) -> Answer:
        body = {"model": "dense", "inputs": [{"text": "one two"}], "parameters": QUERY}
        return self.send("POST", "/embed", body | changes, version)

    def rerank(self, **changes: Any) -> Answer:
        return self.send("POST", "/rerank", RERANK | changes)


@pytest.fixture
def server() -> Server:
    return Server()


def refused(answer: Answer, status: int, code: str, text: str) -> None:
    """Check that an answer is a refusal in the shape of the control plane."""
    assert (answer.status, answer.body["status"], answer.body["error"]["code"]) == (status, status, code), answer.body
    assert text in answer.body["error"]["message"]


# Embed.


@pytest.mark.parametrize("version", ["2025-01", "2025-10", "2026-07", "unstable"])
def test_dense_embeddings(server, version):
    answer = ok(server.embed(version, inputs=[{"text": "one two"}, {"text": "three"}]))
    assert [(len(item.pop("values")), item) for item in answer.pop("data")] == [
        (DIMENSION, {"vector_type": "dense"}),
        (DIMENSION, {"vector_type": "dense"}),
    ]
    assert answer == {"model": "dense", "vector_type": "dense", "usage": {"total_tokens": 3}}


@pytest.mark.parametrize("version", [None, "2024-07", "2024-10"])
def test_dense_embeddings_of_the_oldest_versions(server, version):
    answer = ok(server.embed(version))
    assert [set(item) for item in answer["data"]] == [{"values"}]
    assert set(answer) == {"model", "data", "usage"}


def test_numbers_are_floats_with_the_digits_of_a_float32(server):
    values = ok(server.embed())["data"][0]["values"]
    assert all(isinstance(value, float) and len(repr(value)) < 16 for value in values)


def test_sparse_embeddings(server):
    answer = ok(server.embed(model="sparse", inputs=[{"text": "one two two"}]))
    assert answer == {
        "model": "sparse",
        "vector_type": "sparse",
        "data": [
            {
                "sparse_values": [1.0, 2.0],
                "sparse_indices": [index_of("one"), index_of("two")],
                "vector_type": "sparse",
            }
        ],
        "usage": {"total_tokens": 3},
    }


def test_tokens_of_sparse_embeddings_where_they_are_asked_for(server):
    for asked, tokens in ((True, ["one", "two"]), (False, None), (None, None)):
        answer = ok(server.embed(model="sparse", parameters=QUERY | {"return_tokens": asked}))
        assert answer["data"][0].get("sparse_tokens") == tokens


def test_inputs_may_be_bare_strings(server):
    assert ok(server.embed(inputs=["one two"])) == ok(server.embed())


@pytest.mark.parametrize(
    ("changes", "status", "code", "text"),
    [
        ({"model": "unknown-model"}, 404, "NOT_FOUND", "Model 'unknown-model' not found"),
        ({"inputs": []}, 400, "INVALID_ARGUMENT", "Must specify at least one input"),
        ({"inputs": [{"text": ""}]}, 400, "INVALID_ARGUMENT", "Input at index 0 must not be empty"),
        ({"inputs": [{"text": "a"}] * 97}, 400, "INVALID_ARGUMENT", "Input length '97' exceeded inputs limit of 96"),
        ({"parameters": None}, 400, "INVALID_ARGUMENT", "Required parameter 'input_type'"),
        ({"parameters": {"input_type": {"a": [1]}}}, 400, "INVALID_ARGUMENT", "Invalid parameter value input_type="),
        ({"inputs": [{"INVALID_FIELD": "a"}]}, 422, "UNPROCESSABLE_ENTITY", "INVALID_FIELD"),
        ({"inputs": [{}]}, 422, "UNPROCESSABLE_ENTITY", "missing field `text`"),
        ({"inputs": [{"text": 5}]}, 422, "UNPROCESSABLE_ENTITY", "Expected `str`, got `int`"),
        ({"inputs": "text"}, 422, "UNPROCESSABLE_ENTITY", "inputs"),
        ({"inputs": None}, 422, "UNPROCESSABLE_ENTITY", "inputs"),
        ({"model": None}, 422, "UNPROCESSABLE_ENTITY", "model"),
        ({"parameters": []}, 422, "UNPROCESSABLE_ENTITY", "parameters"),
        ({"x": 1}, 422, "UNPROCESSABLE_ENTITY", "unknown field `x`"),
    ],
)
def test_embed_requests_that_are_refused(server, changes, status, code, text):
    refused(server.embed(**changes), status, code, text)


# Rerank.


def test_documents_come_back_by_their_score_as_they_were(server):
    assert ok(server.rerank()) == {
        "model": "ranker",
        "data": [
            {"index": 1, "score": pytest.approx(2 / 3), "document": DOCUMENTS[1]},
            {"index": 0, "score": pytest.approx(1 / 3), "document": DOCUMENTS[0]},
        ],
        "usage": {"rerank_units": 1},
    }


def test_documents_are_left_out_where_they_are_not_asked_for(server):
    answer = ok(server.rerank(return_documents=False))
    assert [set(item) for item in answer["data"]] == [{"index", "score"}] * 2


def test_what_the_javascript_client_always_sends(server):
    changes = {"top_n": 1, "return_documents": True, "rank_fields": ["text"], "parameters": {}}
    assert [item["index"] for item in ok(server.rerank(**changes))["data"]] == [1]


def test_absent_and_null_are_the_same(server):
    names = ("top_n", "return_documents", "rank_fields", "parameters")
    assert ok(server.rerank(**dict.fromkeys(names))) == ok(server.rerank())


def test_documents_may_be_strings(server):
    answer = ok(server.rerank(documents=["cats", "who loves dogs"]))
    assert answer["data"][0] == {"index": 1, "score": 1.0, "document": {"text": "who loves dogs"}}


def test_documents_are_given_back_to_the_byte(server):
    document = b'{"text":"x", "big":123456789012345678901234567890,"deep":[{"a":[1.50,null]}],"\\u00e9":"\\u00e9"}'
    request = Request("POST", "/rerank", body=b'{"model":"ranker","query":"x","documents":[' + document + b"]}")
    body = server.routes.handle(request).body
    for part in (b"123456789012345678901234567890", b'[{"a":[1.50,null]}]', b'"\\u00e9"'):
        assert part in body


def test_rank_fields_of_documents_without_a_text(server):
    documents = [{"a": "cats"}, {"a": "dogs", "b": 5}]
    assert ok(server.rerank(documents=documents, rank_fields=["a"]))["data"][0]["index"] == 1


@pytest.mark.parametrize(
    ("changes", "status", "code", "text"),
    [
        ({"model": "unknown-model"}, 404, "NOT_FOUND", "Model 'unknown-model' not found"),
        ({"query": ""}, 400, "INVALID_ARGUMENT", "query must not be empty"),
        ({"documents": []}, 400, "INVALID_ARGUMENT", "Must specify at least one document"),
        ({"documents": [{"no": "x"}]}, 400, "INVALID_ARGUMENT", "field 'text' not found in document at index 0"),
        ({"rank_fields": ["no"]}, 400, "INVALID_ARGUMENT", "field 'no' not found in document at index 0"),
        ({"rank_fields": ["id", "text"]}, 400, "INVALID_ARGUMENT", "Only one rank field is supported for model"),
        ({"documents": [{"text": 5}]}, 400, "INVALID_ARGUMENT", "field 'text' must be a string"),
        ({"documents": ["x"] * 6}, 400, "INVALID_ARGUMENT", "Document length '6' exceeded documents limit of 5"),
        ({"top_n": 0}, 400, "INVALID_ARGUMENT", "top_n"),
        ({"top_n": -1}, 400, "INVALID_ARGUMENT", "top_n"),
        ({"top_n": 1.5}, 422, "UNPROCESSABLE_ENTITY", "top_n"),
        ({"top_n": "1"}, 422, "UNPROCESSABLE_ENTITY", "top_n"),
        ({"documents": [5]}, 422, "UNPROCESSABLE_ENTITY", "documents"),
        ({"documents": None}, 422, "UNPROCESSABLE_ENTITY", "documents"),
        ({"query": None}, 422, "UNPROCESSABLE_ENTITY", "query"),
        ({"return_documents": "no"}, 422, "UNPROCESSABLE_ENTITY", "return_documents"),
        ({"rank_fields": "text"}, 422, "UNPROCESSABLE_ENTITY", "rank_fields"),
        ({"extra": 1}, 422, "UNPROCESSABLE_ENTITY", "unknown field `extra`"),
    ],
)
def test_rerank_requests_that_are_refused(server, changes, status, code, text):
    refused(server.rerank(**changes), status, code, text)


# Models.


def test_every_model_is_told_with_what_it_has(server):
    models = {model["model"]: model for model in ok(server.send("GET", "/models"))["models"]}
    assert list(models) == ["dense", "sparse", "ranker", "wide-ranker"]
    about = {"modality": "text", "max_sequence_length": 16, "max_batch_size": 96, "provider_name": "Tests"}
    input_type = {
        "parameter": "input_type",
        "type": "one_of",
        "value_type": "string",
        "required": True,
        "allowed_values": ["query", "passage"],
    }
    truncate = input_type | {
        "parameter": "truncate",
        "required": False,
        "allowed_values": ["END", "NONE"],
        "default": "END",
    }
    dimension = truncate | {
        "parameter": "dimension",
        "value_type": "integer",
        "allowed_values": [32, 64],
        "default": 64,
    }
    assert models["dense"] == about | {
        "model": "dense",
        "short_description": "About dense.",
        "type": "embed",
        "vector_type": "dense",
        "default_dimension": 64,
        "supported_dimensions": [32, 64],
        "supported_metrics": ["cosine", "dotproduct"],
        "supported_parameters": [input_type, truncate, dimension],
    }
    assert set(models["dense"]) - set(models["sparse"]) == {"default_dimension", "supported_dimensions"}
    assert models["sparse"]["supported_parameters"][-1] == {
        "parameter": "return_tokens",
        "type": "any",
        "value_type": "boolean",
        "required": False,
        "default": False,
    }
    assert models["ranker"] == about | {
        "model": "ranker",
        "short_description": "About ranker.",
        "type": "rerank",
        "max_batch_size": 5,
        "supported_parameters": [truncate],
    }
    assert models["wide-ranker"]["supported_parameters"] == [
        {
            "parameter": "chunks",
            "type": "numeric_range",
            "value_type": "integer",
            "required": False,
            "min": 1,
            "max": 9,
            "default": 9,
        }
    ]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("type=embed", ["dense", "sparse"]),
        ("type=rerank", ["ranker", "wide-ranker"]),
        ("vector_type=sparse", ["sparse"]),
        ("type=embed&vector_type=dense", ["dense"]),
        ("type=&vector_type=", ["dense", "sparse", "ranker", "wide-ranker"]),
    ],
)
def test_models_by_kind_and_vector_type(server, query, names):
    assert [model["model"] for model in ok(server.send("GET", f"/models?{query}"))["models"]] == names


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("type=speak", "Invalid value for 'type': 'speak', must be one of [embed, rerank]"),
        ("vector_type=round", "Invalid value for 'vector_type': 'round', must be one of [dense, sparse]"),
        ("type=rerank&vector_type=dense", "vector_type is not supported when type='rerank'"),
    ],
)
def test_filters_of_models_that_are_refused(server, query, text):
    refused(server.send("GET", f"/models?{query}"), 400, "INVALID_ARGUMENT", text)


def test_one_model_is_told_as_in_the_list(server):
    listed = ok(server.send("GET", "/models"))["models"]
    assert [ok(server.send("GET", f"/models/{model['model']}")) for model in listed] == listed
    refused(server.send("GET", "/models/unknown"), 404, "NOT_FOUND", "Model unknown not found")


# Paths.


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/embed", "POST"), ("GET", "/rerank", "POST"), ("POST", "/models", "GET"), ("DELETE", "/models/a", "GET")],
)
def test_a_wrong_method_is_not_allowed(server, method, path, allowed):
    answer = server.send(method, path)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/embed/x", "/rerank/x", "/models/a/b"])
def test_paths_that_are_not_there(server, path):
    refused(server.send("POST", path), 404, "NOT_FOUND", "not found")


@pytest.mark.parametrize(
    ("method", "path", "takes_model"),
    [
        ("POST", "/embed", True),
        ("POST", "/rerank", True),
        ("GET", "/models/dense", True),
        ("POST", "/indexes/create-for-model", True),
        ("GET", "/models", False),
        ("GET", "/indexes", False),
        ("POST", "/indexes", False),
        ("GET", "/indexes/embed", False),
    ],
)
def test_which_requests_take_a_model(server, method, path, takes_model):
    assert server.routes.takes_model(method, path) is takes_model
    assert not server.routes.is_brief(method, path)


@pytest.mark.parametrize("path", ["/embed", "/rerank"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'"x"',
        b'{"model":"\xff"}',
        b'{"model":"\\ud800"}',
        b"[" * 100_000,
        b'{"model":"ranker","query":"x","documents":[{"text":' + b"[" * 100_000,
        b'{"model":"ranker","query":"x","documents":[{"text":' + b"[" * 500 + b"]" * 500 + b"}]}",
        b'{"model":"ranker","query":"x","documents":[{"text":1e999}]}',
        b'{"model":"ranker","query":"x","documents":[{"text":"x","other":"\xff"}]}',
        b'{"model":"ranker","query":"x","documents":[{"text":"\\ud800"}]}',
    ],
    ids=lambda body: body[:60].decode("latin-1"),
)
def test_bodies_that_are_no_request_are_refused(server, path, body):
    assert server.send("POST", path, body).status in (400, 422)
