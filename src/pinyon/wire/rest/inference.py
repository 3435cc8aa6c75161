"""REST of the Inference API, which Pinecone serves beside its control plane.

Handlers raise `pinyon.errors`; whoever calls them turns those into statuses and bodies.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeAlias, TypeVar

import msgspec
import orjson

from pinyon.errors import InvalidArgumentError, NotFoundError
from pinyon.inference.info import MODALITY, ModelInfo, ModelKind, Parameter, ParameterKind
from pinyon.inference.protocol import SparseEmbedding
from pinyon.model.metric import VectorType
from pinyon.protobuf.wire_format import Buffer
from pinyon.service.inference import Inference
from pinyon.service.inference_requests import Embedded, EmbedTexts, ListModels, Ranked, Rerank
from pinyon.wire.api_version import ApiVersion
from pinyon.wire.http import Request, Response
from pinyon.wire.rest.typed_body import Body, decode_body

Handlers: TypeAlias = Mapping[str, Callable[[Request], Response]]
"""What answers a path, by method."""

_Choice = TypeVar("_Choice", bound=StrEnum)


class _Input(Body):
    text: str


class _EmbedBody(Body):
    model: str
    inputs: list[_Input | str]
    parameters: dict[str, Any] | None = None


class _RerankBody(Body):
    """The fields of documents stay as bytes: they are given back as they came, and only some are read."""

    model: str
    query: str
    documents: list[dict[str, msgspec.Raw] | str]
    rank_fields: list[str] | None = None
    top_n: int | None = None
    return_documents: bool | None = None
    parameters: dict[str, Any] | None = None


class InferenceRoutes:
    """The paths of the Inference API. Any thread may call any method."""

    def __init__(self, inference: Inference) -> None:
        """Serve `inference`."""
        self._inference = inference

    def handlers(self, request: Request) -> Handlers:
        """What answers the path of a request.

        Raises:
            NotFoundError: nothing does.
        """
        match request.segments:
            case ["embed"]:
                return {"POST": self._embed}
            case ["rerank"]:
                return {"POST": self._rerank}
            case ["models"]:
                return {"GET": self._list}
            case ["models", _]:
                return {"GET": self._describe}
            case _:
                raise NotFoundError(f"Resource {request.raw_path} not found")

    def _embed(self, request: Request) -> Response:
        body = decode_body(request.body, _EmbedBody)
        texts = [each if isinstance(each, str) else each.text for each in body.inputs]
        embedded = self._inference.embed(EmbedTexts(body.model, texts, body.parameters or {}))
        return Response(200, orjson.dumps(_embedded(embedded, request.api_version), option=orjson.OPT_SERIALIZE_NUMPY))

    def _rerank(self, request: Request) -> Response:
        _check_utf8(request.body)
        body = decode_body(request.body, _RerankBody)
        rank_fields = ["text"] if body.rank_fields is None else body.rank_fields
        documents = [{"text": _raw(each)} if isinstance(each, str) else each for each in body.documents]
        result = self._inference.rerank(
            Rerank(
                model=body.model,
                query=body.query,
                documents=[_read_fields(document, rank_fields) for document in documents],
                rank_fields=rank_fields,
                top_n=body.top_n,
                parameters=body.parameters or {},
            )
        )
        shown = None if body.return_documents is False else documents
        return _json(
            {
                "model": result.model,
                "data": [_ranked(each, shown) for each in result.ranked],
                "usage": {"rerank_units": result.rerank_units},
            }
        )

    def _list(self, request: Request) -> Response:
        asked = ListModels(_choice(request, "type", ModelKind), _choice(request, "vector_type", VectorType))
        return _json({"models": [_model(info) for info in self._inference.list_models(asked)]})

    def _describe(self, request: Request) -> Response:
        return _json(_model(self._inference.describe_model(request.segments[1])))


def _embedded(embedded: Embedded, version: ApiVersion) -> dict[str, Any]:
    """Vectors as JSON. Before 2025-01 there were only dense ones, and nothing said so."""
    usage = {"total_tokens": embedded.token_count}
    if isinstance(embedded.vectors, list):
        data = [_sparse(each, embedded.with_tokens) for each in embedded.vectors]
        return {"model": embedded.model, "vector_type": VectorType.SPARSE, "data": data, "usage": usage}
    if not version.at_least(ApiVersion.V2025_01):
        return {"model": embedded.model, "data": [{"values": row} for row in embedded.vectors], "usage": usage}
    data = [{"values": row, "vector_type": VectorType.DENSE} for row in embedded.vectors]
    return {"model": embedded.model, "vector_type": VectorType.DENSE, "data": data, "usage": usage}


def _sparse(embedding: SparseEmbedding, with_tokens: bool) -> dict[str, Any]:
    shown = {
        "sparse_values": embedding.vector.values,
        "sparse_indices": embedding.vector.indices,
        "vector_type": VectorType.SPARSE,
    }
    return shown | ({"sparse_tokens": embedding.tokens} if with_tokens else {})


def _check_utf8(body: Buffer) -> None:
    """Refuse what is no text: bytes that are given back unread would make an answer that no client can read."""
    try:
        str(body, "utf-8")
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(f"Failed to parse the request body as JSON: {error}") from error


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(text))


def _read_fields(document: Mapping[str, msgspec.Raw], names: Sequence[str]) -> dict[str, Any]:
    return {name: decode_body(document[name], object) for name in names if name in document}


def _ranked(ranked: Ranked, documents: Sequence[Mapping[str, msgspec.Raw]] | None) -> dict[str, Any]:
    shown: dict[str, Any] = {"index": ranked.index, "score": ranked.score}
    return shown if documents is None else shown | {"document": documents[ranked.index]}


def _choice(request: Request, name: str, kind: type[_Choice]) -> _Choice | None:
    """A parameter of the query that may have the values of an enumeration; none where it is missing or empty."""
    value = request.query.get(name, [""])[-1]
    if not value:
        return None
    try:
        return kind(value)
    except ValueError as error:
        raise InvalidArgumentError(
            f"Invalid value for '{name}': '{value[:80]}', must be one of [{', '.join(kind)}]"
        ) from error


def _model(info: ModelInfo) -> dict[str, Any]:
    """A model as JSON; what it does not have is left out, as Pinecone does."""
    shown = {
        "model": info.name,
        "short_description": info.description,
        "type": info.kind,
        "vector_type": info.vector_type,
        "default_dimension": info.default_dimension,
        "modality": MODALITY,
        "max_sequence_length": info.max_tokens,
        "max_batch_size": info.max_batch,
        "provider_name": info.provider,
        "supported_dimensions": info.supported_dimensions or None,
        "supported_metrics": info.supported_metrics or None,
        "supported_parameters": [_parameter(parameter) for parameter in info.parameters],
    }
    return {name: value for name, value in shown.items() if value is not None}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    shown = {
        "parameter": parameter.name,
        "type": parameter.kind,
        "value_type": parameter.value_type,
        "required": parameter.required,
        "allowed_values": parameter.allowed_values if parameter.kind is ParameterKind.ONE_OF else None,
        "min": parameter.minimum,
        "max": parameter.maximum,
        "default": parameter.default,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _json(body: dict[str, Any]) -> Response:
    return Response(200, msgspec.json.encode(body))
