"""What requests of the Inference API give, and which are refused."""

from typing import Any

import numpy as np
import pytest

from pinyon.errors import InvalidArgumentError, NotFoundError, UnavailableError
from pinyon.inference.info import ModelKind
from pinyon.inference.protocol import InputType, Truncate
from pinyon.model.metric import VectorType
from pinyon.service.inference import Inference
from pinyon.service.inference_requests import EmbedTexts, ListModels, Ranked, Rerank
from tests.unit.service.fake_registry import DENSE, RANKER, SPARSE, FakeRegistry, index_of

DOGS = ["dogs are pretty cool", "everyone loves dogs", "I am a cat person"]


@pytest.fixture
def models() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def inference(models: FakeRegistry) -> Inference:
    return Inference(models)


def documents(*texts: str) -> list[dict[str, Any]]:
    return [{"text": text} for text in texts]


def test_dense_vectors_are_those_of_the_texts_in_their_order(inference, models):
    embedded = inference.embed(EmbedTexts("dense", ["one two", "three"], {"input_type": "passage"}))
    assert embedded.vectors.shape == (2, 64)
    assert (embedded.model, embedded.token_count, embedded.with_tokens) == ("dense", 3, False)
    assert [text for text, _ in models.dense_encoder.asked] == ["one two", "three"]
    assert {options.input_type for _, options in models.dense_encoder.asked} == {InputType.PASSAGE}
    alone = inference.embed(EmbedTexts("dense", ["three"], {"input_type": "passage"})).vectors
    np.testing.assert_array_equal(alone[0], embedded.vectors[1])


def test_the_dimension_asked_for_is_that_of_the_vectors(inference):
    request = EmbedTexts("dense", ["one"], {"input_type": "query", "dimension": 32})
    assert inference.embed(request).vectors.shape == (1, 32)


@pytest.mark.parametrize(("given", "with_tokens"), [({}, False), ({"return_tokens": True}, True)])
def test_sparse_vectors(inference, given, with_tokens):
    embedded = inference.embed(EmbedTexts("sparse", ["one two two"], {"input_type": "passage"} | given))
    (only,) = embedded.vectors
    assert only.vector.indices.tolist() == [index_of("one"), index_of("two")]
    assert only.tokens == ("one", "two")
    assert embedded.with_tokens is with_tokens


def test_a_text_that_is_too_long_is_cut_or_refused(inference):
    parameters = {"input_type": "passage", "max_tokens_per_sequence": 4}
    assert inference.embed(EmbedTexts("sparse", ["a b c d e"], parameters)).token_count == 4
    with pytest.raises(InvalidArgumentError, match="5 tokens"):
        inference.embed(EmbedTexts("sparse", ["a b c d e"], parameters | {"truncate": "NONE"}))


@pytest.mark.parametrize(
    ("request_", "error", "text"),
    [
        (EmbedTexts("no", ["a"], {}), NotFoundError, "Model 'no' not found"),
        (EmbedTexts("ranker", ["a"], {}), InvalidArgumentError, "does not support embedding"),
        (EmbedTexts("dense", [], {"input_type": "query"}), InvalidArgumentError, "at least one input"),
        (EmbedTexts("dense", ["a"], {}), InvalidArgumentError, "Required parameter 'input_type'"),
        (EmbedTexts("dense", ["a"], {"input_type": "query", "x": 1}), InvalidArgumentError, "'x'"),
    ],
)
def test_embed_requests_that_are_refused(inference, models, request_, error, text):
    with pytest.raises(error, match=text):
        inference.embed(request_)
    assert models.dense_encoder.asked == []


def test_a_model_that_cannot_be_loaded_is_unavailable(inference, models):
    models.dense_encoder.failure = UnavailableError("no weights")
    with pytest.raises(UnavailableError, match="no weights"):
        inference.embed(EmbedTexts("dense", ["a"], {"input_type": "query"}))


def test_documents_come_by_their_score_and_equal_ones_in_their_order(inference):
    result = inference.rerank(Rerank("ranker", "everyone loves dogs", documents("x", *DOGS, "y")))
    assert result.ranked == [Ranked(2, 1.0), Ranked(1, 1 / 3), Ranked(0, 0.0), Ranked(3, 0.0), Ranked(4, 0.0)]
    assert (result.model, result.rerank_units) == ("ranker", 1)


