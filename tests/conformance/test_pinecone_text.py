"""Vectors of `BM25Encoder` of Pinecone's package pinecone-text, and ours: equal, and found by each other.

Its `SpladeEncoder` makes plain sparse vectors of indices up to 30,522, as `test_data_plane.py` stores and finds them.
It fetches its weights when it is made, and is not run here.
"""

import gzip
import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pinyon.inference.bm25 import AVERAGE_TERMS, Bm25, inverse_document_frequencies
from pinyon.inference.catalogue import BM25
from pinyon.inference.protocol import EncodeOptions, InputType
from pinyon.inference.terms import STOP_WORDS, terms_of, words_of
from tests.conformance.harness import WITH_PINECONE_TEXT, run_script

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]

TEXTS = [
    "The quick brown foxes are running over lazy dogs.",
    "A fox, a dog and another dog!",
    "Who wrote the generously illustrated history of Łódź?",
    "Historians are writing histories (and they are paid for it)",
    "In 1994 the naïve café owner sold 20 cafés; nobody knew why.",
    "Running a database means to index, to search, and to sort.",
    "Databases index records and search them: sorting comes last.",
    "THE WEATHER IS HAPPILY IGNORED BY ORGANIZATIONS",
    "Wetter und Größe sind deutsche Wörter",
    "snake_case names are common",
]
QUERIES = [
    "Which dogs run?",
    "history of writing",
    "the cafés of 1994",
    "search databases and index records",
    "happily in the weather, or the Wetter",
    "snake_case",
]
SUFFIXES = ("", "s", "es", "ly", "ness", "ful", "ment", "al", "ity", "ous", "ive", "ize", "ies")

DIFFERENCES = {
    # Treebank's words, which are not ours.
    "state-of-the-art": (["state-of-the-art"], ["state", "art"]),
    "don't": (["n't"], ["don", "t"]),
    "a dog's life": (["dog", "'s", "life"], ["dog", "life"]),
    "cannot": ([], ["cannot"]),
    "gonna": (["gon", "na"], ["gonna"]),
    "gotta": (["got", "ta"], ["gotta"]),
    "3.14 or 10,000": (["3.14", "10,000"], ["3", "14", "10", "000"]),
    "C++": (["c++"], ["c"]),
    "and/or": (["and/or"], ["and", "or"]),
    'a "quoted" word': (["``", "quot", "''", "word"], ["quot", "word"]),
    "wait...": (["wait", "..."], ["wait"]),
    # A text of stop words.
    "To be or not to be": ([], ["to", "be", "or", "not", "to", "be"]),
    # NLTK's stemmer, where it departs from the algorithm.
    "quantization": (["quantize"], ["quantiz"]),
}
"""Text → what pinecone-text makes of it, and what we make of it."""


def plain_words() -> Iterator[str]:
    """Texts of 32,000 English words, each as it is and with an ending."""
    table = files("pinyon.inference").joinpath("english_terms.txt.gz").read_bytes()
    stems = [stem for stem in gzip.decompress(table).decode().split() if stem not in DIFFERENCES]
    words = [word for n, stem in enumerate(stems) for word in (stem, stem + SUFFIXES[n % len(SUFFIXES)])]
    for start in range(0, len(words), 500):
        yield " ".join(words[start : start + 500])


MORE_TEXTS = list(plain_words())


@pytest.fixture(scope="module", name="nltk_data")
def _nltk_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the encoder needs of NLTK's data: stop words, and parameters of a sentence splitter, which may be empty."""
    folder = tmp_path_factory.mktemp("nltk_data")
    stop_words = folder / "corpora" / "stopwords" / "english"
    stop_words.parent.mkdir(parents=True)
    stop_words.write_text("\n".join(sorted(STOP_WORDS)))
    punkt = folder / "tokenizers" / "punkt_tab" / "english"
    punkt.mkdir(parents=True)
    for name in ("abbrev_types.txt", "collocations.tab", "ortho_context.tab", "sent_starters.txt"):
        (punkt / name).touch()
    return folder


@pytest.fixture(scope="module", name="seen")
def _seen(nltk_data: Path, server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    given = {
        "texts": TEXTS,
        "more_texts": MORE_TEXTS,
        "queries": QUERIES,
        "differing": list(DIFFERENCES),
        "avgdl": AVERAGE_TERMS,
        "model": BM25,
    }
    file = tmp_path_factory.mktemp("given") / "given.json"
    file.write_text(json.dumps(given))
    seen: dict[str, Any] = run_script(
        WITH_PINECONE_TEXT, "bm25_encoder", server, str(file), environment={"NLTK_DATA": str(nltk_data)}
    )
    return seen


@pytest.fixture(scope="module", name="bm25")
def _bm25() -> Bm25:
    bm25 = Bm25()
    bm25.load()
    return bm25


def embed(bm25: Bm25, texts: list[str], input_type: InputType) -> list[dict[int, float]]:
    """Our vectors, as index → value."""
    pieces = bm25.prepare(texts, EncodeOptions(input_type=input_type))
    vectors = [embedding.vector for embedding in bm25.run(pieces)]
    return [dict(zip(vector.indices.tolist(), vector.values.tolist(), strict=True)) for vector in vectors]


def encoded(vector: dict[str, list[Any]]) -> dict[int, float]:
    """Their vector, as index → value, in float32 as the server stores it."""
    values = np.array(vector["values"], np.float32).tolist()
    return dict(zip(vector["indices"], values, strict=True))


def test_passages_have_their_indices_and_their_values(seen, bm25):
    ours = embed(bm25, TEXTS + MORE_TEXTS, InputType.PASSAGE)
    theirs = [encoded(vector) for vector in seen["passages"]]
    assert sum(map(len, theirs)) > 20_000
    assert ours == theirs


def test_queries_have_their_indices(seen, bm25):
    ours = embed(bm25, QUERIES, InputType.QUERY)
    assert [set(vector) for vector in ours] == [set(vector["indices"]) for vector in seen["queries"]]


def test_rare_is_what_is_rare_to_them(seen):
    """Of terms that the collection has: without one, pinecone-text counts a term as if one text had it."""
    count, frequencies = seen["frequencies"]["count"], dict(seen["frequencies"]["of"])
    for vector in seen["queries"]:
        found = [frequencies.get(index, 1) for index in vector["indices"]]
        rarities = inverse_document_frequencies(count, np.array(found, np.float64))
        assert (rarities / rarities.sum()).tolist() == pytest.approx(vector["values"], rel=1e-12)


def test_what_differs_is_known(seen):
    ours = [[term.stem for term in terms_of(words_of(text))] for text in DIFFERENCES]
    assert dict(zip(DIFFERENCES, zip(seen["terms"], ours, strict=True), strict=True)) == DIFFERENCES


@pytest.mark.parametrize("query", QUERIES)
def test_vectors_of_both_find_each_other(seen, query):
    found = seen["searches"][query]
    assert found["theirs_by_theirs"]
    assert found["ours_by_theirs"] == found["theirs_by_theirs"]
    assert found["ours_by_ours"] == found["theirs_by_ours"]
    ids = {name: {match[0] for match in matches} for name, matches in found.items()}
    assert ids["ours_by_ours"] == ids["theirs_by_theirs"]
    assert found["ours_by_ours"][0][0] == found["theirs_by_theirs"][0][0]
