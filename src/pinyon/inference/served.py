"""A model under the name that requests use: what is told about it, its backend, and the worker that runs it.

Any thread may call any method; all but `listed_info` and `served_by` may wait for the model to be loaded, and raise
UnavailableError where it cannot be, and ResourceExhaustedError where too much waits for it already.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

import numpy as np

from pinyon.errors import UnavailableError
from pinyon.inference.info import ModelInfo
from pinyon.inference.protocol import (
    DenseEncoder,
    EncodeOptions,
    Encoder,
    InputType,
    Output,
    Piece,
    Reranker,
    SparseEmbedding,
    SparseEncoder,
    Truncate,
    WeighsQueries,
)
from pinyon.inference.worker import Worker
from pinyon.model.record import Float32s, SparseVector, UInt32s

Backend = TypeVar("Backend")


class _Model(Generic[Backend, Output]):
    """What all kinds have."""

    def __init__(self, info: ModelInfo, backend: Backend, worker: Worker[Output], *, served_by: str = "") -> None:
        """Serve `backend` under the name of `info`.

        Args:
            info: of a dense model, without a `default_dimension` where only the loaded model knows it.
            backend: an encoder, or a reranker.
            worker: what runs it.
            served_by: what stands in for the named model, as told to people; "" for the model itself. Vectors of a
                stand-in are padded with zeros to the dimension of the model, which changes no score.
        """
        self._backend = backend
        self._worker = worker
        self.listed_info = info
        """What is told about it, without waiting; the dimension may be missing."""
        self.served_by = served_by

    @property
    def info(self) -> ModelInfo:
        """What is told about it."""
        return self.listed_info

    def _compute(self, prepare: Callable[[], list[Piece]], is_urgent: bool) -> tuple[list[Output], int]:
        """Load the model, split texts with `prepare`, and compute, all within one deadline.

        Returns:
            The outputs, and the tokens of all pieces together.
        """
        deadline_s = self._worker.deadline_s()
        self._worker.ensure_loaded(deadline_s)
        pieces = prepare()
        return self._worker.run(pieces, is_urgent, deadline_s), sum(piece.token_count for piece in pieces)


AnyEncoder = TypeVar("AnyEncoder", bound=Encoder[Any])


class _EmbeddingModel(_Model[AnyEncoder, Output]):
    """What models that embed have."""

    @property
    def fingerprint(self) -> str:
        """What its vectors depend on: vectors of another fingerprint must not be mixed with them."""
        self._worker.ensure_loaded()
        return self._backend.fingerprint

    def _embed(self, texts: Sequence[str], options: EncodeOptions) -> tuple[list[Output], int]:
        is_urgent = options.input_type is InputType.QUERY
        return self._compute(lambda: self._backend.prepare(texts, options), is_urgent)


class DenseModel(_EmbeddingModel[DenseEncoder, Float32s]):
    """A model that embeds texts in dense vectors."""

    @property
    def info(self) -> ModelInfo:
        """What is told about it, with its dimension."""
        if self.listed_info.default_dimension is not None:
            return self.listed_info
        self._worker.ensure_loaded()
        dimension = self._backend.dimension
        return replace(self.listed_info, default_dimension=dimension, supported_dimensions=(dimension,))

    def embed(self, texts: Sequence[str], options: EncodeOptions) -> tuple[Float32s, int]:
        """Embed texts.

        Returns:
            `(vectors, token_count)`: `(n, dimension)` float32, and the tokens of all texts together.

        Raises:
            InvalidArgumentError: a text is too long.
        """
        if self.served_by and options.dimension is None:
            options = replace(options, dimension=self.listed_info.default_dimension)
        rows, token_count = self._embed(texts, options)
        vectors = np.stack(rows)
        dimension = options.dimension or self.info.default_dimension
        if vectors.shape[1] != dimension:
            raise UnavailableError(
                f"The backend of {self.listed_info.name} gives vectors of dimension {vectors.shape[1]}, not {dimension}"
            )
        return vectors, token_count


class SparseModel(_EmbeddingModel[SparseEncoder, SparseEmbedding]):
    """A model that embeds texts in sparse vectors."""

    def embed(self, texts: Sequence[str], options: EncodeOptions) -> tuple[list[SparseEmbedding], int]:
        """Embed texts: one embedding each, and the tokens of all together.

        Raises:
            InvalidArgumentError: a text is too long.
        """
        return self._embed(texts, options)

    @property
    def weighs_queries(self) -> bool:
        """True if a query should get its weights from what is searched, by `weigh_query`."""
        return isinstance(self._backend, WeighsQueries)

    def weigh_query(self, query: SparseVector, record_count: int, frequencies: Sequence[int]) -> SparseVector:
        """See `WeighsQueries`; only where `weighs_queries` is true."""
        assert isinstance(self._backend, WeighsQueries)
        return self._backend.weigh_query(query, record_count, frequencies)

    def indices_of(self, terms: Sequence[str]) -> UInt32s:
        """See `WeighsQueries`; only where `weighs_queries` is true."""
        assert isinstance(self._backend, WeighsQueries)
        return self._backend.indices_of(terms)


class RerankModel(_Model[Reranker, float]):
    """A model that scores documents by how well they answer a query."""

    def rerank(self, query: str, documents: Sequence[str], truncate: Truncate) -> list[float]:
        """Score each document, from 0 to 1, higher is better.

        Raises:
            InvalidArgumentError: a pair of query and document is too long.
        """
        scores, _ = self._compute(lambda: self._backend.prepare(query, documents, truncate), is_urgent=True)
        return scores
