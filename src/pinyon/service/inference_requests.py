"""Requests and results of the Inference API.

A codec of `pinyon.wire` builds them and has then checked the shape of the body; `pinyon.service.inference` checks the
content.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pinyon.inference.info import ModelKind
from pinyon.inference.protocol import SparseEmbedding
from pinyon.model.metric import VectorType
from pinyon.model.record import Float32s


@dataclass(frozen=True, slots=True)
class EmbedTexts:
    """Embed texts. `parameters` are those of the model, as JSON gives them."""

    model: str
    texts: Sequence[str]
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rerank:
    """Sort documents by how well they answer a query.

    Attributes:
        model: what sorts them.
        query: the question, as text.
        documents: of each at least the fields that `rank_fields` names.
        rank_fields: fields whose texts are compared with the query.
        top_n: how many to return; None for all, as is any number beyond.
        parameters: those of the model, as JSON gives them.
    """

    model: str
    query: str
    documents: Sequence[Mapping[str, Any]]
    rank_fields: Sequence[str] = ("text",)
    top_n: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListModels:
    """List the models that are served. None: of every kind, of every vector type and none."""

    kind: ModelKind | None = None
    vector_type: VectorType | None = None


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors of texts, in their order: `(n, dimension)` of a dense model, a list of a sparse one.

    `with_tokens`: the request asked for the tokens behind sparse indices.
    """

    model: str
    vectors: Float32s | list[SparseEmbedding]
    token_count: int
    with_tokens: bool = False


@dataclass(frozen=True, slots=True)
class Ranked:
    """One document of a result: where it stood in the request, and its score, from 0 to 1."""

    index: int
    score: float


@dataclass(frozen=True, slots=True)
class Reranked:
    """Documents, best first; equal ones in the order of the request."""

    model: str
    ranked: list[Ranked]
    rerank_units: int = 1
