"""Requests about texts that no client means: the Records and the Inference API refuse them and change nothing."""

import json
from typing import Any, Final
from unittest.mock import MagicMock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinyon.errors import PinyonError
from pinyon.model.index import Embed
from pinyon.model.metric import Metric
from pinyon.service.inference import Inference
from pinyon.service.records import Records
from pinyon.service.requests import DescribeStats
from pinyon.wire.error_bodies import error_response
from pinyon.wire.http import Request, Response
from pinyon.wire.rest.control_plane import ControlPlaneRoutes
from pinyon.wire.rest.data_plane import DataPlaneRoutes
from tests.codecs import data_plane
from tests.fuzz.hostile import JSON, TEXTS, mutated
from tests.unit.service.fake_registry import DIMENSION, FakeRegistry

UPSERT: Final = "/records/namespaces/n/upsert"
SEARCH: Final = "/records/namespaces/n/search"
FIELDS: Final = {
    SEARCH: ["query", "fields", "rerank"],
    "/embed": ["model", "inputs", "parameters"],
    "/rerank": ["model", "query", "documents", "rank_fields", "top_n", "return_documents", "parameters"],
}
QUERY: Final = ["top_k", "inputs", "vector", "id", "filter", "match_terms"]
RERANK: Final = ["model", "rank_fields", "top_n", "parameters", "query"]
GOOD: Final = {
    UPSERT: b'{"_id":"a","body":"x \xc3\xa9","n":1,"l":["x"]}\n{"id":"b","body":"y"}\n',
    SEARCH: b'{"query":{"top_k":3,"inputs":{"text":"kept"},"filter":{"n":{"$in":[1,2]}},"match_terms":{"terms":["a"]}},'
    b'"fields":["body"],"rerank":{"model":"ranker","rank_fields":["body"],"top_n":2,"parameters":{"truncate":"END"}}}',
    "/embed": b'{"model":"dense","inputs":[{"text":"x"}],"parameters":{"input_type":"query","dimension":64}}',
    "/rerank": b'{"model":"ranker","query":"x","documents":[{"text":"y","o":{"a":[1,null]}}],"rank_fields":["text"],'
    b'"top_n":1,"return_documents":true,"parameters":{"truncate":"NONE"}}',
}


class Target:
    """An index that embeds text, with one record, and the inference API over the same models."""

    def __init__(self, model: str) -> None:
        models = FakeRegistry()
        embed = Embed(
            model=model, text_field="body", read_parameters={}, write_parameters={}, fingerprint=f"{model}-weights-1"
        )
        self.plane = data_plane(DIMENSION if model == "dense" else None, Metric.DOTPRODUCT, embed=embed)
        self._data = DataPlaneRoutes(self.plane, Records(self.plane, Inference(models)))
        self._control = ControlPlaneRoutes(MagicMock(), MagicMock(), Inference(models))
        assert self.send(UPSERT, b'{"_id":"kept","body":"kept text"}') == 201

    def send(self, path: str, body: bytes, method: str = "POST", query: str = "") -> int:
        """Send a request; a refusal is a 4xx with a body that says so, and leaves everything as it was."""
        request = Request(method, path, query, {"x-pinecone-api-version": "2025-10"}, body)
        before = self.plane.describe_stats(DescribeStats())
        try:
            response = self._handle(request)
        except PinyonError as error:
            response = error_response(error, request)
        if response.status not in (200, 201):
            assert 400 <= response.status < 500, response.body
            assert json.loads(response.body)["status"] == response.status
            assert self.plane.describe_stats(DescribeStats()) == before
        if response.body:
            json.loads(response.body, parse_constant=pytest.fail)
            assert b'score":null' not in response.body
        return response.status

    def _handle(self, request: Request) -> Response:
        routes = self._data if request.raw_path.startswith("/records") else self._control
        return routes.handle(request)


MODELS: Final = st.sampled_from(["dense", "sparse"])


