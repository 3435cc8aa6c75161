"""Parameters of models to options, and what requests to models must keep to."""

from typing import Any

import pytest

from pinyon.errors import InvalidArgumentError
from pinyon.inference.info import ModelKind
from pinyon.inference.protocol import EncodeOptions, InputType, Truncate
from pinyon.service.inference_rules import (
    check_document_count,
    check_inputs,
    check_rank_fields,
    check_top_n,
    complete_parameters,
    encode_options,
    rank_text,
    truncate_of,
)
from tests.unit.service.fake_registry import DENSE, RANKER, SPARSE, WIDE_RANKER, info

TOO_LONG = "has 1048577 characters, more than the limit of 1048576 for one text"


def test_what_is_not_given_has_its_default():
    assert complete_parameters(DENSE, {"input_type": "query", "dimension": None}) == {
        "input_type": "query",
        "truncate": "END",
        "dimension": 64,
    }
    assert complete_parameters(WIDE_RANKER, {}) == {"chunks": 9}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "Required parameter 'input_type' missing for model 'dense'"),
        ({"input_type": None}, "Required parameter 'input_type' missing for model 'dense'"),
        (
            {"input_type": "bad-parameter"},
            "Invalid parameter value input_type='bad-parameter' for model 'dense', must be one of [query, passage]",
        ),
        ({"input_type": "query", "size": 1}, "'size'"),
        ({"input_type": "query", "dimension": 5}, "dimension=5"),
        ({"input_type": "query", "truncate": "end"}, "truncate='end'"),
    ],
)
def test_parameters_that_are_refused(given: dict[str, Any], text: str):
    with pytest.raises(InvalidArgumentError) as refusal:
        complete_parameters(DENSE, given)
    assert text in refusal.value.message
    assert "'dense'" in refusal.value.message


def test_options_of_an_encoder():
    values = complete_parameters(DENSE, {"input_type": "query", "truncate": "NONE", "dimension": 32.0})
    assert encode_options(values) == EncodeOptions(
        input_type=InputType.QUERY, truncate=Truncate.NONE, dimension=32, max_tokens=None
    )
    values = complete_parameters(SPARSE, {"input_type": "passage", "max_tokens_per_sequence": 4})
    assert encode_options(values) == EncodeOptions(
        input_type=InputType.PASSAGE, truncate=Truncate.END, dimension=None, max_tokens=4
    )


def test_options_of_a_model_without_parameters():
    assert encode_options({}) == EncodeOptions(input_type=InputType.PASSAGE)
    assert truncate_of({}) is Truncate.END


def test_no_text_too_many_and_empty_ones_are_refused():
    check_inputs(DENSE, ["a" * 1_048_576, *["a"] * 95])
    for texts, text in [
        ([], "Must specify at least one input"),
        (["a"] * 97, "Input length '97' exceeded inputs limit of 96 for model 'dense'"),
        (["a", ""], "Input at index 1 must not be empty"),
        ([" \n\t"], "Input at index 0 must not be empty"),
        (["a", "a" * 1_048_577], f"Input at index 1 {TOO_LONG}"),
    ]:
        with pytest.raises(InvalidArgumentError) as refusal:
            check_inputs(DENSE, texts)
        assert refusal.value.message == text


def test_as_many_rank_fields_as_the_model_takes():
    check_rank_fields(RANKER, ["a"])
    check_rank_fields(WIDE_RANKER, ["a", "b"])
    for model, count, text in [
        (RANKER, 0, "At least one rank field"),
        (RANKER, 2, "Only one rank field is supported for model 'ranker'"),
        (WIDE_RANKER, 3, "Only 2 rank fields are supported for model 'wide-ranker'"),
    ]:
        with pytest.raises(InvalidArgumentError, match=text):
            check_rank_fields(model, ["field"] * count)


def test_document_counts():
    check_document_count(RANKER, 5)
    text = "Document length '6' exceeded documents limit of 5 for model 'ranker'"
    with pytest.raises(InvalidArgumentError, match=text):
        check_document_count(RANKER, 6)


@pytest.mark.parametrize("top_n", [0, -1, -(2**70)])
def test_a_top_n_below_one_is_refused(top_n):
    check_top_n(None)
    check_top_n(1)
    with pytest.raises(InvalidArgumentError, match="top_n must be at least 1"):
        check_top_n(top_n)


def test_the_text_of_a_document_is_that_of_its_rank_fields_in_their_order():
    document = {"text": "body", "title": "head", "year": 1999, "empty": ""}
    assert rank_text(document, ["text"], "it") == "body"
    assert rank_text(document, ["title", "text"], "it") == "head\nbody"
    assert rank_text(document, ["empty"], "it") == ""
    with pytest.raises(InvalidArgumentError, match=r"^field 'no' not found in document at index 3$"):
        rank_text(document, ["title", "no"], "document at index 3")
    with pytest.raises(InvalidArgumentError, match=r"^field 'year' must be a string in document at index 3$"):
        rank_text(document, ["year"], "document at index 3")


def test_the_text_of_a_document_has_a_limit_over_all_its_fields():
    half = "a" * (1 << 19)
    assert len(rank_text({"a": half, "b": half[1:]}, ["a", "b"], "it")) == 1 << 20
    with pytest.raises(InvalidArgumentError, match=f"^The text of document at index 3 {TOO_LONG}$"):
        rank_text({"a": half, "b": half}, ["a", "b"], "document at index 3")


def test_a_model_of_any_kind_can_have_no_parameters():
    assert complete_parameters(info("bare", ModelKind.RERANK), {}) == {}
