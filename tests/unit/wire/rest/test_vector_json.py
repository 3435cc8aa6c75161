"""Numbers out of JSON: what becomes which array, and what is no list of numbers."""

import importlib.util
import json
from collections import deque
from typing import Any

import numpy as np
import pytest

from pinyon.errors import InvalidArgumentError
from pinyon.wire.rest import plain_json, vector_json
from pinyon.wire.rest.vector_json import field_names, parse_object, read_int, read_records, read_vectors

# simdjson has no wheel for every interpreter; the one that stands in for it gives the same answers.
NATIVE: Any = importlib.import_module("simdjson") if importlib.util.find_spec("simdjson") else None
PARSERS = [plain_json] if NATIVE is None else [NATIVE, plain_json]


@pytest.fixture(autouse=True, params=PARSERS, ids=lambda module: module.__name__)
def json_parser(request, monkeypatch):
    monkeypatch.setattr(vector_json, "simdjson", request.param)
    monkeypatch.setattr(vector_json, "_parsers", deque(maxlen=4))


UPSERT = field_names("vectors", "namespace")
QUERY = field_names("vector", "sparseVector", "filter", "topK")


def records(*vectors: Any, dimension: int | None = 2, text: str | None = None) -> Any:
    body = (text or json.dumps({"vectors": vectors})).encode()
    return read_records(body, parse_object(body, UPSERT)["vectors"], dimension)


def vectors(**fields: Any) -> Any:
    body = json.dumps(fields).encode()
    return read_vectors(body, parse_object(body, QUERY), "vector", "sparseVector")


def test_both_spellings_are_one_name() -> None:
    assert field_names("topK", "id") == {"topK": "topK", "top_k": "topK", "id": "id"}


def test_fields_that_are_null_are_left_out() -> None:
    assert parse_object(b'{"top_k": null, "filter": {}}', QUERY).keys() == {"filter"}


def test_a_body_may_be_a_view() -> None:
    assert parse_object(memoryview(b'{"topK": 1}'), QUERY) == {"topK": 1}
    assert parse_object(np.frombuffer(b'{"topK": 1}', np.uint8).data, QUERY) == {"topK": 1}


def test_bodies_at_the_same_time_do_not_share_a_parser() -> None:
    kept = [parse_object(json.dumps({"vector": [number]}).encode(), QUERY) for number in range(20)]
    assert [fields["vector"].as_list() for fields in kept] == [[number] for number in range(20)]


def test_a_wrong_body_leaves_no_trace_in_the_next_one() -> None:
    for _ in range(20):
        with pytest.raises(InvalidArgumentError, match="Invalid JSON payload received"):
            parse_object(b'{"vector": [1, 2', QUERY)
        assert parse_object(b'{"topK": 3}', QUERY) == {"topK": 3}


def test_records_become_columns() -> None:
    batch = records(
        {"id": "a", "values": [1, 2.5], "metadata": {"n": 1, "gone": None}},
        {"id": "b", "values": [0.1, -1e-3], "sparseValues": {"indices": [4294967295, 0], "values": [1, 0.5]}},
        {"id": "c", "values": [1, 1], "sparse_values": {"indices": [], "values": []}, "metadata": {}},
    )
    assert batch.ids == ["a", "b", "c"]
    assert batch.dense.dtype == np.float32
    assert batch.dense.flags.c_contiguous
    assert batch.dense.tolist() == [[1, 2.5], [np.float32(0.1), np.float32(-1e-3)], [1, 1]]
    assert batch.sparse.offsets.tolist() == [0, 0, 2, 2]
    assert batch.sparse.indices.tolist() == [4294967295, 0]
    assert batch.sparse.values.dtype == np.float32
    assert [len(batch.metadata[row]) > 0 for row in range(3)] == [True, False, False]


def test_records_without_sparse_values_and_metadata_have_no_such_columns() -> None:
    batch = records({"id": "a", "values": [1, 2]})
    assert (batch.sparse, batch.metadata) == (None, None)


@pytest.mark.parametrize("values", [{}, {"values": []}, {"values": None}])
def test_records_of_a_sparse_index_have_no_dense_column(values: Any) -> None:
    batch = records({"id": "a", "sparseValues": {"indices": [1], "values": [1]}} | values, dimension=None)
    assert batch.dense is None


def test_numbers_are_rounded_once_from_what_was_written() -> None:
    text = '{"vectors":[{"id":"a","values":[0.1000000014901161193847656250000001, 16777217]}]}'
    assert records(text=text).dense.tolist() == [[np.float32(0.1), 16777216.0]]


def test_a_number_beyond_float32_is_infinite_without_a_warning() -> None:
    assert np.isinf(records({"id": "a", "values": [1e39, -1e300]}).dense).all()


def test_integers_beyond_64_bits_are_refused_by_simdjson_and_floats_to_orjson() -> None:
    text = b'{"topK": 18446744073709551616}'
    if vars(vector_json)["simdjson"] is plain_json:
        assert parse_object(text, QUERY) == {"topK": 2.0**64}
    else:
        with pytest.raises(InvalidArgumentError, match="Invalid JSON payload received"):
            parse_object(text, QUERY)


