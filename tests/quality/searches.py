"""Searches of a corpus as Pinyon does them, by its models alone: exact, in memory, without a server."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from pinyon.inference.bm25 import Bm25
from pinyon.inference.maxsim import MaxSim
from pinyon.inference.minilm import MiniLm, MiniLmWeights
from pinyon.inference.protocol import EncodeOptions, InputType, SparseEmbedding, Truncate
from pinyon.model.record import Float32s, Int64s, SparseVector
from tests.quality.wordnet import Corpus

RERANKED_COUNT: Final = 50
"""How many of the best a reranker sees, as Pinecone's guides do it."""

ALPHA: Final = 0.4
"""The weight of the dense vector, beside 1 - ALPHA of the sparse one, by which users scale a hybrid query."""

_QUERY = EncodeOptions(input_type=InputType.QUERY)
_PASSAGE = EncodeOptions(input_type=InputType.PASSAGE)


class RememberingWeights(MiniLmWeights):
    """Computes each sequence of tokens once, so that a corpus can be searched in many ways in a few seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[bytes, Float32s] = {}

    def states(self, sequences: Sequence[Int64s]) -> list[Float32s]:
        unknown = {sequence.tobytes(): sequence for sequence in sequences if sequence.tobytes() not in self._known}
        self._known.update(zip(unknown, super().states(list(unknown.values())), strict=True))
        return [self._known[sequence.tobytes()] for sequence in sequences]


def dense_scores(encoder: MiniLm, corpus: Corpus) -> Float32s:
    """Dot products, `(queries, records)`."""
    queries = np.stack(encoder.run(encoder.prepare(corpus.queries, _QUERY)))
    records = np.stack(encoder.run(encoder.prepare(corpus.records, _PASSAGE)))
    scores: Float32s = queries @ records.T
    return scores


def sparse_scores(encoder: Bm25, corpus: Corpus) -> Float32s:
    """Dot products with queries that are weighted by the corpus, `(queries, records)`; a missing term counts zero."""
    postings = _postings(encoder.run(encoder.prepare(corpus.records, _PASSAGE)))
    scores = np.zeros((len(corpus.queries), len(corpus.records)), np.float32)
    for row, embedding in zip(scores, encoder.run(encoder.prepare(corpus.queries, _QUERY)), strict=True):
        frequencies = [len(postings.get(index, ())) for index in embedding.vector.indices.tolist()]
        query = encoder.weigh_query(embedding.vector, len(corpus.records), frequencies)
        for index, weight in zip(query.indices.tolist(), query.values.tolist(), strict=True):
            for record, value in postings.get(index, ()):
                row[record] += weight * value
    return scores


def _postings(embeddings: Sequence[SparseEmbedding]) -> dict[int, list[tuple[int, float]]]:
    """The records that have each index, with their values."""
    postings: dict[int, list[tuple[int, float]]] = {}
    for record, embedding in enumerate(embeddings):
        vector: SparseVector = embedding.vector
        for index, value in zip(vector.indices.tolist(), vector.values.tolist(), strict=True):
            postings.setdefault(index, []).append((record, value))
    return postings


def hybrid_scores(dense: Float32s, sparse: Float32s) -> Float32s:
    """Both together: a dot product is the sum of its parts, and grows with the query."""
    return np.float32(ALPHA) * dense + np.float32(1 - ALPHA) * sparse


def best(scores: Float32s, count: int) -> Int64s:
    """The `count` records of the best scores, best first, `(queries, count)`."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :count]


def reranked(reranker: MaxSim, corpus: Corpus, candidates: Int64s) -> Int64s:
    """The candidates of each query in the order of the reranker's scores, `(queries, candidates)`."""
    scores = []
    for query, records in zip(corpus.queries, candidates, strict=True):
        pieces = reranker.prepare(query, [corpus.records[record] for record in records], Truncate.END)
        scores.append(reranker.run(pieces))
    return np.take_along_axis(candidates, best(np.array(scores, np.float32), candidates.shape[1]), axis=1)


def mrr_at_10(found: Int64s, answers: Sequence[int]) -> float:
    """The mean of 1 / rank of the answer among the first ten; 0 where it is not there."""
    is_answer = found[:, :10] == np.array(answers)[:, None]
    ranks = np.arange(1, is_answer.shape[1] + 1)
    return float((is_answer / ranks).sum(axis=1).mean())
