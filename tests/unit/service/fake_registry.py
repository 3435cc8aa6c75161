"""A registry of tiny models that compute in the caller's thread, and remember what they were asked."""

import re
from collections.abc import Sequence
from typing import Any, Final, Generic
from zlib import crc32

import numpy as np

from pinyon.errors import InvalidArgumentError
from pinyon.inference.info import ModelInfo, ModelKind, Parameter, ParameterKind, ValueType
from pinyon.inference.protocol import EncodeOptions, Output, Piece, Runner, SparseEmbedding, Truncate
from pinyon.inference.registry import Registry
from pinyon.inference.served import DenseModel, RerankModel, SparseModel
from pinyon.model.metric import Metric, VectorType
from pinyon.model.record import Float32s, SparseVector, UInt32s
from tests.unit.service.fake_models import INPUT_TYPE, RETURN_TOKENS, TRUNCATE, one_of

DIMENSION: Final = 64
MAX_TOKENS: Final = 16
STOP_WORDS: Final = frozenset({"the", "of"})

CHUNKS: Final = Parameter(
    name="chunks", kind=ParameterKind.NUMERIC_RANGE, value_type=ValueType.INTEGER, minimum=1, maximum=9, default=9
)


def info(name: str, kind: ModelKind = ModelKind.EMBED, *parameters: Parameter, **changes: Any) -> ModelInfo:
    """A model that takes `MAX_TOKENS` tokens."""
    facts: dict[str, Any] = {"max_tokens": MAX_TOKENS, "max_batch": 96, "provider": "Tests"}
    return ModelInfo(name=name, description=f"About {name}.", kind=kind, parameters=parameters, **facts | changes)


DENSE: Final = info(
    "dense",
    ModelKind.EMBED,
    INPUT_TYPE,
    TRUNCATE,
    one_of("dimension", 32, DIMENSION, default=DIMENSION),
    vector_type=VectorType.DENSE,
    default_dimension=DIMENSION,
    supported_dimensions=(32, DIMENSION),
    supported_metrics=(Metric.COSINE, Metric.DOTPRODUCT),
)
SPARSE: Final = info(
    "sparse",
    ModelKind.EMBED,
    INPUT_TYPE,
    TRUNCATE,
    one_of("max_tokens_per_sequence", 4, MAX_TOKENS, default=MAX_TOKENS),
    RETURN_TOKENS,
    vector_type=VectorType.SPARSE,
    supported_metrics=(Metric.DOTPRODUCT,),
)
RANKER: Final = info("ranker", ModelKind.RERANK, TRUNCATE, max_batch=5, rank_fields_max=1)
WIDE_RANKER: Final = info("wide-ranker", ModelKind.RERANK, CHUNKS, max_batch=200, rank_fields_max=2)


def words(text: str) -> list[str]:
    """What all these models see of a text."""
    return re.findall(r"\w+", text.lower())


def index_of(word: str) -> int:
    """The sparse index of a word."""
    return crc32(word.encode())


class InlineWorker(Generic[Output]):
    """Keeps `pinyon.inference.worker.Worker`; runs a model in the caller's thread."""

    def __init__(self, runner: Runner[Output]) -> None:
        self._runner = runner

    def deadline_s(self) -> float:
        return 0.0

    def ensure_loaded(self, deadline_s: float | None = None) -> None:
        self._runner.load()

    def run(self, pieces: Sequence[Piece], urgent: bool, deadline_s: float | None = None) -> list[Output]:
        return list(self._runner.run(pieces))

    def close(self, wait_s: float = 0.0) -> None:
        pass


class _Words:
    """The words of texts. `asked` holds every text with its options; `failure` is raised instead of loading."""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self.failure: Exception | None = None
        self.asked: list[tuple[str, EncodeOptions]] = []

    def load(self) -> None:
        if self.failure is not None:
            raise self.failure

    def prepare(self, texts: Sequence[str], options: EncodeOptions) -> list[Piece]:
        self.asked += [(text, options) for text in texts]
        return [self._piece(text, options) for text in texts]

    def _piece(self, text: str, options: EncodeOptions) -> Piece:
        found, limit = words(text), options.max_tokens or MAX_TOKENS
        if len(found) > limit and options.truncate is Truncate.NONE:
            raise InvalidArgumentError(f"The text has {len(found)} tokens")
        return Piece(len(found[:limit]), (found[:limit], options))


class FakeDense(_Words):
    """A unit vector by hashing words; a query of the same words is the same vector."""

    dimension = DIMENSION

    def run(self, pieces: Sequence[Piece]) -> list[Float32s]:
        return [self._vector(*piece.content) for piece in pieces]

    def _vector(self, found: list[str], options: EncodeOptions) -> Float32s:
        vector = np.full(options.dimension or DIMENSION, 0.01, np.float32)
        for word in found:
            vector[index_of(word) % len(vector)] += 1
        unit: Float32s = vector / np.linalg.norm(vector)
        return unit


class FakeExpanding(_Words):
    """A sparse model whose vectors have more than the words of the text, as learned ones have."""

    def run(self, pieces: Sequence[Piece]) -> list[SparseEmbedding]:
        return [_counted([*piece.content[0], "expanded"]) for piece in pieces]


class FakeSparse(_Words):
    """Each word's count at its hash, without stop words; words of queries weigh more the rarer they are."""

    def run(self, pieces: Sequence[Piece]) -> list[SparseEmbedding]:
        return [_counted(piece.content[0]) for piece in pieces]

    def weigh_query(self, query: SparseVector, record_count: int, frequencies: Sequence[int]) -> SparseVector:
        weights = [1 + record_count - frequency for frequency in frequencies]
        return SparseVector(query.indices, np.array(weights, np.float32))

    def indices_of(self, terms: Sequence[str]) -> UInt32s:
        return np.unique(_counted(words(" ".join(terms))).vector.indices)


def _counted(found: list[str]) -> SparseEmbedding:
    counts = {word: found.count(word) for word in found if word not in STOP_WORDS}
    indices = np.array([index_of(word) for word in counts], np.uint32)
    return SparseEmbedding(SparseVector(indices, np.array(list(counts.values()), np.float32)), tuple(counts))


class FakeReranker:
    """Scores a document by the share of the query's words that it has."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Truncate]] = []

    def load(self) -> None:
        pass

    def prepare(self, query: str, documents: Sequence[str], truncate: Truncate) -> list[Piece]:
        self.asked += [(query, document, truncate) for document in documents]
        return [Piece(1, (query, document)) for document in documents]

    def run(self, pieces: Sequence[Piece]) -> list[float]:
        return [self._score(*piece.content) for piece in pieces]

    def _score(self, query: str, document: str) -> float:
        asked = set(words(query))
        return len(asked & set(words(document))) / len(asked)


class FakeRegistry(Registry):
    """All of the above under the names `dense`, `sparse`, `ranker` and `wide-ranker`."""

    def __init__(self) -> None:
        self.dense_encoder = FakeDense("dense-weights-1")
        self.sparse_encoder = FakeSparse("sparse-weights-1")
        self.rerank_backend = FakeReranker()
        super().__init__(
            [
                DenseModel(DENSE, self.dense_encoder, InlineWorker(self.dense_encoder)),
                SparseModel(SPARSE, self.sparse_encoder, InlineWorker(self.sparse_encoder)),
                RerankModel(RANKER, self.rerank_backend, InlineWorker(self.rerank_backend)),
                RerankModel(WIDE_RANKER, self.rerank_backend, InlineWorker(self.rerank_backend)),
            ]
        )
