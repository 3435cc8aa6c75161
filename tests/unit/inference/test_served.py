"""Models under their names: dimensions, stand-ins, and who is found by which name."""

from collections.abc import Sequence

import numpy as np
import pytest

from pinyon.errors import InvalidArgumentError, NotFoundError, UnavailableError
from pinyon.inference.catalogue import PINECONE_MODELS, dense_info
from pinyon.inference.direct_worker import DirectWorker
from pinyon.inference.protocol import EncodeOptions, InputType, Piece, Truncate
from pinyon.inference.registry import Registry
from pinyon.inference.served import DenseModel, RerankModel
from pinyon.model.record import Float32s
from tests.unit.service.fake_indexes import FakeClock

QUERY = EncodeOptions(input_type=InputType.QUERY)
INFO = {info.name: info for info in PINECONE_MODELS}
CUSTOM = dense_info("custom", "The operator's own", "someone", max_tokens=10, dimension=None)


class Lengths:
    """Embeds a text as its length, in as many numbers as are asked for."""

    fingerprint = "lengths:1"

    def __init__(self, dimension: int = 4) -> None:
        self.dimension = dimension
        self.is_loaded = False

    def load(self) -> None:
        self.is_loaded = True

    def prepare(self, texts: Sequence[str], options: EncodeOptions) -> list[Piece]:
        return [Piece(len(text), (len(text), options.dimension or self.dimension)) for text in texts]

    def run(self, pieces: Sequence[Piece]) -> list[Float32s]:
        return [np.full(dimension, length, np.float32) for length, dimension in (piece.content for piece in pieces)]


class Ranker:
    """Scores a document by its length."""

    def load(self) -> None:
        pass

    def prepare(self, query: str, documents: Sequence[str], truncate: Truncate) -> list[Piece]:
        return [Piece(len(document), (query, document, truncate)) for document in documents]

    def run(self, pieces: Sequence[Piece]) -> list[float]:
        return [piece.token_count / 10 for piece in pieces]


def dense(name: str = "multilingual-e5-large", encoder: Lengths | None = None, served_by: str = "") -> DenseModel:
    encoder = encoder or Lengths()
    worker = DirectWorker(name, encoder, FakeClock())
    return DenseModel(INFO.get(name, CUSTOM), encoder, worker, served_by=served_by)


def reranker(name: str = "bge-reranker-v2-m3") -> RerankModel:
    ranker = Ranker()
    return RerankModel(INFO[name], ranker, DirectWorker(name, ranker, FakeClock()))


def test_texts_become_rows_and_their_tokens_are_counted():
    vectors, token_count = dense("custom").embed(["a", "bcd"], QUERY)
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[1] * 4, [3] * 4]
    assert token_count == 4


def test_a_stand_in_gives_the_dimension_of_the_model():
    stand_in = dense(served_by="lengths")
    assert stand_in.embed(["ab"], QUERY)[0].shape == (1, 1024)
    assert stand_in.embed(["ab"], EncodeOptions(input_type=InputType.QUERY, dimension=2048))[0].shape == (1, 2048)


def test_a_backend_of_another_dimension_than_the_model_is_not_used():
    with pytest.raises(UnavailableError, match="gives vectors of dimension 4, not 1024"):
        dense().embed(["ab"], QUERY)


def test_the_dimension_of_a_model_of_the_operators_own_is_known_once_it_is_loaded():
    encoder = Lengths(6)
    model = dense("custom", encoder)
    assert (model.listed_info.default_dimension, encoder.is_loaded) == (None, False)
    assert (model.info.default_dimension, model.info.supported_dimensions) == (6, (6,))
    assert encoder.is_loaded


def test_what_is_told_of_a_known_model_needs_no_weights():
    encoder = Lengths()
    assert dense(encoder=encoder).info == INFO["multilingual-e5-large"]
    assert not encoder.is_loaded


def test_a_fingerprint_is_that_of_the_loaded_weights():
    encoder = Lengths()
    assert dense(encoder=encoder).fingerprint == "lengths:1"
    assert encoder.is_loaded


def test_documents_are_scored_in_their_order():
    assert reranker().rerank("q", ["abc", "a"], Truncate.END) == [0.3, 0.1]


def test_models_are_found_by_name_and_kind():
    registry = Registry([dense(), reranker()])
    assert registry.embedder("multilingual-e5-large").listed_info.name == "multilingual-e5-large"
    assert registry.reranker("bge-reranker-v2-m3").info.name == "bge-reranker-v2-m3"
    assert [info.name for info in registry.infos()] == ["bge-reranker-v2-m3", "multilingual-e5-large"]
    with pytest.raises(InvalidArgumentError, match="is a reranking model"):
        registry.embedder("bge-reranker-v2-m3")
    with pytest.raises(InvalidArgumentError, match="is an embedding model"):
        registry.reranker("multilingual-e5-large")


def test_a_name_that_nobody_knows_is_answered_with_those_that_are_served():
    with pytest.raises(NotFoundError, match=r"^Model e6 not found\. Supported models: 'multilingual-e5-large'$"):
        Registry([dense(), reranker()]).embedder("e6")


def test_a_name_that_is_known_and_not_served_is_answered_with_advice():
    registry = Registry([], {"bge-reranker-v2-m3": "Do this."})
    with pytest.raises(NotFoundError, match=r"known, but not served here\. Do this\.$"):
        registry.reranker("bge-reranker-v2-m3")
