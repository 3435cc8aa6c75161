"""Of a long text no more is split than its tokens come from, and they are those of the whole text."""

from collections.abc import Callable, Sequence
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinyon.inference import bm25, excerpt, maxsim
from pinyon.inference.bm25 import Bm25
from pinyon.inference.excerpt import inner_tokens
from pinyon.inference.maxsim import MaxSim
from pinyon.inference.minilm import MiniLm, MiniLmWeights
from pinyon.inference.protocol import EncodeOptions, InputType, Truncate
from pinyon.inference.terms import words_of

CUTTING = [Truncate.END, Truncate.START]

PARTS = st.sampled_from(
    [
        "word ",
        "unbelievable ",
        "x" * 90,
        "y" * 130,
        " " * 50,
        "\n\t",
        "漢字",
        "हिन्दी ",
        "e\u0301",
        "🦊",
        "ΑΣ",
        "don't ",
        "___",
        "[SEP]",
    ]
)
TEXTS = st.one_of(st.lists(PARTS, max_size=60).map("".join), st.text(max_size=300))


class Counting:
    """Words by white space; remembers how many characters it was shown."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, text: str) -> int:
        self.seen.append(len(text))
        return len(text.split()) - 2


@cache
def minilm() -> MiniLmWeights:
    weights = MiniLmWeights()
    weights.load()
    return weights


@pytest.fixture
def tiny(monkeypatch):
    """Short texts are long ones."""
    monkeypatch.setattr(excerpt, "_CHARACTERS_MIN", 8)
    monkeypatch.setattr(excerpt, "_CHARACTERS_PER_TOKEN", 2)


def cut(tokens: Sequence[int | str], room: int, truncate: Truncate) -> list[int | str]:
    return list(tokens[max(len(tokens) - room, 0) :] if truncate is Truncate.START else tokens[:room])


def check(split: Callable[[str], Sequence[int | str]], part: str, text: str, room: int, truncate: Truncate) -> None:
    assert cut(split(part), room, truncate) == cut(split(text), room, truncate)
    assert part == text or len(split(part)) > room


@pytest.mark.usefixtures("tiny")
@settings(max_examples=300)
@given(TEXTS, st.integers(0, 30), st.sampled_from(Truncate))
def test_tokens_are_those_of_the_whole_text(text, room, truncate):
    check(lambda each: minilm().tokens([each])[0], minilm().excerpt(text, room, truncate), text, room, truncate)


@pytest.mark.usefixtures("tiny")
@settings(max_examples=300)
@given(TEXTS, st.integers(1, 30), st.sampled_from(Truncate))
def test_words_are_those_of_the_whole_text(text, room, truncate):
    part = excerpt.excerpt(text, room, truncate, bm25._inner_count)
    check(words_of, part, text, room, truncate)


def test_a_cut_may_change_the_word_before_the_last(monkeypatch):
    """Whether a sigma ends its word depends on what follows, for Unicode across some signs and letters."""
    text = "ΑΣ.ʰΑ"
    assert words_of(text[:4])[0] != words_of(text)[0]
    monkeypatch.setattr(excerpt, "_CHARACTERS_MIN", 4)
    monkeypatch.setattr(excerpt, "_CHARACTERS_PER_TOKEN", 1)
    assert excerpt.excerpt(text, 1, Truncate.END, bm25._inner_count) == text


def test_tokens_of_the_first_and_the_last_word_do_not_count():
    assert inner_tokens([0, 0, 1, 2, 2, 3]) == 3
    assert inner_tokens([4, 4]) == inner_tokens([]) == inner_tokens([None, None]) == 0


@pytest.mark.parametrize("truncate", Truncate)
def test_the_cost_is_bounded_by_the_limit(truncate):
    counting = Counting()
    part = excerpt.excerpt("some words " * 2_000_000, 1000, truncate, counting)
    assert len(part) == 16_000
    assert counting.seen == [16_000]


def test_more_is_looked_at_until_there_are_enough_tokens():
    counting = Counting()
    text = " " * 10_000 + "word " * 10_000
    assert excerpt.excerpt(text, 10, Truncate.END, counting) == text[:16_384]
    assert counting.seen == [4096, 8192, 16_384]
    assert excerpt.excerpt(" " * 10_000, 10, Truncate.END, counting) == " " * 10_000


def test_nothing_is_counted_in_a_text_of_ordinary_length():
    counting = Counting()
    assert excerpt.excerpt("word " * 800, 256, Truncate.END, counting) == "word " * 800
    assert counting.seen == []


class Watched(MiniLmWeights):
    """Notes how much of texts is split into tokens."""

    longest = 0

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        self.longest = max(self.longest, *map(len, texts))
        return super().tokens(texts)


@pytest.mark.parametrize("truncate", CUTTING)
def test_minilm_splits_no_more_than_it_needs(truncate):
    weights = Watched()
    weights.load()
    text = "first " + "word " * 100_000 + "last"
    MiniLm(weights).prepare([text], EncodeOptions(input_type=InputType.PASSAGE, truncate=truncate))
    MaxSim(weights).prepare(text, [text], truncate)
    assert weights.longest == maxsim._ROOM * 16


def test_bm25_splits_no_more_than_it_needs(monkeypatch):
    seen: list[int] = []

    def watched(text: str) -> list[str]:
        seen.append(len(text))
        return words_of(text)

    monkeypatch.setattr(bm25, "words_of", watched)
    for truncate in CUTTING:
        Bm25().prepare(["word " * 100_000], EncodeOptions(input_type=InputType.PASSAGE, truncate=truncate))
    assert max(seen) == bm25.TOKENS_MAX * 16
