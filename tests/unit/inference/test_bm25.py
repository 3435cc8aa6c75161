"""BM25 vectors: their formulae, and what becomes of queries, of long texts and of texts without words."""

import gzip
import math
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinyon.errors import InvalidArgumentError
from pinyon.inference.bm25 import AVERAGE_TERMS, Bm25, inverse_document_frequencies
from pinyon.inference.protocol import EncodeOptions, InputType, SparseEmbedding, Truncate, WeighsQueries
from pinyon.inference.terms import index_of, terms_of, words_of
from pinyon.limits import SPARSE_NONZEROS_MAX
from pinyon.model.record import SparseVector

QUERY = EncodeOptions(input_type=InputType.QUERY)
PASSAGE = EncodeOptions(input_type=InputType.PASSAGE)


@pytest.fixture(scope="module", name="bm25")
def _bm25() -> Bm25:
    bm25 = Bm25()
    bm25.load()
    return bm25


def embed(bm25: Bm25, text: str, options: EncodeOptions = PASSAGE) -> SparseEmbedding:
    (embedding,) = bm25.run(bm25.prepare([text], options))
    return embedding


def weights(embedding: SparseEmbedding) -> dict[str, float]:
    return dict(zip(embedding.tokens, embedding.vector.values.tolist(), strict=True))


def query_of(*stems: str) -> SparseVector:
    return SparseVector(np.array([index_of(stem) for stem in stems], np.uint32), np.ones(len(stems), np.float32))


def test_the_fingerprint_names_all_that_stored_vectors_depend_on(bm25):
    """Another value makes every index that has one refuse text: change it with what it stands for, never alone."""
    assert bm25.fingerprint == "bm25-english:1:k1=1.2:b=0.75:avgdl=32:stems=ed16923c"
    assert isinstance(bm25, WeighsQueries)


# ---------------------------------------------------------------------------------------------------------------------
# Passages


def test_a_passage_has_the_weights_of_bm25(bm25):
    length_factor = 1.2 * (1 - 0.75 + 0.75 * 4 / AVERAGE_TERMS)
    assert weights(embed(bm25, "The fox, the foxes and the lazy dog")) == pytest.approx(
        {"fox": 2 / (length_factor + 2), "lazi": 1 / (length_factor + 1), "dog": 1 / (length_factor + 1)}, rel=1e-7
    )


def test_more_of_a_term_weighs_more_and_a_longer_text_less(bm25):
    once, twice = embed(bm25, "fox dog cat"), embed(bm25, "fox fox dog")
    assert weights(twice)["fox"] > weights(once)["fox"] == weights(once)["dog"]
    assert weights(embed(bm25, "fox dog cat bird"))["fox"] < weights(once)["fox"]


def test_two_stems_with_one_hash_are_one_term(bm25):
    assert index_of("29517") == index_of("87960")
    embedding = embed(bm25, "87960 29517")
    assert embedding.tokens == ("87960",)
    assert weights(embedding) == pytest.approx(weights(embed(bm25, "87960 87960")))


@given(st.text(st.sampled_from("abc xyz.,ÄÖ的\u0301"), min_size=1), st.sampled_from(list(InputType)))
def test_indices_ascend_and_values_are_positive(bm25, text, input_type):
    if not words_of(text):
        return
    embedding = embed(bm25, text, EncodeOptions(input_type=input_type))
    indices, values = embedding.vector.indices, embedding.vector.values
    assert indices.dtype == np.uint32
    assert values.dtype == np.float32
    assert (indices[1:] > indices[:-1]).all()
    assert ((values > 0) & (values <= 1)).all()
    assert [index_of(token) for token in embedding.tokens] == indices.tolist()


def test_a_piece_does_not_depend_on_its_neighbours(bm25):
    texts = ["one fox", "two dogs and a fox", "three"]
    together = bm25.run(bm25.prepare(texts, PASSAGE))
    assert [weights(embedding) for embedding in together] == [weights(embed(bm25, text)) for text in texts]


# ---------------------------------------------------------------------------------------------------------------------
# What is refused, and what is cut


@pytest.mark.parametrize("input_type", list(InputType))
@pytest.mark.parametrize("text", ["", "  \n", "?!", "❤️", "\ud800"])
def test_a_text_without_words_is_refused_by_its_position(bm25, text, input_type):
    with pytest.raises(InvalidArgumentError, match="without words at position 1"):
        bm25.prepare(["fox", text], EncodeOptions(input_type=input_type))


def test_a_text_of_stop_words_is_found_by_them(bm25):
    passage, query = (embed(bm25, "To be, or not to be", options) for options in (PASSAGE, QUERY))
    assert set(passage.tokens) == {"to", "be", "or", "not"}
    assert query.vector.indices.tolist() == passage.vector.indices.tolist()


def test_tokens_are_words_with_stop_words(bm25):
    assert [piece.token_count for piece in bm25.prepare(["the fox", "what is the price?"], QUERY)] == [2, 4]


