"""Parameters for a model: what it takes, and what it refuses with which text."""

from typing import Any

import pytest

from pinyon.errors import InvalidArgumentError
from pinyon.inference.info import ModelInfo, ModelKind, Parameter, ParameterKind, ValueType
from pinyon.service.model_parameters import checked_parameters, default_parameters
from tests.unit.service.fake_models import E5, WORDS, one_of

MODEL = ModelInfo(
    name="m",
    description="One parameter of each kind.",
    kind=ModelKind.RERANK,
    provider="p",
    max_tokens=1,
    max_batch=1,
    parameters=(
        one_of("dimension", 384, 1024, default=1024),
        Parameter(
            name="chunks",
            kind=ParameterKind.NUMERIC_RANGE,
            value_type=ValueType.INTEGER,
            minimum=1,
            maximum=3072,
            default=3072,
        ),
        Parameter(name="weight", kind=ParameterKind.NUMERIC_RANGE, value_type=ValueType.FLOAT, minimum=0.5),
        Parameter(name="tokens", kind=ParameterKind.ANY, value_type=ValueType.BOOLEAN),
        Parameter(name="note", kind=ParameterKind.ANY, value_type=ValueType.STRING),
    ),
)


@pytest.mark.parametrize(
    ("info", "given", "expected"),
    [
        (E5, {}, {}),
        (E5, {"input_type": "passage", "truncate": "NONE"}, {"input_type": "passage", "truncate": "NONE"}),
        (E5, {"truncate": None}, {}),
        (WORDS, {"return_tokens": True}, {"return_tokens": True}),
        (MODEL, {"dimension": 384.0, "chunks": 1}, {"dimension": 384, "chunks": 1}),
        (MODEL, {"chunks": 3072, "weight": 2}, {"chunks": 3072, "weight": 2}),
        (MODEL, {"weight": 0.5, "note": ""}, {"weight": 0.5, "note": ""}),
    ],
)
def test_what_a_model_takes(info: ModelInfo, given: dict[str, Any], expected: dict[str, Any]) -> None:
    checked = checked_parameters(info, given)
    assert checked == expected
    assert [type(value) for value in checked.values()] == [type(value) for value in expected.values()]


@pytest.mark.parametrize(
    ("info", "given", "text"),
    [
        (
            E5,
            {"input_type": "bad-parameter"},
            "Invalid parameter value input_type='bad-parameter' for model 'multilingual-e5-large', "
            "must be one of [query, passage]",
        ),
        (
            E5,
            {"dimension": 1024},
            "Unsupported parameter 'dimension' for model 'multilingual-e5-large', "
            "must be one of [input_type, truncate]",
        ),
        (MODEL, {"dimension": 385}, "Invalid parameter value dimension=385 for model 'm', must be one of [384, 1024]"),
        (
            MODEL,
            {"dimension": "384"},
            "Invalid parameter value dimension='384' for model 'm', must be one of [384, 1024]",
        ),
        (
            MODEL,
            {"dimension": 384.5},
            "Invalid parameter value dimension=384.5 for model 'm', must be one of [384, 1024]",
        ),
        (
            MODEL,
            {"chunks": True},
            "Invalid parameter value chunks=true for model 'm', must be an integer, at least 1, at most 3072",
        ),
        (
            MODEL,
            {"chunks": 0},
            "Invalid parameter value chunks=0 for model 'm', must be an integer, at least 1, at most 3072",
        ),
        (
            MODEL,
            {"chunks": 3073},
            "Invalid parameter value chunks=3073 for model 'm', must be an integer, at least 1, at most 3072",
        ),
        (MODEL, {"weight": 0.25}, "Invalid parameter value weight=0.25 for model 'm', must be a float, at least 0.5"),
        (MODEL, {"tokens": 1}, "Invalid parameter value tokens=1 for model 'm', must be a boolean"),
        (MODEL, {"note": 1}, "Invalid parameter value note=1 for model 'm', must be a string"),
        (MODEL, {"note": ["a"]}, "Invalid parameter value note=a list for model 'm', must be a string"),
        (MODEL, {"note": {"a": 1}}, "Invalid parameter value note=an object for model 'm', must be a string"),
    ],
)
def test_what_a_model_refuses(info: ModelInfo, given: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        checked_parameters(info, given)
    assert caught.value.message == text


@pytest.mark.parametrize("given", [{"x" * 10_000: 1}, {"truncate": "x" * 10_000}])
def test_an_error_quotes_no_more_than_a_start(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        checked_parameters(E5, given)
    assert len(caught.value.message) < 500


def test_defaults_are_those_that_there_are() -> None:
    assert default_parameters(MODEL) == {"dimension": 1024, "chunks": 3072}
    assert default_parameters(WORDS) == {"truncate": "END", "return_tokens": False}
