"""Backends with real weights, run by fastembed: dense models, SPLADE, and cross-encoders that rerank.

What fastembed leaves open is done here: texts are cut as the request says, prefixes are added
(`pinyon.inference.prefixes`), dense vectors brought to unit length, and logits to 0 to 1.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from pinyon.errors import UnavailableError
from pinyon.inference.fastembed_weights import Weights, cross_encoders, dense_models, sparse_models
from pinyon.inference.prefixes import prefixes_of
from pinyon.inference.protocol import EncodeOptions, InputType, Piece, SparseEmbedding, Truncate
from pinyon.inference.refusals import pair_too_long, text_too_long
from pinyon.model.record import Float32s, Int64s, SparseVector

_PROBE: Final = "warm up"
_PROBE_OPTIONS: Final = EncodeOptions(input_type=InputType.QUERY)
"""What `load` computes first: what is wrong with the files shows then, and the next call is not slower than others."""

_QUERY_SHARE_MAX: Final = 3 / 4
"""Of the tokens of a pair, what a query may take; as the authors of bge-reranker do it (FlagEmbedding)."""


class _FastembedEncoder:
    """What dense and sparse models share."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._prefixes = prefixes_of(weights.name)
        self._prefix_tokens: dict[InputType, int] = {}

    @property
    def fingerprint(self) -> str:
        """The model and a checksum of its weights."""
        return self._weights.fingerprint + self._prefixes.mark

    def load(self) -> None:
        """See `Runner.load`."""
        self._weights.load()
        self._prefix_tokens = {each: len(self._weights.split(self._prefixes.of(each)).ids) for each in InputType}

    def prepare(self, texts: Sequence[str], options: EncodeOptions) -> list[Piece]:
        """See `Encoder.prepare`. The limit counts the prefix and the model's special tokens too."""
        limit = min(options.max_tokens or self._weights.tokens_max, self._weights.tokens_max)
        return [self._weights.piece(self._cut(text, at, limit, options)) for at, text in enumerate(texts)]

    def _cut(self, text: str, position: int, limit: int, options: EncodeOptions) -> Any:
        """The tokens of a text behind its prefix, as many as may be."""
        prefix = self._prefixes.of(options.input_type)
        room = max(1, limit - self._weights.special_count())
        text = self._weights.excerpt(text, room, options.truncate)
        tokens = self._weights.split(prefix + text)
        excess = len(tokens.ids) - room
        if excess <= 0:
            return tokens
        if options.truncate is Truncate.NONE:
            raise text_too_long(position, excess + limit, limit)
        if options.truncate is Truncate.START:
            first = self._prefix_tokens[options.input_type] + excess
            start = tokens.offsets[min(first, len(tokens.ids) - 1)][0]
            tokens = self._weights.split(prefix + (prefix + text)[start:])
        tokens.truncate(room)
        return tokens


class FastembedDense(_FastembedEncoder):
    """A `DenseEncoder` with the weights of a dense model. Its vectors have unit length."""

    def __init__(
        self, name: str, *, folder: str | None = None, cache_dir: str | None = None, threads: int | None = None
    ) -> None:
        """Describe a model; nothing is read before `load`.

        Args:
            name: Pinecone's, or fastembed's.
            folder: where its files are; None for fastembed's cache, into which they are downloaded if need be.
            cache_dir: of that cache; None for fastembed's own choice.
            threads: of one computation; None for onnxruntime's own choice.

        Raises:
            InvalidArgumentError: it is a model of Pinecone's without weights that fastembed has.
        """
        super().__init__(Weights(dense_models, name, folder, cache_dir, threads))
        self.dimension = 0

    def load(self) -> None:
        """See `Runner.load`."""
        super().load()
        self.dimension = len(self.run(self.prepare([_PROBE], _PROBE_OPTIONS))[0])

    def run(self, pieces: Sequence[Piece]) -> list[Float32s]:
        """See `Runner.run`."""
        vectors: Float32s = np.stack(self._weights.compute("embed", pieces)).astype(np.float32, copy=False)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(norms).all() and norms.all()):
            raise UnavailableError(f"{self._weights.name} failed: it gave a vector that is zero or not finite")
        return list(vectors / norms)


class FastembedSparse(_FastembedEncoder):
    """A `SparseEncoder` with the weights of a SPLADE model: an index is a token of its vocabulary."""

    def __init__(
        self, name: str, *, folder: str | None = None, cache_dir: str | None = None, threads: int | None = None
    ) -> None:
        """See `FastembedDense`."""
        super().__init__(Weights(sparse_models, name, folder, cache_dir, threads))

    def load(self) -> None:
        """See `Runner.load`."""
        super().load()
        self.run(self.prepare([_PROBE], _PROBE_OPTIONS))

    def run(self, pieces: Sequence[Piece]) -> list[SparseEmbedding]:
        """See `Runner.run`."""
        return [self._embedding(given.indices, given.values) for given in self._weights.compute("embed", pieces)]

    def _embedding(self, indices: Int64s, values: Float32s) -> SparseEmbedding:
        if not np.isfinite(values).all():
            raise UnavailableError(f"{self._weights.name} failed: it gave a weight that is not finite")
        tokens = tuple(self._weights.token(index) for index in indices.tolist())
        return SparseEmbedding(SparseVector(indices.astype(np.uint32), values.astype(np.float32)), tokens)


class FastembedReranker:
    """A `Reranker` with the weights of a cross-encoder."""

    def __init__(
        self, name: str, *, folder: str | None = None, cache_dir: str | None = None, threads: int | None = None
    ) -> None:
        """See `FastembedDense`."""
        self._weights = Weights(cross_encoders, name, folder, cache_dir, threads)

    def load(self) -> None:
        """See `Runner.load`."""
        self._weights.load()
        self.run(self.prepare(_PROBE, [_PROBE], Truncate.END))

    def prepare(self, query: str, documents: Sequence[str], truncate: Truncate) -> list[Piece]:
        """See `Reranker.prepare`. Documents are cut to what the query leaves of the limit."""
        weights, limit = self._weights, self._weights.tokens_max
        room = limit - weights.special_count(is_pair=True)
        query_tokens = weights.split(weights.excerpt(query, room, Truncate.END))
        document_tokens = [weights.split(weights.excerpt(document, room, truncate)) for document in documents]
        if truncate is Truncate.NONE:
            longest = len(query_tokens.ids) + max((len(tokens.ids) for tokens in document_tokens), default=0)
            if longest > room:
                raise pair_too_long(longest - room + limit, limit)
        else:
            query_tokens.truncate(int(room * _QUERY_SHARE_MAX))
        for tokens in document_tokens:
            tokens.truncate(room - len(query_tokens.ids), direction="left" if truncate is Truncate.START else "right")
        return [weights.piece(query_tokens, tokens) for tokens in document_tokens]

    def run(self, pieces: Sequence[Piece]) -> list[float]:
        """See `Runner.run`: the sigmoid of each logit."""
        logits = np.array(self._weights.compute("rerank_pairs", pieces))
        if not np.isfinite(logits).all():
            raise UnavailableError(f"{self._weights.name} failed: it gave a score that is not finite")
        scores: list[float] = (0.5 + 0.5 * np.tanh(logits / 2)).tolist()
        return scores