# A list of one number inside a list of numbers, which the parser would take for the number.

NESTED = [[[1], [2]], [1, [2]], [[1, 2], []], [[[[1]]], 2]]
AROUND: list[dict[str, Any]] = [
    {},
    {"metadata": {"a": "[[["}},
    {"metadata": {"a": ["x", "[y["], "[": "[x]("}},
    {"metadata": {"a[": None}},
    {"sparseValues": {}},
    {"sparseValues": {"indices": [], "values": []}},
    {"sparseValues": None},
]


@pytest.mark.parametrize("values", NESTED)
@pytest.mark.parametrize("around", AROUND)
def test_nested_values_are_refused_whatever_is_around_them(values: Any, around: dict[str, Any]) -> None:
    flat = {"id": "b", "values": [1, 2]}
    for batch in ([{"id": "a", "values": values} | around], [flat, around | {"id": "a", "values": values}, flat]):
        with pytest.raises(InvalidArgumentError, match="expected a list of numbers"):
            records(*batch)


@pytest.mark.parametrize("around", AROUND)
def test_flat_values_are_taken_whatever_is_around_them(around: dict[str, Any]) -> None:
    assert len(records({"id": "a[[", "values": [1, 2]} | around)) == 1


@pytest.mark.parametrize("part", [{"indices": [[1]], "values": [1]}, {"indices": [1], "values": [[1]]}])
def test_nested_sparse_values_are_refused(part: dict[str, Any]) -> None:
    for refuse in (
        lambda: records({"id": "a", "values": [1, 2], "sparseValues": part}),
        lambda: records({"id": "a", "sparseValues": part}, dimension=None),
        lambda: vectors(vector=[1, 2], sparseVector=part),
        lambda: vectors(sparseVector=part),
    ):
        with pytest.raises(InvalidArgumentError, match="expected a"):
            refuse()


@pytest.mark.parametrize("values", NESTED)
@pytest.mark.parametrize("around", [{}, {"filter": {"a": {"$in": ["[", "]"]}}}, {"sparseVector": {}}])
def test_nested_values_of_a_query_are_refused(values: Any, around: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="Invalid value for 'vector': expected a list of numbers"):
        vectors(vector=values, **around)


def test_the_vectors_of_a_query() -> None:
    dense, sparse = vectors(
        vector=[1, 2.5], sparseVector={"indices": [7.0, "8"], "values": [1, 0.5]}, filter={"a": "["}
    )
    assert (dense.dtype, dense.tolist()) == (np.float32, [1, 2.5])
    assert (sparse.indices.dtype, sparse.indices.tolist(), sparse.values.tolist()) == (np.uint32, [7, 8], [1, 0.5])


@pytest.mark.parametrize(
    "fields", [{}, {"vector": [], "sparseVector": {}}, {"sparseVector": {"values": [], "indices": []}}]
)
def test_empty_vectors_of_a_query_are_none(fields: dict[str, Any]) -> None:
    assert vectors(**fields) == (None, None)


@pytest.mark.parametrize(
    ("written", "number"),
    [
        (10, 10),
        (10.0, 10),
        ("10", 10),
        ("10.0", 10),
        ("1e2", 100),
        ("-3", -3),
        (-3.0, -3),
        (2**63, 2**63),
        (None, None),
    ],
)
def test_integers_in_every_form(written: Any, number: int | None) -> None:
    assert read_int({"topK": written}, "topK") == number


@pytest.mark.parametrize(
    "written",
    [1.5, "1.5", "", " ", "x", "--1", "1_000", "0x10", "nan", "inf", "-inf", float("inf"), True, [], {}, "²", "٣"],
)
def test_what_is_no_integer(written: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="'topK': expected an integer"):
        read_int({"topK": written}, "topK")


def test_long_strings_of_digits() -> None:
    assert read_int({"topK": "0" * 30 + "5"}, "topK") == 5
    assert read_int({"topK": "1" + "0" * 20}, "topK") == 10**20
    with pytest.raises(InvalidArgumentError, match="'topK': expected an integer"):
        read_int({"topK": "9" * 100_000}, "topK")


def test_too_many_records_are_refused_before_room_is_made_for_them() -> None:
    body = b'{"vectors":[' + b"{}," * 200_000 + b"{}]}"
    with pytest.raises(InvalidArgumentError, match="200001 vectors"):
        read_records(body, parse_object(body, UPSERT)["vectors"], 20_000)


def test_large_bodies_leave_no_large_parser_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_json, "_POOLED_BODY_BYTES_MAX", 100)
    vector_json._parsers.clear()
    parse_object(b'{"topK": 1}' + b" " * 100, QUERY)
    assert len(vector_json._parsers) == 0
    parse_object(b'{"topK": 1}', QUERY)
    assert len(vector_json._parsers) == 1


def test_a_bracket_that_is_written_as_an_escape_hides_no_list() -> None:
    with pytest.raises(InvalidArgumentError, match="list of numbers"):
        records(text='{"vectors": [{"id": "\\u005b", "values": [[0.1], 0.2]}]}')
    assert records(text='{"vectors": [{"id": "\\u005b", "values": [0.1, 0.2]}]}').ids == ["["]
