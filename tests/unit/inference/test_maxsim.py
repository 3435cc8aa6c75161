"""Reranking by MaxSim: its formula against one written out, and what a caller relies on."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from pinyon.errors import InvalidArgumentError
from pinyon.inference.maxsim import PAIR_TOKENS_MAX, MaxSim
from pinyon.inference.minilm import DIMENSION, MiniLmWeights, pooled, sequence
from pinyon.inference.protocol import Reranker, Truncate
from pinyon.model.record import Float32s, Int64s

FILLER = "The committee met again on Tuesday and agreed to meet once more. "


class CountingWeights(MiniLmWeights):
    """Notes what the model reads."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[list[int]] = []

    def states(self, sequences: Sequence[Int64s]) -> list[Float32s]:
        self.read += [sequence.tolist() for sequence in sequences]
        return super().states(sequences)


@pytest.fixture(scope="module")
def weights():
    weights = CountingWeights()
    MaxSim(weights).load()
    return weights


@pytest.fixture
def reranker(weights):
    weights.read.clear()
    reranker: Reranker = MaxSim(weights)
    return reranker


def scores(reranker: Reranker, query: str, *documents: str, truncate: Truncate = Truncate.END) -> list[float]:
    return list(reranker.run(reranker.prepare(query, documents, truncate)))


def written_out(weights: MiniLmWeights, query: str, document: str) -> float:
    """The score of two texts of one window, in Python's floats."""
    query_ids, document_ids = weights.tokens([query, document])
    query_states, document_states = weights.states([sequence(query_ids), sequence(document_ids)])
    total = weight_sum = 0.0
    for token, state in zip(query_ids, query_states[1:-1].astype(float), strict=True):
        cosines = [
            state @ other / math.sqrt((state @ state) * (other @ other))
            for other in document_states[1:-1].astype(float)
        ]
        weight = math.log(2 + max(0, token - 1996))
        total += weight * max(0.0, *cosines) ** 2
        weight_sum += weight
    cosine = float(pooled(query_states) @ pooled(document_states))
    return (max(0.0, cosine) + 2 * total / weight_sum) / 3


# ---------------------------------------------------------------------------------------------------------------------
# Scores.


@pytest.mark.parametrize(
    ("query", "document"),
    [
        ("i love dogs", "everyone loves dogs"),
        ("i love dogs", "I'm a cat person, and 12 % of us are!"),
        ("What is the capital of France?", "Paris has been the capital since 987."),
        ("zebra", "quarterly earnings fell short of what analysts had expected"),
    ],
)
def test_scores_are_those_of_the_formula(reranker, weights, query, document):
    [score] = scores(reranker, query, document)
    assert score == pytest.approx(written_out(weights, query, document), abs=1e-5)


def test_what_answers_the_query_comes_first(reranker):
    documents = ("dogs are pretty cool", "everyone loves dogs", "I'm a cat person")
    cool, loves, cat = scores(reranker, "i love dogs", *documents)
    assert loves > cool > cat


def test_a_text_answers_itself_best(reranker):
    same, near = scores(reranker, "a text like this", "a text like this", "some text like that")
    assert same == pytest.approx(1, abs=1e-5)
    assert near < same <= 1


def test_a_rare_word_counts_more_than_a_common_one(reranker):
    zebra, the = scores(reranker, "the zebra", "a zebra", "the house")
    assert zebra > 2 * the


@pytest.mark.parametrize("query", ["", "x", "漢字", "!!", "\x00", "[SEP]"])
def test_scores_are_from_0_to_1_whatever_the_texts(reranker, query):
    for score in scores(reranker, query, "", "a", "!?", "漢字 🦊", "x" * 500, FILLER * 20):
        assert isinstance(score, float)
        assert 0 <= score <= 1


def test_no_documents_have_no_scores(reranker):
    assert scores(reranker, "query") == []
    assert list(reranker.run([])) == []


# ---------------------------------------------------------------------------------------------------------------------
# Batches.


def test_a_pair_has_the_same_score_in_any_company(reranker):
    documents = ["short", "a document that is somewhat longer", FILLER * 40]
    alone = [scores(reranker, "what did the committee do", document)[0] for document in documents]
    assert scores(reranker, "what did the committee do", *documents) == pytest.approx(alone, abs=1e-5)


def test_pieces_of_several_requests_run_together(reranker):
    first = reranker.prepare("i love dogs", ["everyone loves dogs", "I'm a cat person"], Truncate.END)
    second = reranker.prepare("stock prices", ["everyone loves dogs", "shares fell on Monday"], Truncate.END)
    mixed = [first[0], second[0], second[1], first[1]]
    expected = [*reranker.run(first), *reranker.run(second)]
    assert reranker.run(mixed) == pytest.approx([expected[i] for i in (0, 2, 3, 1)], abs=1e-5)


def test_a_query_of_many_documents_is_read_once(reranker, weights):
    scores(reranker, "i love dogs", "one", "two", "three")
    [query] = weights.tokens(["i love dogs"])
    assert len(weights.read) == 4
    assert weights.read.count([101, *query, 102]) == 1


