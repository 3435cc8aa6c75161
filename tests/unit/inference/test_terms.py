"""What the terms of a text are. Stored vectors hold them: a failure here means that old indexes are not found."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinyon.inference.terms import STOP_WORDS, Term, index_of, stemmer_mark, terms_of, words_of


def stems(text: str) -> list[str]:
    return [term.stem for term in terms_of(words_of(text))]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The quick brown fox.", ["the", "quick", "brown", "fox"]),
        ("state-of-the-art e-mail", ["state", "of", "the", "art", "e", "mail"]),
        ("don't", ["don", "t"]),
        ("3.14 in 2026, C++", ["3", "14", "in", "2026", "c"]),
        ("snake_case __init__ _ ____", ["snake_case", "__init__"]),
        ("Größe, Łódź, ЕЛКА", ["größe", "łódź", "елка"]),
        ("हिन्दी ภาษาไทย", ["हिन्दी", "ภาษาไทย"]),
        ("日本語の文。次", ["日本語の文", "次"]),
        ("cafe\u0301 m²", ["café", "m²"]),
        ("İstanbul", ["i\u0307stanbul"]),
        ("a❤️b 1️⃣ \ud800x", ["a", "b", "1", "x"]),
        ("", []),
        (" \n.,;!? ❤️ …", []),
    ],
)
def test_words_are_runs_of_letters_digits_and_marks_in_lower_case(text, words):
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Foxes are running happily", ["fox", "run", "happili"]),
        ("The organization of universities", ["organ", "univers"]),
        # Of the algorithm before version 3.0 of Snowball, as NLTK has it.
        ("added adding anthropologist", ["ad", "ad", "anthropologist"]),
        ("Über die Größe 42 abc123", ["über", "die", "größe", "42", "abc123"]),
    ],
)
def test_terms_are_stems_of_english_words(text, expected):
    assert stems(text) == expected


def test_an_index_is_the_hash_of_the_stem():
    # MurmurHash3 of these words as Pinecone's sparse model shows it, in its announcement of "return_tokens".
    indices = {"share": 1181836714, "nvidia": 1639424278, "price": 3888873998}
    assert {stem: index_of(stem) for stem in indices} == indices
    assert terms_of(["foxes"]) == [Term(index_of("fox"), "fox")]


def test_stop_words_count_only_where_there_is_nothing_else():
    assert stems("to be or not to be, that is the question") == ["question"]
    assert stems("To be, or not to be") == ["to", "be", "or", "not", "to", "be"]
    assert stems("") == []


def test_stop_words_are_those_of_nltk():
    assert len(STOP_WORDS) == 153
    assert all(words_of(word) == [word] for word in STOP_WORDS)


def test_another_version_of_the_stemmer_would_show():
    assert stemmer_mark() == "ed16923c"


@given(st.text())
def test_words_are_found_again_in_their_own_text(text):
    words = words_of(text)
    assert words_of(" ".join(words)) == words
    assert all(any(character.isalnum() for character in word) for word in words)


@given(st.text())
def test_a_letter_with_a_mark_is_one_letter_however_it_is_written(text):
    assert words_of(unicodedata.normalize("NFD", text)) == words_of(text)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=100)))
def test_every_word_has_a_term(texts):
    words = [word for text in texts for word in words_of(text)]
    terms = terms_of(words)
    assert all(term == Term(index_of(term.stem), term.stem) for term in terms)
    assert len(terms) == (len([word for word in words if word not in STOP_WORDS]) or len(words))


def test_long_lines_are_read_once():
    """Not once from each of their characters: that would take minutes."""
    assert words_of("_" * 500_000) == []
    assert words_of("_" * 500_000 + "x") == ["_" * 500_000 + "x"]


def test_a_word_of_any_length_has_a_term():
    assert stems("x" * 100_000 + "ing") == ["x" * 100_000 + "ing"]
    assert stems("a" * 100_000 + "ting") == ["a" * 100_000 + "t"]