@pytest.mark.parametrize(("truncate", "kept"), [(Truncate.END, {"w0", "w2"}), (Truncate.START, {"w998", "w999"})])
def test_a_long_text_is_cut_at_an_end(bm25, truncate, kept):
    text = " ".join(f"w{number}" for number in range(1000))
    options = EncodeOptions(input_type=InputType.PASSAGE, truncate=truncate)
    (piece,) = bm25.prepare([text], options)
    embedding = embed(bm25, text, options)
    assert piece.token_count == 512 == len(embedding.tokens)
    assert kept <= set(embedding.tokens)


def test_a_long_text_is_refused_if_it_must_not_be_cut(bm25):
    options = EncodeOptions(input_type=InputType.PASSAGE, truncate=Truncate.NONE)
    bm25.prepare(["fox " * 512], options)
    with pytest.raises(InvalidArgumentError, match=r"with 513 tokens at position 1, .* limit of 512"):
        bm25.prepare(["fox", "fox " * 513], options)


@pytest.mark.parametrize("max_tokens", [2048, 100_000])
def test_no_text_has_more_terms_than_can_be_stored(bm25, max_tokens):
    text = " ".join(f"w{number}" for number in range(3000))
    embedding = embed(bm25, text, EncodeOptions(input_type=InputType.PASSAGE, max_tokens=max_tokens))
    assert len(embedding.tokens) == SPARSE_NONZEROS_MAX


# ---------------------------------------------------------------------------------------------------------------------
# Queries


def test_without_an_index_a_query_is_weighted_by_general_english(bm25):
    query = weights(embed(bm25, "the report said that plutonium qxzwv", QUERY))
    assert query["said"] < query["report"] < query["plutonium"] < query["qxzwv"]
    assert sum(query.values()) == pytest.approx(1)


def test_a_word_that_a_query_repeats_counts_once(bm25):
    assert weights(embed(bm25, "fox fox fox dog", QUERY)) == weights(embed(bm25, "dog fox", QUERY))


def test_in_a_large_collection_its_own_frequencies_decide(bm25):
    count, frequencies = 1_000_000, [10, 1_000, 300_000]
    weighed = bm25.weigh_query(query_of("said", "report", "plutonium"), count, frequencies)
    exact = np.log((count + 1) / (np.array(frequencies) + 0.5))
    assert weighed.values.tolist() == pytest.approx((exact / exact.sum()).tolist(), rel=0.03)
    assert weighed.indices.tolist() == query_of("said", "report", "plutonium").indices.tolist()


def test_in_a_tiny_collection_general_english_has_a_say(bm25):
    said, plutonium = bm25.weigh_query(query_of("said", "plutonium"), 4, [1, 1]).values
    assert plutonium > 1.2 * said
    often, seldom = bm25.weigh_query(query_of("plutonium", "uranium"), 4, [4, 1]).values
    assert seldom > 1.2 * often


def test_weights_that_a_query_has_do_not_matter(bm25):
    query = query_of("fox", "dog")
    again = bm25.weigh_query(query, 10, [1, 5])
    assert bm25.weigh_query(again, 10, [1, 5]).values.tolist() == again.values.tolist()


counted = st.integers(0, 10**12).flatmap(
    lambda count: st.tuples(st.just(count), st.lists(st.integers(0, 2 * count + 100), min_size=1, max_size=20))
)


@given(counted)
def test_every_weight_of_a_query_is_positive(bm25, collection):
    """Even of terms that all records have, or that more have than there are, should the two not be counted at once."""
    count, frequencies = collection
    values = bm25.weigh_query(query_of(*map(str, range(len(frequencies)))), count, frequencies).values
    assert np.isfinite(values).all()
    assert (values > 0).all()
    assert values.sum() == pytest.approx(1, rel=1e-5)


@given(st.integers(1, 10**15), st.data())
def test_rarity_is_positive_even_of_a_term_that_all_have(count, data):
    frequencies = np.array([count, *data.draw(st.lists(st.integers(0, count)))], np.float64)
    found = inverse_document_frequencies(count, frequencies)
    assert (found > 0).all()
    expected = [math.log((count + 1) / (frequency + 0.5)) for frequency in frequencies]
    assert found.tolist() == pytest.approx(expected, rel=1e-9)


def test_indices_of_terms_are_those_of_passages_with_other_words(bm25):
    passage = embed(bm25, "The WHO is the world health organization")
    assert set(bm25.indices_of(["Health", "organizations"]).tolist()) < set(passage.vector.indices.tolist())
    found = bm25.indices_of(["the organizations", "worlds", "world"])
    assert found.tolist() == sorted([index_of("organ"), index_of("world")])
    assert found.dtype == np.uint32
    for terms in (["WHO"], ["to be", "or"], ["?!"], []):
        assert bm25.indices_of(terms).shape == (0,)


# ---------------------------------------------------------------------------------------------------------------------
# The table of general English


def test_the_table_of_general_english_holds_stems():
    packed = files("pinyon.inference").joinpath("english_terms.txt.gz").read_bytes()
    lines = [line.split() for line in gzip.decompress(packed).decode().splitlines()]
    stems = [stem for line in lines for stem in line]
    assert len(packed) < 60_000
    assert len(set(stems)) == len(stems) == 16_000
    assert all(line == sorted(line) for line in lines)
    for word in ("said", "government", "running", "1999"):
        assert terms_of([word])[0].stem in stems


def test_nothing_is_read_before_it_is_loaded():
    assert Bm25().fingerprint == ""
