"""How an index may embed text: its model, the field that holds the text, and the model's parameters.

Every function is pure, and raises InvalidArgumentError on the first broken rule. Texts that Pinecone is known to send
are its own.
"""

from dataclasses import replace
from typing import Any, Final

import msgspec

from pinyon.errors import InvalidArgumentError
from pinyon.inference.info import ModelInfo
from pinyon.inference.protocol import InputType
from pinyon.model.index import Embed, IndexDefinition
from pinyon.model.metric import VectorType
from pinyon.service.index_requests import CreateIndex, EmbedRequest
from pinyon.service.index_rules import check_vectors
from pinyon.service.metadata_rules import shorten
from pinyon.service.model_parameters import (
    ParameterValues,
    checked_parameters,
    default_parameters,
    invalid_value,
    one_of,
)

_TEXT: Final = "text"
"""The only thing that a field map can name: all models embed text."""

_ID: Final = "id"
"""Holds the id of a record that has no `_id`, and so cannot hold its text."""


def with_vectors_of(info: ModelInfo, request: CreateIndex) -> CreateIndex:
    """The request with the vectors of its model: what it leaves out is the model's default, the rest fits the model."""
    assert info.vector_type is not None, "a model that embeds"
    completed = replace(
        request,
        vector_type=info.vector_type,
        dimension=info.default_dimension if request.dimension is None else request.dimension,
        metric=info.supported_metrics[0] if request.metric is None else request.metric,
    )
    check_vectors(completed)
    if completed.metric not in info.supported_metrics:
        raise invalid_value(info, "metric", completed.metric, one_of(info.supported_metrics))
    if info.vector_type is VectorType.DENSE and completed.dimension not in info.supported_dimensions:
        raise invalid_value(info, "dimension", completed.dimension, one_of(info.supported_dimensions))
    return completed


def check_vectors_fit(info: ModelInfo, definition: IndexDefinition) -> None:
    """An index that exists can only get a model whose vectors are like its own."""
    if definition.vector_type is not info.vector_type:
        raise _misfit(info, definition, f"vector type is {definition.vector_type}", str(info.vector_type))
    if definition.metric not in info.supported_metrics:
        raise _misfit(info, definition, f"metric is {definition.metric}", one_of(info.supported_metrics))
    if info.vector_type is VectorType.DENSE and definition.dimension not in info.supported_dimensions:
        raise _misfit(info, definition, f"dimension is {definition.dimension}", one_of(info.supported_dimensions))


def _misfit(info: ModelInfo, definition: IndexDefinition, fact: str, rule: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"Index {definition.name} does not fit model '{info.name}': its {fact}, and must be {rule}"
    )


def new_embed(info: ModelInfo, request: EmbedRequest, dimension: int | None) -> Embed:
    """How an index that did not embed text does so from now on.

    Args:
        info: the model.
        request: its field map is there.
        dimension: of the index.

    Returns:
        All but the fingerprint and `served_by`, for which the model must be loaded.
    """
    if request.field_map is None:
        raise InvalidArgumentError("field_map is required for an index to embed text")
    return Embed(
        model=info.name,
        text_field=_text_field(request.field_map),
        read_parameters=_parameters(info, request.read_parameters or {}, InputType.QUERY, dimension),
        write_parameters=_parameters(info, request.write_parameters or {}, InputType.PASSAGE, dimension),
        fingerprint="",
    )


def check_same(embed: Embed | None, request: EmbedRequest) -> None:
    """What an index has once, it keeps: its model, and the field of a request that names one to say what it changes."""
    if request.of_field is not None and (embed is None or request.of_field != embed.text_field):
        raise InvalidArgumentError(
            f"Field '{shorten(request.of_field)}' is not a semantic_text field of this index; "
            "only the parameters of a field that is one can be changed"
        )
    if embed is not None and request.model not in (None, embed.model):
        raise InvalidArgumentError(
            f"The embedding model of an index cannot be changed once it is set: it is '{embed.model}'"
        )


def changed_embed(info: ModelInfo, embed: Embed, request: EmbedRequest, dimension: int | None) -> Embed:
    """How an index that embeds text does so from now on, for a request that passed `check_same`."""
    changes: dict[str, Any] = {}
    if request.field_map is not None:
        changes["text_field"] = _text_field(request.field_map)
    if request.read_parameters is not None:
        changes["read_parameters"] = _parameters(info, request.read_parameters, InputType.QUERY, dimension)
    if request.write_parameters is not None:
        changes["write_parameters"] = _parameters(info, request.write_parameters, InputType.PASSAGE, dimension)
    return msgspec.structs.replace(embed, **changes)


def _text_field(field_map: dict[str, str]) -> str:
    if _TEXT not in field_map:
        raise InvalidArgumentError(f"Missing required key '{_TEXT}' in field_map")
    for key in field_map:
        if key != _TEXT:
            raise InvalidArgumentError(f"Unsupported key '{shorten(key)}' in field_map, must be '{_TEXT}'")
    name = field_map[_TEXT]
    if name in ("", _ID) or name.startswith(("$", "_")):
        raise InvalidArgumentError(
            f"Field '{shorten(name)}' in field_map must not be empty or '{_ID}', or start with '$' or '_'"
        )
    return name


def _parameters(
    info: ModelInfo, given: dict[str, Any], input_type: InputType, dimension: int | None
) -> ParameterValues:
    """All parameters of a model that count: those given, and else the defaults, in the model's order."""
    defaults = default_parameters(info) | {"input_type": input_type.value}
    if dimension is not None:
        defaults["dimension"] = dimension
    merged = defaults | checked_parameters(info, given)
    if merged.get("dimension") != dimension:
        raise invalid_value(info, "dimension", merged["dimension"], f"the dimension of the index, {dimension}")
    return {parameter.name: merged[parameter.name] for parameter in info.parameters if parameter.name in merged}
