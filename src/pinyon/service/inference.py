"""The Inference API: texts to vectors, documents by relevance, and what is told about the models that do so.

Synchronous; called from many threads. All but the list of models may wait for a model to be loaded, or to be free, and
raise UnavailableError or ResourceExhaustedError where that fails.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pinyon.errors import InvalidArgumentError, NotFoundError
from pinyon.inference.info import ModelInfo, ModelKind
from pinyon.inference.protocol import Truncate
from pinyon.inference.registry import Embedder, ModelNotFoundError, Registry
from pinyon.inference.served import RerankModel
from pinyon.service.inference_requests import Embedded, EmbedTexts, ListModels, Ranked, Rerank, Reranked
from pinyon.service.inference_rules import (
    RETURN_TOKENS,
    check_document_count,
    check_inputs,
    check_rank_fields,
    check_text_length,
    check_top_n,
    complete_parameters,
    encode_options,
    rank_text,
    truncate_of,
)


@dataclass(frozen=True, slots=True)
class Ranking:
    """A reranking that was checked: a model, the fields of documents that it looks at, and its options."""

    model: RerankModel
    rank_fields: Sequence[str]
    truncate: Truncate

    def rank(self, query: str, texts: Sequence[str], top_n: int | None) -> list[Ranked]:
        """The best `top_n` of texts, best first; equal ones in their order.

        Raises:
            InvalidArgumentError: there are too many texts, or one is too long.
        """
        check_document_count(self.model.info, len(texts))
        if not texts:
            return []
        scores = self.model.rerank(query, texts, self.truncate)
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        return [Ranked(index, scores[index]) for index in order[:top_n]]


class Inference:
    """Answers the requests of the Inference API. Any thread may call any method."""

    def __init__(self, registry: Registry) -> None:
        """Serve the models of `registry`."""
        self._registry = registry

    def embed(self, request: EmbedTexts) -> Embedded:
        """Embed texts.

        Raises:
            NotFoundError: no such model is served.
            InvalidArgumentError: the request breaks a rule of `pinyon.service.inference_rules`.
        """
        model = self.embedder(request.model)
        check_inputs(model.listed_info, request.texts)
        values = complete_parameters(model.listed_info, request.parameters)
        vectors, token_count = model.embed(request.texts, encode_options(values))
        return Embedded(request.model, vectors, token_count, values.get(RETURN_TOKENS) is True)

    def rerank(self, request: Rerank) -> Reranked:
        """Sort documents by how well they answer a query.

        Raises:
            NotFoundError: no such model is served.
            InvalidArgumentError: the request breaks a rule of `pinyon.service.inference_rules`.
        """
        ranking = self.ranking(request.model, request.rank_fields, request.parameters)
        check_top_n(request.top_n)
        if not request.query.strip():
            raise InvalidArgumentError("The query must not be empty")
        check_text_length(request.query, "The query")
        if not request.documents:
            raise InvalidArgumentError("Must specify at least one document")
        texts = [
            rank_text(document, request.rank_fields, f"document at index {index}")
            for index, document in enumerate(request.documents)
        ]
        return Reranked(request.model, ranking.rank(request.query, texts, request.top_n))

    def ranking(self, model: str, rank_fields: Sequence[str], parameters: Mapping[str, Any]) -> Ranking:
        """Check how documents are to be ranked, before there are any.

        Raises:
            NotFoundError: no such model is served.
            InvalidArgumentError: the model does not take such fields or parameters.
        """
        with _quoting():
            found = self._registry.reranker(model)
        check_rank_fields(found.info, rank_fields)
        return Ranking(found, rank_fields, truncate_of(complete_parameters(found.info, parameters)))

    def embedder(self, model: str) -> Embedder:
        """A model that embeds.

        Raises:
            NotFoundError: no such model is served.
            InvalidArgumentError: it does not embed.
        """
        with _quoting():
            return self._registry.embedder(model)

    def list_models(self, request: ListModels) -> list[ModelInfo]:
        """The models that are served, those that embed first, by name.

        Raises:
            InvalidArgumentError: models that rerank have no vector type.
        """
        if request.kind is ModelKind.RERANK and request.vector_type is not None:
            raise InvalidArgumentError("vector_type is not supported when type='rerank'")
        infos = [
            info
            for info in self._registry.infos()
            if request.kind in (None, info.kind) and request.vector_type in (None, info.vector_type)
        ]
        return sorted(infos, key=lambda info: (info.kind, info.name))

    def describe_model(self, name: str) -> ModelInfo:
        """What is told about one model.

        Raises:
            NotFoundError: no such model is served.
        """
        return self._registry.info(name)


@contextmanager
def _quoting() -> Iterator[None]:
    """Say that a model is not found as Pinecone does where one is to be used; elsewhere its name has no quotes."""
    try:
        yield
    except ModelNotFoundError as error:
        raise NotFoundError(f"Model '{error.name}' not found{error.detail}") from error
