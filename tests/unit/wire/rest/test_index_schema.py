"""Schemas of 2026-07: those that mean a classic index, those that are wrong, and those that are not built yet."""

from typing import Any

import pytest

from pinyon.errors import InvalidArgumentError, PinyonError, UnimplementedError, UnprocessableError
from pinyon.model.metric import Metric, VectorType
from pinyon.wire.rest.index_schema import ClassicVectors, classic_vectors

DENSE = {"type": "dense_vector", "dimension": 3, "metric": "euclidean"}
SPARSE = {"type": "sparse_vector"}
TEXT: dict[str, Any] = {"type": "string", "full_text_search": {}}
SHAPE = "Failed to deserialize the JSON body into the target type: "


@pytest.mark.parametrize(
    ("fields", "vectors"),
    [
        ({"_values": DENSE}, ClassicVectors(VectorType.DENSE, 3, Metric.EUCLIDEAN)),
        ({"_values": DENSE, "_sparse_values": SPARSE}, ClassicVectors(VectorType.DENSE, 3, Metric.EUCLIDEAN)),
        ({"_values": {"type": "dense_vector", "dimension": 3}}, ClassicVectors(VectorType.DENSE, 3, None)),
        ({"_values": DENSE | {"description": None}}, ClassicVectors(VectorType.DENSE, 3, Metric.EUCLIDEAN)),
        ({"_sparse_values": SPARSE}, ClassicVectors(VectorType.SPARSE)),
    ],
)
def test_reserved_fields_alone_are_a_classic_index(fields: dict[str, Any], vectors: ClassicVectors) -> None:
    assert classic_vectors(fields) == vectors


@pytest.mark.parametrize(
    "fields",
    [
        {"title": TEXT},
        {"embedding": DENSE},
        {"a": DENSE, "b": SPARSE, "title": TEXT | {"description": "é" * 128}},
        {"title": {"type": "string", "embed": {}}},
        {
            "title": {
                "type": "string",
                "embed": {"model": "m", "dimension": 384},
                "sparse_embed": {},
                "store_text": False,
            }
        },
        {"title": {"type": "string", "full_text_search": {"language": "en", "stemming": True, "stop_words": True}}},
        {"title": {"type": "string", "full_text_search": {"ngram": {"min_gram": 1, "max_gram": 10}}}},
        {f"text{number}": TEXT for number in range(100)},
        {"a" * 64: TEXT},
    ],
)
def test_a_right_document_schema_is_not_built_yet(fields: dict[str, Any]) -> None:
    with pytest.raises(UnimplementedError, match="document schema"):
        classic_vectors(fields)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {},
            "Schema must contain at least one of the following field types: "
            "dense_vector, sparse_vector, string with full_text_search",
        ),
        ({"genre": {"type": "string", "filterable": True}}, "only accepts fields used for search"),
        ({"genre": {"filterable": True}}, "only accepts fields used for search"),
        ({"year": {"type": "float"}}, "only accepts fields used for search"),
        ({"title": TEXT, "tags": {"type": "string_list", "filterable": True}}, "only accepts fields used for search"),
        ({"_values": DENSE, "title": TEXT}, "cannot be combined with other fields"),
        ({"_values": SPARSE}, "_values must be of type dense_vector"),
        ({"_sparse_values": DENSE}, "_sparse_values must be of type sparse_vector"),
        ({"_sparse_values": TEXT}, "_sparse_values must be of type sparse_vector"),
        ({"_values": DENSE | {"description": "d"}}, "Reserved fields do not accept a description"),
        ({"_id": TEXT}, "reserved"),
        ({"$and": TEXT}, "must not start with"),
        ({"": TEXT}, "must be 1 to 64 bytes"),
        ({"é" * 33: TEXT}, "must be 1 to 64 bytes"),
        ({"title": TEXT | {"description": "é" * 129}}, "over 256 bytes"),
        ({"a": DENSE, "b": DENSE}, "at most one dense and one sparse"),
        ({"a": SPARSE, "b": SPARSE}, "at most one dense and one sparse"),
        ({"a": DENSE, "b": {"type": "string", "embed": {}}}, "at most one dense and one sparse"),
        ({"a": SPARSE, "b": {"type": "string", "sparse_embed": {}}}, "at most one dense and one sparse"),
        ({f"text{number}": TEXT for number in range(101)}, "at most 100 fields"),
        ({"title": TEXT | {"store_text": False}}, "store_text"),
        ({"title": {"type": "string", "embed": {}, "full_text_search": {}, "store_text": False}}, "store_text"),
        ({"title": {"type": "string", "full_text_search": {"stop_words": True}}}, "stop_words requires stemming"),
        (
            {
                "title": {
                    "type": "string",
                    "full_text_search": {"stemming": True, "ngram": {"min_gram": 1, "max_gram": 2}},
                }
            },
            "ngram excludes stemming",
        ),
        ({"title": {"type": "string", "full_text_search": {"ngram": {"min_gram": 0, "max_gram": 2}}}}, "ngram needs"),
        ({"title": {"type": "string", "full_text_search": {"ngram": {"min_gram": 3, "max_gram": 2}}}}, "ngram needs"),
        ({"title": {"type": "string", "full_text_search": {"ngram": {"min_gram": 1, "max_gram": 11}}}}, "ngram needs"),
    ],
)
def test_a_wrong_schema_is_refused_with_its_reason(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        classic_vectors(fields)
    assert text in caught.value.message


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"title": {"type": "string"}}, "schema.fields.title: missing field `full_text_search`"),
        ({"title": {"type": "string", "store_text": True}}, "schema.fields.title: missing field `full_text_search`"),
        ({"title": {}}, "schema.fields.title: missing field `type`"),
        ({"title": {"type": "text"}}, "schema.fields.title.type: unknown variant `text`"),
        (
            {"title": {"type": "semantic_text", "model": "m"}},
            "schema.fields.title.type: unknown variant `semantic_text`",
        ),
        ({"_values": {"type": "dense_vector"}}, "schema.fields._values: missing field `dimension`"),
        ({"_values": DENSE | {"size": 1}}, "schema.fields._values: unknown field `size`"),
        ({"_values": DENSE | {"metric": "l2"}}, "schema.fields._values.metric: unknown variant `l2`"),
        ({"_values": DENSE | {"dimension": "3"}}, "schema.fields._values.dimension: Expected `int`, got `str`"),
        ({"_sparse_values": SPARSE | {"metric": "dotproduct"}}, "schema.fields._sparse_values: unknown field `metric`"),
        (
            {"title": {"type": "string", "full_text_search": {"ngram": {"min_gram": 1}}}},
            "schema.fields.title.full_text_search.ngram: missing field `max_gram`",
        ),
    ],
)
def test_a_field_of_another_shape_is_unprocessable(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(UnprocessableError) as caught:
        classic_vectors(fields)
    assert caught.value.message == SHAPE + text


@pytest.mark.parametrize("kind", [None, 5, True, [], {}, ["float"]])
def test_a_type_that_is_no_string_is_refused(kind: object) -> None:
    with pytest.raises(PinyonError):
        classic_vectors({"title": {"type": kind}})
