"""Bodies of the Records API as clients send them, and what is no such body."""

import importlib.util
import json
from collections import deque
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinyon.errors import InvalidArgumentError
from pinyon.service.record_requests import RerankHits, SearchRecords
from pinyon.wire.rest import plain_json, vector_json
from pinyon.wire.rest.record_bodies import parse_records, parse_search

# simdjson has no wheel for every interpreter; the one that stands in for it gives the same answers.
NATIVE: Any = importlib.import_module("simdjson") if importlib.util.find_spec("simdjson") else None
PARSERS = [plain_json] if NATIVE is None else [NATIVE, plain_json]


@pytest.fixture(scope="module", autouse=True, params=PARSERS, ids=lambda module: module.__name__)
def json_parser(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vector_json, "simdjson", request.param)
        patch.setattr(vector_json, "_parsers", deque(maxlen=4))
        yield


def search(**body: Any) -> SearchRecords:
    return parse_search(json.dumps(body).encode(), "n")


# Records.


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (b'{"_id":"a","body":"x"}', ["a"]),
        (b'{"id":"a","body":"x"}\n', ["a"]),
        (b'{"id":"a","_id":"a","body":"x"}', ["a"]),
        (b'{"id":null,"_id":"a","body":"x"}', ["a"]),
        (b'\n\r\n  \n{"_id":"a","body":"x"}\r\n\n{"_id":"b","body":"x"}\n\n', ["a", "b"]),
        (b' {"_id":"a","body":"x"} \n\t{"_id":"b","body":"x"}', ["a", "b"]),
        ('{"_id":"a","body":"é\\u00e9"}\n{"_id":"b","body":"\\n"}'.encode(), ["a", "b"]),
        (b"", []),
        (b" \n\n\r\n" * 3, []),
    ],
)
def test_lines_as_clients_send_them(body, ids):
    assert [record.id for record in parse_records(body)] == ids
    # As a large body comes from the wire.
    assert [record.id for record in parse_records(memoryview(bytearray(body)))] == ids


def test_ids_are_no_fields():
    (record,) = parse_records(b'{"_id":"a","id":"a","body":"x","n":null}')
    assert record.fields == {"body": "x", "n": None}


def test_nothing_behind_the_ninety_sixth_record_is_read():
    with pytest.raises(InvalidArgumentError, match="Batch size exceeds 96"):
        parse_records(b'{"_id":"a"}\n' * 96 + b"{" * 1_000_000)


# Searches.


def test_a_search_for_a_text_with_everything():
    rerank = {"model": "m", "rank_fields": ["a", "b"], "top_n": 2, "query": "q", "parameters": {"truncate": "END"}}
    query = {
        "top_k": 3,
        "inputs": {"text": "x"},
        "filter": {"a": {"$in": [1]}},
        "match_terms": {"strategy": "all", "terms": ["t", "u"]},
    }
    assert search(query=query, fields=["f"], rerank=rerank) == SearchRecords(
        namespace="n",
        top_k=3,
        text="x",
        filter={"a": {"$in": [1]}},
        terms=["t", "u"],
        fields=["f"],
        rerank=RerankHits("m", ["a", "b"], "q", 2, {"truncate": "END"}),
    )


def test_a_search_with_nothing_more_than_it_needs():
    assert search(query={"top_k": 1, "id": "a"}) == SearchRecords(namespace="n", top_k=1, id="a")
    bare = search(query={"top_k": 1, "id": "a"}, rerank={"model": "m", "rank_fields": []}).rerank
    assert bare == RerankHits("m", [], None, None, {})


