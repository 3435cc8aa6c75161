"""Which records of text may be embedded, and which searches are well asked."""

from typing import Any

import numpy as np
import pytest

from pinyon.errors import InvalidArgumentError
from pinyon.model.record import SparseVector
from pinyon.protobuf.struct import decode_metadata
from pinyon.service.record_requests import RerankHits, SearchRecords, TextRecord
from pinyon.service.record_rules import check_embed, check_records, check_search, rerank_query, shown_fields

VECTOR = np.ones(2, np.float32)
SPARSE = SparseVector(np.array([1], np.uint32), np.ones(1, np.float32))
LONG = "a" * (2**20 + 1)
BATCH_SIZE = "Error parsing request: Invalid input: Batch size exceeds 96"


def record(id_: str = "a", /, **fields: Any) -> TextRecord:
    return TextRecord(id_, {"body": "some text"} | fields)


def search(**changes: Any) -> SearchRecords:
    request: dict[str, Any] = {"namespace": "", "top_k": 3}
    return SearchRecords(**request | changes)


def test_the_text_is_embedded_and_kept_among_the_other_fields():
    checked = check_records([record(year=1999, tags=["x"], seen=None), record("b", body="other")], "body")
    assert (checked.ids, checked.texts) == (["a", "b"], ["some text", "other"])
    assert [decode_metadata(metadata) for metadata in checked.metadata] == [
        {"body": "some text", "year": 1999.0, "tags": ["x"]},
        {"body": "other"},
    ]


def test_the_last_record_of_an_id_counts():
    checked = check_records([record("a", body="1"), record("b", body="2"), record("a", body="3")], "body")
    assert (checked.ids, checked.texts) == (["b", "a"], ["2", "3"])


@pytest.mark.parametrize(
    ("records", "text"),
    [
        ([], "Upsert request must contain at least one record"),
        ([record(str(number)) for number in range(97)], BATCH_SIZE),
        ([record(), TextRecord("b", {"other": "text"})], "Missing field 'body' of record 'b'"),
        ([record(body=None)], "Missing field 'body' of record 'a'"),
        ([record(body=5)], "Invalid field 'body' of record 'a'"),
        ([record(body=["text"])], "Invalid field 'body' of record 'a'"),
        ([record(body="")], "Empty field 'body' of record 'a'"),
        ([record(body=" \n")], "Empty field 'body' of record 'a'"),
        ([record("")], "Vector ID must not be empty"),
        ([record("é")], "Vector ID must be ASCII"),
        ([record("a\0b")], "Vector ID must be ASCII"),
        ([record("x" * 513)], "Vector ID must be no longer than 512 characters"),
        (
            [record(author={"name": "x", "age": 3})],
            "Metadata value must be a string, number, boolean or list of strings, "
            """got '{"name":"x","age":3.0}' for field 'author'""",
        ),
        ([TextRecord("a", {"body": "x", "$where": 1})], "Metadata field '$where' cannot start with '$'"),
        ([record(body="x" * 40_960)], "exceeds the limit of 40960 bytes per vector"),
        ([record(number=10**400)], "Number is too large"),
        # A record that another one replaces is looked at all the same.
        ([record(body=5), record()], "Invalid field 'body' of record 'a'"),
    ],
)
def test_records_that_are_refused(records, text):
    with pytest.raises(InvalidArgumentError) as refusal:
        check_records(records, "body")
    assert text in refusal.value.message


def test_ninety_six_records_are_taken():
    assert len(check_records([record(str(number)) for number in range(96)], "body").ids) == 96


def test_an_index_without_a_model_takes_no_text():
    with pytest.raises(InvalidArgumentError, match=r"^Integrated inference is not configured for this index$"):
        check_embed(None)


@pytest.mark.parametrize(
    "source", [{"text": "a"}, {"dense": VECTOR}, {"sparse": SPARSE}, {"dense": VECTOR, "sparse": SPARSE}, {"id": "a"}]
)
def test_a_search_is_for_one_thing(source):
    check_search(search(**source))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "got none of them"),
        ({"text": "a", "id": "b"}, "got 'inputs' and 'id'"),
        ({"text": "a", "dense": VECTOR}, "got 'inputs' and 'vector'"),
        ({"text": "a", "sparse": SPARSE, "id": "b"}, "got 'inputs' and 'vector' and 'id'"),
        ({"text": ""}, "The text to search for must not be empty"),
        ({"text": "\t "}, "The text to search for must not be empty"),
        ({"text": LONG}, "The text to search for has 1048577 characters"),
        ({"text": "a", "terms": ["a", LONG[2:]]}, "The text of match_terms has 1048577 characters"),
        ({"text": "a", "top_k": 0}, "top_k must be between 1 and 10000"),
        ({"text": "a", "top_k": 10_001}, "top_k must be between 1 and 10000"),
        ({"text": "a", "namespace": "é"}, "Namespace must be ASCII"),
        ({"text": "a", "rerank": RerankHits("m", ["f"], top_n=0)}, "top_n must be at least 1"),
    ],
)
def test_searches_that_are_refused(changes, text):
    with pytest.raises(InvalidArgumentError) as refusal:
        check_search(search(**changes))
    assert text in refusal.value.message


def test_hits_are_compared_with_the_rerankers_query_or_else_the_text():
    assert rerank_query(RerankHits("m", ["f"]), "text") == "text"
    assert rerank_query(RerankHits("m", ["f"], query="own"), "text") == "own"
    assert rerank_query(RerankHits("m", ["f"], query="own"), None) == "own"
    with pytest.raises(InvalidArgumentError, match="needs a 'query'"):
        rerank_query(RerankHits("m", ["f"]), None)
    with pytest.raises(InvalidArgumentError, match="must not be empty"):
        rerank_query(RerankHits("m", ["f"], query=" "), "text")
    with pytest.raises(InvalidArgumentError, match="The query of rerank has 1048577 characters"):
        rerank_query(RerankHits("m", ["f"], query=LONG), "text")


@pytest.mark.parametrize(
    ("wanted", "names"),
    [(None, ["a", "b"]), (["*"], ["a", "b"]), (["b", "*"], ["a", "b"]), ([], []), (["b", "no"], ["b"])],
)
def test_fields_that_are_shown(wanted, names):
    assert sorted(shown_fields({"a": 1, "b": 2}, wanted)) == names
