"""BM25 as sparse vectors: a `SparseEncoder` for English that needs no weights, and is exact about words.

The score of a passage for a query is the product of their vectors: the passage's hold how much each of its terms says
about it, the query's how rare each of its terms is (Robertson and Zaragoza, "The Probabilistic Relevance Framework:
BM25 and Beyond", 2009).

    passage:  tf / (k1 · (1 - b + b · dl / avgdl) + tf)     tf, dl: how often it has the term, how many terms it has
    query:    ln((N + 1) / (df + 0.5)), divided by the sum  N, df: texts of the collection, those that have the term

Both are the formulae of `BM25Encoder` in Pinecone's pinecone-text 0.11, and so are the indices: vectors of either find
those of the other (`pinyon.inference.terms` names the differences). The query's weight is that of Robertson and
Spärck Jones in the form that is positive for every term, the common ones too: (N + 1) / (df + 0.5) is
1 + (N - df + 0.5) / (df + 0.5), and no term is in more texts than there are. A query is therefore never all zeros.

What pinecone-text learns from a collection by `fit` comes from elsewhere:

- avgdl is a constant, since a stored vector cannot change with each record that comes after it;
- N and df are those of the namespace that a text search looks at, joined by a few texts of general English, so that a
  namespace of four records knows that "report" says less than "plutonium". A query that is embedded without an index
  is weighted by general English alone.

What must hold: weights of queries are positive and finite; indices are unique and ascend. Any thread may call any
method after `load`.
"""

import gzip
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import numpy as np

from pinyon.errors import InvalidArgumentError
from pinyon.inference.excerpt import excerpt
from pinyon.inference.protocol import EncodeOptions, InputType, Piece, SparseEmbedding, Truncate
from pinyon.inference.refusals import text_too_long
from pinyon.inference.terms import STOP_WORDS, index_of, stemmer_mark, terms_of, words_of
from pinyon.limits import SPARSE_NONZEROS_MAX
from pinyon.model.record import Float32s, Float64s, SparseVector, UInt32s

K1: Final = 1.2
B: Final = 0.75

AVERAGE_TERMS: Final = 32
"""avgdl: the mean of the passages of MS MARCO without stop words, 31.9 in the parameters that pinecone-text published
for its default encoder (39.8 with Lucene's shorter list of stop words: 352,316,036 terms in 8,841,823 passages)."""

TOKENS_MAX: Final = 512
"""Words of one text, stop words too, unless a request says otherwise."""

_STATIC_TEXTS: Final = 1_000_000
"""How many texts of general English weigh a query that is embedded without an index."""

_PRIOR_TEXTS: Final = 30
"""How many texts of general English join a namespace. Measured in namespaces of 4 to 1,000 neighbouring records of
three kinds: 30 gain up to .013 MRR@10 where words are general English, and lose .003 at most where they are jargon."""

_ENGLISH_TERMS: Final = "english_terms.txt.gz"
"""How common terms are in general English: line n, from 0, has those that about e^-n of all texts have.

16,000 stems of the most frequent words of the vocabulary of GloVe 6B (Wikipedia and Gigaword; Pennington, Socher and
Manning, Stanford; public domain, PDDL 1.0), written by `tools/make_english_terms.py`. MRR@10 without an index, against
weights that are all equal: .22 and .10 (WordNet, examples to definitions), .38 and .35 (docstrings, first sentence to
the rest), .24 and .24 (Debian packages, name to summary).
"""


@dataclass(frozen=True, slots=True)
class _Text:
    words: Sequence[str]
    is_query: bool