@pytest.mark.parametrize(
    ("vector", "dense", "sparse"),
    [
        ({"values": [1, 2.5, -1e-3]}, [1.0, 2.5, -0.001], None),
        ({"sparse_indices": [7, 4294967295], "sparse_values": [0.5, 1]}, None, ([7, 4294967295], [0.5, 1.0])),
        ({"values": [1], "sparse_indices": [1.0, "2"], "sparse_values": [3, 4]}, [1.0], ([1, 2], [3.0, 4.0])),
        ({"values": [], "sparse_indices": [], "sparse_values": []}, None, None),
        ({"values": None}, None, None),
        ({}, None, None),
    ],
)
@pytest.mark.parametrize("others", [{}, {"fields": ["*"]}, {"fields": ["[", "\\"]}])
def test_vectors(vector, dense, sparse, others):
    found = search(query={"top_k": 1, "vector": vector, "filter": {"a": {"$in": [[]]}}}, **others)
    if dense is None:
        assert found.dense is None
    else:
        assert found.dense is not None
        assert found.dense.dtype == np.float32
        np.testing.assert_array_equal(found.dense, np.array(dense, np.float32))
    shown = found.sparse and (found.sparse.indices.tolist(), found.sparse.values.tolist())
    assert shown == sparse


@pytest.mark.parametrize(
    "vector",
    [
        {"values": [[1]]},
        {"values": [1, [2]]},
        {"values": [1, "2"]},
        {"values": [True]},
        {"sparse_indices": [1], "sparse_values": [[1]]},
        {"sparse_indices": [[1]], "sparse_values": [1]},
        {"sparse_indices": [1, 2], "sparse_values": [1]},
        {"sparse_values": [1]},
        {"sparse_indices": [2**32], "sparse_values": [1]},
        {"indices": [1], "sparse_values": [1]},
    ],
    ids=json.dumps,
)
@pytest.mark.parametrize("others", [{}, {"fields": ["*"]}, {"fields": ["["]}])
def test_lists_that_are_no_vector(vector, others):
    with pytest.raises(InvalidArgumentError):
        search(query={"top_k": 1, "vector": vector}, **others)


def test_a_search_keeps_nothing_of_the_parser(monkeypatch):
    """A body's parser is free for the next request while a text is embedded."""
    body = {"top_k": 1, "inputs": {"text": "a"}, "vector": {"values": [1.5]}, "filter": {"a": {"b": [1]}}}
    first = search(query=body)
    monkeypatch.setattr(vector_json, "_parse_afresh", None)
    second = search(query=body | {"filter": {"a": 2}})
    assert (first.filter, second.filter) == ({"a": {"b": [1]}}, {"a": 2})
    assert first.dense is not None
    assert first.dense.tolist() == [1.5]


# Anything.


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**65) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(st.dictionaries(st.sampled_from(["_id", "id", "body", "n"]), JSON), max_size=4), st.binary(max_size=9))
def test_any_lines_are_records_or_refused(lines, tail):
    body = "\n".join(json.dumps(line) for line in lines).encode() + b"\n" + tail
    try:
        records = parse_records(body)
    except InvalidArgumentError:
        return
    assert all(isinstance(record.id, str) for record in records)


SEARCH_PARTS = st.fixed_dictionaries(
    {},
    optional={
        "query": st.fixed_dictionaries(
            {},
            optional={
                "top_k": JSON,
                "inputs": JSON | st.fixed_dictionaries({"text": JSON}),
                "id": JSON,
                "vector": JSON | st.dictionaries(st.sampled_from(["values", "sparse_values", "sparse_indices"]), JSON),
                "filter": JSON,
                "match_terms": JSON | st.dictionaries(st.sampled_from(["strategy", "terms"]), JSON),
            },
        )
        | JSON,
        "fields": JSON,
        "rerank": JSON | st.dictionaries(st.sampled_from(["model", "rank_fields", "top_n", "parameters"]), JSON),
    },
)


@given(SEARCH_PARTS | JSON)
def test_any_body_is_a_search_or_refused(body):
    try:
        search = parse_search(json.dumps(body).encode(), "n")
    except InvalidArgumentError:
        return
    assert isinstance(search.top_k, int)