@pytest.mark.parametrize(("top_n", "count"), [(1, 1), (3, 3), (4, 3), (2**70, 3), (None, 3)])
def test_top_n_documents_as_far_as_there_are_so_many(inference, top_n, count):
    assert len(inference.rerank(Rerank("ranker", "dogs", documents(*DOGS), top_n=top_n)).ranked) == count


def test_rank_fields_are_read_in_their_order(inference, models):
    pages = [{"title": "loves dogs", "body": "cats"}, {"title": "cats", "body": "hates dogs"}]
    assert inference.rerank(Rerank("ranker", "loves", pages, ["title"])).ranked[0].index == 0
    inference.rerank(Rerank("wide-ranker", "q", pages, ["body", "title"]))
    assert models.rerank_backend.asked[-1] == ("q", "hates dogs\ncats", Truncate.END)


def test_parameters_of_a_reranker(inference, models):
    inference.rerank(Rerank("ranker", "q", documents("a"), parameters={"truncate": "NONE"}))
    assert models.rerank_backend.asked == [("q", "a", Truncate.NONE)]


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"model": "no"}, NotFoundError, "Model 'no' not found"),
        ({"model": "dense"}, InvalidArgumentError, "does not support reranking"),
        ({"query": ""}, InvalidArgumentError, "query must not be empty"),
        ({"query": "  "}, InvalidArgumentError, "query must not be empty"),
        ({"query": "a" * (2**20 + 1)}, InvalidArgumentError, "The query has 1048577 characters"),
        ({"documents": documents("a", "a" * (2**20 + 1))}, InvalidArgumentError, "document at index 1 has 1048577"),
        ({"documents": []}, InvalidArgumentError, "at least one document"),
        ({"documents": documents(*"abcdef")}, InvalidArgumentError, "Document length '6' exceeded documents limit"),
        ({"documents": [{"text": "a"}, {}]}, InvalidArgumentError, "field 'text' not found in document at index 1"),
        ({"documents": [{"text": None}]}, InvalidArgumentError, "field 'text' must be a string"),
        ({"rank_fields": []}, InvalidArgumentError, "At least one rank field"),
        ({"rank_fields": ["text", "b"]}, InvalidArgumentError, "Only one rank field is supported for model"),
        ({"rank_fields": ["b"]}, InvalidArgumentError, "field 'b' not found in document at index 0"),
        ({"top_n": 0}, InvalidArgumentError, "top_n must be at least 1"),
        ({"parameters": {"truncate": "MAYBE"}}, InvalidArgumentError, "truncate='MAYBE'"),
        ({"parameters": {"max": 1}}, InvalidArgumentError, "'max'"),
    ],
)
def test_rerank_requests_that_are_refused(inference, models, changes, error, text):
    request: dict[str, Any] = {"model": "ranker", "query": "q", "documents": documents("a")}
    with pytest.raises(error, match=text):
        inference.rerank(Rerank(**request | changes))
    assert models.rerank_backend.asked == []


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (ListModels(), ["dense", "sparse", "ranker", "wide-ranker"]),
        (ListModels(kind=ModelKind.EMBED), ["dense", "sparse"]),
        (ListModels(kind=ModelKind.RERANK), ["ranker", "wide-ranker"]),
        (ListModels(vector_type=VectorType.SPARSE), ["sparse"]),
        (ListModels(kind=ModelKind.EMBED, vector_type=VectorType.DENSE), ["dense"]),
    ],
)
def test_models_by_kind_and_vector_type(inference, asked, names):
    assert [info.name for info in inference.list_models(asked)] == names


def test_rerankers_have_no_vector_type_to_ask_for(inference):
    with pytest.raises(InvalidArgumentError, match="not supported when type='rerank'"):
        inference.list_models(ListModels(ModelKind.RERANK, VectorType.DENSE))


def test_one_model(inference):
    assert [inference.describe_model(name) for name in ("dense", "sparse", "ranker")] == [DENSE, SPARSE, RANKER]
    with pytest.raises(NotFoundError, match=r"^Model no not found"):
        inference.describe_model("no")
