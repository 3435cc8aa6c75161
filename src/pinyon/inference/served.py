"""A model under the name that requests use: what is told about it, its backend, and the worker that runs it.

Any thread may call any method; all but `info` and `served_by` may wait for the model to be loaded, and raise
UnavailableError where it cannot be, and ResourceExhaustedError where too much waits for it already.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pinyon.errors import UnavailableError
from pinyon.inference.info import ModelInfo
from pinyon.inference.protocol import (
    DenseEncoder,
    EncodeOptions,
    InputType,
    Reranker,
    SparseEmbedding,
    SparseEncoder,
    Truncate,
    WeighsQueries,
)
from pinyon.inference.worker import Worker
from pinyon.model.record import Float32s, SparseVector, UInt32s


class DenseModel:
    """A model that embeds texts in dense vectors."""

    def __init__(
        self, info: ModelInfo, encoder: DenseEncoder, worker: Worker[Float32s], *, served_by: str = ""
    ) -> None:
        """Serve `encoder` under the name of `info`.

        Args:
            info: without a `default_dimension` where only the loaded model knows it.
            encoder: what embeds.
            worker: what runs it.
            served_by: what stands in for the named model, as told to people; "" for the model itself. Vectors of a
                stand-in are padded with zeros to the dimension of the model, which changes no score.
        """
        self._info = info
        self._encoder = encoder
        self._worker = worker
        self.served_by = served_by

    @property
    def info(self) -> ModelInfo:
        """What is told about it, with its dimension."""
        if self._info.default_dimension is not None:
            return self._info
        self._worker.ensure_loaded()
        dimension = self._encoder.dimension
        return replace(self._info, default_dimension=dimension, supported_dimensions=(dimension,))

    @property
    def listed_info(self) -> ModelInfo:
        """As `info`, but never waits; the dimension may be missing."""
        return self._info

    @property
    def fingerprint(self) -> str:
        """What its vectors depend on: vectors of another fingerprint must not be mixed with them."""
        self._worker.ensure_loaded()
        return self._encoder.fingerprint

    def embed(self, texts: Sequence[str], options: EncodeOptions) -> tuple[Float32s, int]:
        """Embed texts.

        Returns:
            `(vectors, token_count)`: `(n, dimension)` float32, and the tokens of all texts together.

        Raises:
            InvalidArgumentError: a text is too long.
        """
        deadline_s = self._worker.deadline_s()
        self._worker.ensure_loaded(deadline_s)
        dimension = options.dimension or self.info.default_dimension
        if self.served_by:
            options = replace(options, dimension=dimension)
        pieces = self._encoder.prepare(texts, options)
        is_urgent = options.input_type is InputType.QUERY
        vectors = np.stack(self._worker.run(pieces, is_urgent, deadline_s))
        if vectors.shape[1] != dimension:
            raise UnavailableError(
                f"The backend of {self._info.name} gives vectors of dimension {vectors.shape[1]}, not {dimension}"
            )
        return vectors, sum(piece.token_count for piece in pieces)


class SparseModel:
    """A model that embeds texts in sparse vectors."""

    def __init__(
        self, info: ModelInfo, encoder: SparseEncoder, worker: Worker[SparseEmbedding], *, served_by: str = ""
    ) -> None:
        """Serve `encoder` under the name of `info`; see `DenseModel`."""
        self.info = info
        self._encoder = encoder
        self._worker = worker
        self.served_by = served_by

    @property
    def listed_info(self) -> ModelInfo:
        """As `info`."""
        return self.info

    @property
    def fingerprint(self) -> str:
        """What its vectors depend on: vectors of another fingerprint must not be mixed with them."""
        self._worker.ensure_loaded()
        return self._encoder.fingerprint

    def embed(self, texts: Sequence[str], options: EncodeOptions) -> tuple[list[SparseEmbedding], int]:
        """Embed texts: one embedding each, and the tokens of all together.

        Raises:
            InvalidArgumentError: a text is too long.
        """
        deadline_s = self._worker.deadline_s()
        self._worker.ensure_loaded(deadline_s)
        pieces = self._encoder.prepare(texts, options)
        embeddings = self._worker.run(pieces, options.input_type is InputType.QUERY, deadline_s)
        return embeddings, sum(piece.token_count for piece in pieces)

    @property
    def weighs_queries(self) -> bool:
        """True if a query should get its weights from what is searched, by `weigh_query`."""
        return isinstance(self._encoder, WeighsQueries)

    def weigh_query(self, query: SparseVector, record_count: int, frequencies: Sequence[int]) -> SparseVector:
        """See `WeighsQueries`; only where `weighs_queries` is true."""
        assert isinstance(self._encoder, WeighsQueries)
        return self._encoder.weigh_query(query, record_count, frequencies)

    def indices_of(self, terms: Sequence[str]) -> UInt32s:
        """See `WeighsQueries`; only where `weighs_queries` is true."""
        assert isinstance(self._encoder, WeighsQueries)
        return self._encoder.indices_of(terms)


class RerankModel:
    """A model that scores documents by how well they answer a query."""

    def __init__(self, info: ModelInfo, reranker: Reranker, worker: Worker[float], *, served_by: str = "") -> None:
        """Serve `reranker` under the name of `info`; see `DenseModel`."""
        self.info = info
        self._reranker = reranker
        self._worker = worker
        self.served_by = served_by

    @property
    def listed_info(self) -> ModelInfo:
        """As `info`."""
        return self.info

    def rerank(self, query: str, documents: Sequence[str], truncate: Truncate) -> list[float]:
        """Score each document, from 0 to 1, higher is better.

        Raises:
            InvalidArgumentError: a pair of query and document is too long.
        """
        deadline_s = self._worker.deadline_s()
        self._worker.ensure_loaded(deadline_s)
        return self._worker.run(self._reranker.prepare(query, documents, truncate), True, deadline_s)