def test_a_query_is_read_once_for_all_batches_of_its_request(reranker, weights):
    pieces = reranker.prepare("i love dogs", ["one", "two", "three"], Truncate.END)
    alone = [reranker.run([piece])[0] for piece in pieces]
    [query] = weights.tokens(["i love dogs"])
    assert weights.read.count([101, *query, 102]) == 1
    assert alone == pytest.approx(scores(reranker, "i love dogs", "one", "two", "three"), abs=1e-5)


def test_batches_are_sized_by_what_is_computed_for_each_document(reranker):
    short, long = (reranker.prepare(query, ["one two"], Truncate.END)[0] for query in ("one", FILLER * 30))
    assert short.token_count == long.token_count


# ---------------------------------------------------------------------------------------------------------------------
# Long texts.


def test_an_answer_anywhere_in_a_long_document_counts(reranker):
    """Each of the three windows of the document holds it once."""
    query, answer = "When did the volcano erupt?", "The volcano erupted in 1883. "
    without, *answers = scores(
        reranker,
        query,
        FILLER * 45,
        answer + FILLER * 44,
        FILLER * 22 + answer + FILLER * 22,
        FILLER * 44 + answer,
    )
    assert min(answers) > without + 0.2


def test_a_long_query_is_read_whole(reranker):
    question = "When did the volcano erupt? "
    erupted, met = scores(reranker, FILLER * 30 + question, "The volcano erupted in 1883.", "There was no volcano.")
    assert erupted > met


def test_windows_are_no_longer_than_the_model_reads(reranker, weights):
    scores(reranker, FILLER * 200, FILLER * 200)
    assert {len(window) for window in weights.read} >= {256}
    assert max(len(window) for window in weights.read) == 256


@pytest.mark.parametrize(("truncate", "kept"), [(Truncate.END, "one"), (Truncate.START, "three")])
def test_a_pair_that_is_too_long_loses_the_end_or_the_start_of_its_document(reranker, weights, truncate, kept):
    [piece] = reranker.prepare("query", ["one " * 500 + "two " * 500 + "three " * 500], truncate)
    reranker.run([piece])
    [[token]] = weights.tokens([kept])
    assert piece.token_count == PAIR_TOKENS_MAX - 1
    assert sum(window.count(token) for window in weights.read) == 500


def test_a_query_leaves_room_for_the_document(reranker, weights):
    [piece] = reranker.prepare("one " * 2000, ["two " * 2000], Truncate.START)
    reranker.run([piece])
    [[one], [two]] = weights.tokens(["one", "two"])
    assert sum(window.count(one) for window in weights.read) == 765
    assert sum(window.count(two) for window in weights.read) == PAIR_TOKENS_MAX - 3 - 765


def test_a_pair_of_as_many_tokens_as_may_be_is_taken_whole(reranker, weights):
    reranker.run(reranker.prepare("one " * 900, ["two " * 121], Truncate.NONE))
    assert sum(len(window) - 2 for window in weights.read) == PAIR_TOKENS_MAX - 3


def test_a_longer_pair_that_must_not_be_cut_is_refused(reranker):
    with pytest.raises(InvalidArgumentError) as refused:
        reranker.prepare("one " * 900, ["short", "two " * 122], Truncate.NONE)
    assert refused.value.message == (
        "Request contains a query+document pair with 1025 tokens, which exceeds the maximum token limit of 1024 for "
        'each query+document pair. Consider setting "parameters.truncate" to "END" to truncate long query+document '
        "pairs."
    )


# ---------------------------------------------------------------------------------------------------------------------
# A model that gives the states it is told to: a text is a list of tokens, of 0 to 99; `[CLS]` and `[SEP]` are zeros.


class ScriptedWeights(MiniLmWeights):
    def __init__(self, state_of_token: dict[int, Float32s]) -> None:
        super().__init__()
        self._state_of_token = state_of_token

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        return [[int(word) for word in text.split()] for text in texts]

    def states(self, sequences: Sequence[Int64s]) -> list[Float32s]:
        zeros = np.zeros(DIMENSION, np.float32)
        return [np.stack([self._state_of_token.get(token, zeros) for token in ids.tolist()]) for ids in sequences]


def direction(seed: int) -> Float32s:
    return np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)


def test_opposite_texts_score_0():
    reranker = MaxSim(ScriptedWeights({1: direction(1), 2: -direction(1)}))
    assert scores(reranker, "1", "2", "2 2") == [0, 0]


def test_no_rounding_leads_over_1():
    reranker = MaxSim(ScriptedWeights({token: direction(token) for token in range(100)}))
    for token in range(100):
        assert 0.999 < scores(reranker, str(token), str(token))[0] <= 1


def test_the_most_similar_windows_count():
    reranker = MaxSim(ScriptedWeights({1: direction(1), 2: -direction(1)}))
    windows = "2 " * 254 + "1 " * 254 + "2 " * 254
    assert scores(reranker, "1", windows) == pytest.approx([1])
    assert scores(reranker, windows, "1")[0] == pytest.approx((1 + 2 / 3) / 3)


def test_states_of_the_model_are_not_changed():
    """They are views of arrays that several texts share."""
    shared = np.full((4, DIMENSION), 2, np.float32)

    class SharedStates(ScriptedWeights):
        def states(self, sequences: Sequence[Int64s]) -> list[Float32s]:
            return [shared] * len(sequences)

    scores(MaxSim(SharedStates({})), "1 2", "3 4")
    assert (shared == 2).all()
