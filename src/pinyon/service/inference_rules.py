"""What a request to a model must keep to, with Pinecone's texts where they are known; and its parameters as options.

Every function is pure.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pinyon import limits
from pinyon.errors import InvalidArgumentError
from pinyon.inference.info import ModelInfo, ParameterValue
from pinyon.inference.protocol import EncodeOptions, InputType, Truncate
from pinyon.service.metadata_rules import shorten
from pinyon.service.model_parameters import ParameterValues, checked_parameters, default_parameters

RETURN_TOKENS: Final = "return_tokens"


def complete_parameters(info: ModelInfo, given: Mapping[str, Any]) -> ParameterValues:
    """All parameters of a model that have a value: those that were given over the defaults.

    Raises:
        InvalidArgumentError: one is unknown, has a wrong value, or is required and missing.
    """
    values = default_parameters(info) | checked_parameters(info, given)
    for parameter in info.parameters:
        if parameter.required and parameter.name not in values:
            raise InvalidArgumentError(f"Required parameter '{parameter.name}' missing for model '{info.name}'")
    return values


def encode_options(values: Mapping[str, ParameterValue]) -> EncodeOptions:
    """Checked parameters, by Pinecone's names, as options of an encoder."""
    dimension, max_tokens = values.get("dimension"), values.get("max_tokens_per_sequence")
    return EncodeOptions(
        # A model that does not tell queries from passages has no such parameter.
        input_type=InputType(str(values.get("input_type", InputType.PASSAGE))),
        truncate=truncate_of(values),
        dimension=None if dimension is None else int(dimension),
        max_tokens=None if max_tokens is None else int(max_tokens),
    )


def truncate_of(values: Mapping[str, ParameterValue]) -> Truncate:
    """What becomes of a text that is too long; a model without the parameter cuts its end off."""
    return Truncate(str(values.get("truncate", Truncate.END)))


def check_inputs(info: ModelInfo, texts: Sequence[str]) -> None:
    """Refuse to embed no text, too many of them, or an empty one."""
    if not texts:
        raise InvalidArgumentError("Must specify at least one input")
    if len(texts) > info.max_batch:
        raise InvalidArgumentError(
            f"Input length '{len(texts)}' exceeded inputs limit of {info.max_batch} for model '{info.name}'"
        )
    for index, text in enumerate(texts):
        if not text.strip():
            raise InvalidArgumentError(f"Input at index {index} must not be empty")
        check_text_length(text, f"Input at index {index}")


def check_text_length(text: str, what: str) -> None:
    """Refuse a text, named `what` in the error, that is longer than any model reads by far."""
    if len(text) > limits.TEXT_LENGTH_MAX:
        raise InvalidArgumentError(
            f"{what} has {len(text)} characters, more than the limit of {limits.TEXT_LENGTH_MAX} for one text"
        )


def check_rank_fields(info: ModelInfo, rank_fields: Sequence[str]) -> None:
    """Refuse to rank by no field, or by more fields than the model takes."""
    if not rank_fields:
        raise InvalidArgumentError(f"At least one rank field is needed for model '{info.name}'")
    if len(rank_fields) > info.rank_fields_max:
        some = "Only one rank field is" if info.rank_fields_max == 1 else f"Only {info.rank_fields_max} rank fields are"
        raise InvalidArgumentError(f"{some} supported for model '{info.name}', but got {len(rank_fields)}")


def check_document_count(info: ModelInfo, count: int) -> None:
    """Refuse to rank more documents than the model takes."""
    if count > info.max_batch:
        raise InvalidArgumentError(
            f"Document length '{count}' exceeded documents limit of {info.max_batch} for model '{info.name}'"
        )


def check_top_n(top_n: int | None) -> None:
    """Refuse a number of ranked documents that is not positive."""
    if top_n is not None and top_n < 1:
        raise InvalidArgumentError(f"top_n must be at least 1, but got {top_n}")


def rank_text(document: Mapping[str, Any], rank_fields: Sequence[str], what: str) -> str:
    """The text by which a document is ranked: that of its rank fields, in their order, a line each.

    Args:
        document: its fields.
        rank_fields: those that count.
        what: how an error names the document.

    Raises:
        InvalidArgumentError: a rank field is missing or holds no text, or the text is too long.
    """
    for field in rank_fields:
        if field not in document:
            raise InvalidArgumentError(f"field '{shorten(field)}' not found in {what}")
        if not isinstance(document[field], str):
            raise InvalidArgumentError(f"field '{shorten(field)}' must be a string in {what}")
    text = "\n".join([document[field] for field in rank_fields])
    check_text_length(text, f"The text of {what}")
    return text