class Bm25:
    """Embeds English texts; a `SparseEncoder` that `WeighsQueries`."""

    def __init__(self) -> None:
        """Nothing is read before `load`."""
        self._fingerprint = ""
        self._shares: dict[int, float] = {}
        self._rare_share = 0.0

    @property
    def fingerprint(self) -> str:
        """All that the vectors of passages depend on."""
        return self._fingerprint

    def load(self) -> None:
        """Read how common terms are in general English."""
        lines = gzip.decompress((files("pinyon.inference") / _ENGLISH_TERMS).read_bytes()).decode().splitlines()
        self._shares = {index_of(stem): math.exp(-line) for line, stems in enumerate(lines) for stem in stems.split()}
        self._rare_share = math.exp(-len(lines))
        self._fingerprint = f"bm25-english:1:k1={K1}:b={B}:avgdl={AVERAGE_TERMS}:stems={stemmer_mark()}"

    def prepare(self, texts: Sequence[str], options: EncodeOptions) -> list[Piece]:
        """Split texts into words.

        Raises:
            InvalidArgumentError: a text has no words, or is too long and must not be cut; the message names its
                position.
        """
        # A text has no more terms than words, so that none has more than can be stored.
        limit = min(options.max_tokens or TOKENS_MAX, SPARSE_NONZEROS_MAX)
        is_query = options.input_type is InputType.QUERY
        pieces = []
        for position, text in enumerate(texts):
            part = excerpt(text, limit, options.truncate, _inner_count)
            words = _cut(_words(part, position), position, limit, options.truncate)
            pieces.append(Piece(len(words), _Text(words, is_query)))
        return pieces

    def run(self, pieces: Sequence[Piece]) -> list[SparseEmbedding]:
        """See `Runner.run`; tokens are the stems."""
        return [self._embedding(piece.content) for piece in pieces]

    def weigh_query(self, query: SparseVector, record_count: int, frequencies: Sequence[int]) -> SparseVector:
        """See `WeighsQueries.weigh_query`. The weights that the query had do not matter."""
        found = np.minimum(np.array(frequencies, np.float64), record_count)
        frequencies_of_all = found + _PRIOR_TEXTS * self._english_shares(query.indices.tolist())
        return SparseVector(query.indices, _query_values(record_count + _PRIOR_TEXTS, frequencies_of_all))

    def indices_of(self, terms: Sequence[str]) -> UInt32s:
        """See `WeighsQueries.indices_of`."""
        words = [word for term in terms for word in words_of(term) if word not in STOP_WORDS]
        return np.array(sorted({term.index for term in terms_of(words)}), np.uint32)

    def _embedding(self, text: _Text) -> SparseEmbedding:
        counts: dict[int, int] = {}
        stems: dict[int, str] = {}
        for term in terms_of(text.words):
            # Two stems with one hash are one term.
            counts[term.index] = counts.get(term.index, 0) + 1
            stems.setdefault(term.index, term.stem)
        indices = sorted(counts)
        if text.is_query:
            values = _query_values(_STATIC_TEXTS, _STATIC_TEXTS * self._english_shares(indices))
        else:
            values = _passage_values(np.array([counts[index] for index in indices], np.float64))
        vector = SparseVector(np.array(indices, np.uint32), values)
        return SparseEmbedding(vector, tuple(stems[index] for index in indices))

    def _english_shares(self, indices: Sequence[int]) -> Float64s:
        """The share of texts of general English that have each term."""
        return np.array([self._shares.get(index, self._rare_share) for index in indices], np.float64)


def inverse_document_frequencies(text_count: float, frequencies: Float64s) -> Float64s:
    """How rare terms are: positive, if no frequency is above `text_count`, and that below 10^15."""
    weights: Float64s = np.log((text_count + 1) / (frequencies + 0.5))
    return weights


def _query_values(text_count: float, frequencies: Float64s) -> Float32s:
    weights = inverse_document_frequencies(text_count, frequencies)
    values: Float64s = weights / weights.sum()
    return values.astype(np.float32)


def _passage_values(counts: Float64s) -> Float32s:
    length_factor = K1 * (1.0 - B + B * (counts.sum() / AVERAGE_TERMS))
    values: Float64s = counts / (length_factor + counts)
    return values.astype(np.float32)


def _inner_count(text: str) -> int:
    return len(words_of(text)) - 2


def _words(text: str, position: int) -> list[str]:
    words = words_of(text)
    if not words:
        raise InvalidArgumentError(
            f"Request contains an input without words at position {position}: a sparse vector needs at least one word"
        )
    return words


def _cut(words: list[str], position: int, limit: int, truncate: Truncate) -> list[str]:
    if len(words) <= limit:
        return words
    match truncate:
        case Truncate.END:
            return words[:limit]
        case Truncate.START:
            return words[-limit:]
        case Truncate.NONE:
            raise text_too_long(position, len(words), limit)