def objects(names: list[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(names), values, max_size=4)


@settings(max_examples=300)
@given(st.data())
def test_bodies_of_any_json(data):
    target = Target(data.draw(MODELS))
    for _ in range(3):
        path = data.draw(st.sampled_from(list(FIELDS)))
        known = st.sampled_from(["dense", "sparse", "ranker"])
        fields = objects(FIELDS[path], st.one_of(JSON, objects(QUERY + RERANK, JSON), known))
        target.send(path, json.dumps(data.draw(st.one_of(fields, JSON))).encode())


@settings(max_examples=300)
@given(MODELS, st.data())
def test_upserts_of_any_lines(model, data):
    record = st.dictionaries(st.sampled_from(["_id", "id", "body", "n"]) | TEXTS, JSON, max_size=4)
    good = st.fixed_dictionaries({"_id": TEXTS, "body": TEXTS}, optional={"n": JSON, "id": TEXTS})
    lines = data.draw(st.lists(st.one_of(record, good, JSON), max_size=4))
    ends = data.draw(st.sampled_from(["\n", "\r\n", "\n\n", " \n\t", "\r", ""]))
    Target(model).send(UPSERT, ends.join(json.dumps(line) for line in lines).encode())


@settings(max_examples=400)
@given(MODELS, st.data())
def test_bodies_that_are_nearly_right(model, data):
    path = data.draw(st.sampled_from(list(GOOD)))
    Target(model).send(path, data.draw(mutated(GOOD[path])))


@pytest.mark.parametrize("path", GOOD)
def test_the_good_bodies_are_good(path):
    assert Target("sparse").send(path, GOOD[path]) in (200, 201)


@settings(max_examples=200)
@given(st.sampled_from(["GET", "DELETE", "POST", "PUT"]), st.data())
def test_targets_of_any_kind(method, data):
    segment = st.sampled_from(["records", "namespaces", "upsert", "search", "embed", "models", "dense", "%2F", "%", ""])
    path = "/" + "/".join(data.draw(st.lists(segment, max_size=5)))
    if path.partition("/")[2].partition("/")[0] in ("records", "embed", "models"):
        Target("dense").send(path, b"", method, data.draw(st.text("typevcor_=&%é+", max_size=20)))


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"_id":"a","body":"x","n":' + b"[" * 1000 + b"]" * 1000 + b"}",
        b'{"_id":"a","body":"x","n":' + b'{"a":' * 1000 + b"1" + b"}" * 1000 + b"}",
        b"{}\n" * 300_000,
        b"x\n" * 300_000,
        b" " * 3_000_000 + b"x",
        b'{"_id":"' + b"x" * 1_000_000 + b'","body":"x"}',
        b'{"_id":"a","body":"' + b"x" * 1_000_000 + b'"}',
        b'{"_id":"a","body":"x","' + b"k" * 1_000_000 + b'":1}',
        b'{"_id":"a","body":"x","n":' + b"9" * 100_000 + b"}",
        b'{"_id":"a","body":"x","n":1e999}',
        b'{"_id":"a","body":"\\ud800"}',
        b'{"_id":"a","body":"\xff"}',
        b'{"_id":"a","body":"x"}\0',
        b'{"_id":"a","body":"x"}\n\xef\xbb\xbf{"_id":"b","body":"x"}',
        b"\x1f\x8b\x08\0",
        b"",
        b"\n" * 3_000_000,
    ],
    ids=lambda body: f"{body[:40]!r} {len(body)}",
)
@pytest.mark.parametrize("path", GOOD)
def test_bodies_that_are_known_to_hurt(path, body):
    assert Target("dense").send(path, body) in (400, 422)


@pytest.mark.parametrize("depth", [60, 70, 1000, 100_000])
@pytest.mark.parametrize("opening", ['{"$and":[', '{"$not":', '{"a":['])
def test_filters_of_any_depth(opening, depth):
    closing = "".join({"{": "}", "[": "]"}[letter] for letter in reversed(opening) if letter in "{[")
    body = '{"query":{"top_k":1,"id":"kept","filter":' + opening * depth + '{"a":1}' + closing * depth + "}}"
    assert Target("dense").send(SEARCH, body.encode()) in (200, 400)


def test_a_repeated_key_is_no_way_around_a_rule():
    target = Target("dense")
    for fields in (b'"_id":"a","_id":5,"body":"x"', b'"_id":"a","body":"x","body":5', b'"_id":"a","id":"a","id":"b"'):
        assert target.send(UPSERT, b"{" + fields + b"}") == 400
