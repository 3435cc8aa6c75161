"""English text as terms, which are what BM25 counts.

A term is the stem of a word; its index in a sparse vector is the MurmurHash3 of the stem's UTF-8, 32 bits, unsigned.
Terms are those of `BM25Encoder` in Pinecone's package pinecone-text, so that vectors of both find each other: lower
case, without stop words, stemmed by Snowball's English algorithm. They differ in these ways:

- words are runs of letters, digits and underscores, where pinecone-text asks NLTK's Treebank tokenizer, which keeps
  "state-of-the-art", "3.14" and "C++" whole and makes "n't" and "'s" of contractions;
- a text of nothing but stop words keeps them, so that "to be or not to be" is found;
- letters that are written as a letter and a mark count as the one letter that they are (Unicode's NFC);
- of 113,000 words (WordNet's and those of Debian's package summaries) NLTK stems 18 in another way, of the kind of
  "quantization", where it leaves an "e" that the algorithm takes away.

The stemmer is py-rust-stemmers, because the algorithm has versions: Snowball 3.0 changed it ("added" became "add",
"anthropologist" "anthropolog"), and PyStemmer, which follows Snowball, differs from NLTK in 220 of those words.

Other languages: their words are terms too, and an English stemmer hardly changes them. Texts written without spaces
are not split: each run of letters between punctuation is one term.

What must hold: the terms of a text do not change from one version of Pinyon to the next, since stored vectors hold
them; `stemmer_mark` tells when another version of the stemmer would. Any thread may call any function.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import mmh3
from py_rust_stemmers import SnowballStemmer

_STOP_WORDS_TEXT: Final = """
i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers herself it its
itself they them their theirs themselves what which who whom this that these those am is are was were be been being have
has had having do does did doing a an the and but if or because as until while of at by for with about against between
into through during before after above below to from up down in out on off over under again further then once here there
when where why how all any both each few more most other some such no nor not only own same so than too very s t can
will just don should now d ll m o re ve y ain aren couldn didn doesn hadn hasn haven isn ma mightn mustn needn shan
shouldn wasn weren won wouldn
"""

STOP_WORDS: Final = frozenset(_STOP_WORDS_TEXT.split())
"""NLTK's list of English stop words, without its contractions, which no tokenizer here gives as one word.

It is Snowball's list, published under the BSD licence, and the pieces that contractions fall into.
"""

_CACHED_WORDS: Final = 1 << 15
"""Words whose terms are remembered, some eight megabytes: stemming and hashing is most of the work of a text."""

_CACHED_WORD_LENGTH_MAX: Final = 64
"""Longer words are as rare as they are large: encoded data, mostly."""

_PROBE: Final = """
added adding agreed anthropologist ballooning biologists communism dying evening flies generously gently happily hopping
hoping inning innings internationally irritating king lying mules news organization proceed quantization relational
replying say skies skis succeeded theologist tying universities university vietnamization yes youth
"""
"""Words that versions of the algorithm stem in different ways, and some that go through each of its steps."""

_stemmer = SnowballStemmer("english")


@dataclass(frozen=True, slots=True)
class Term:
    """A term: its index in a sparse vector, and its stem."""

    index: int
    stem: str


def _word_pattern() -> re.Pattern[str]:
    r"""At least one letter or digit, with the underscores before it and all `\w` and marks behind it.

    `\w` alone has no marks: it would cut words of Hindi and Thai at every vowel. The marks end where the signs that
    turn symbols into emoji begin. Without the lookbehind, a line of underscores would be tried from each of them.
    """
    marks = [chr(code) for code in range(0x300, 0xFE00) if unicodedata.category(chr(code)) in ("Mn", "Mc")]
    return re.compile(rf"(?<!_)_*[^\W_][\w{''.join(marks)}]*")


_WORD: Final = _word_pattern()


def words_of(text: str) -> list[str]:
    """The words of a text, in its order, in lower case; stop words too."""
    return _WORD.findall(unicodedata.normalize("NFC", text.lower()))


def terms_of(words: Sequence[str]) -> list[Term]:
    """The terms of words, in their order; stop words only where there is nothing else."""
    kept = [word for word in words if word not in STOP_WORDS]
    return [_cached_term(word) if len(word) <= _CACHED_WORD_LENGTH_MAX else _term(word) for word in kept or words]


def index_of(stem: str) -> int:
    """The index of a stem in sparse vectors."""
    index: int = mmh3.hash(stem, signed=False)
    return index


def stemmer_mark() -> str:
    """Eight digits that another version of the algorithm would change."""
    return f"{index_of(' '.join(map(_stemmer.stem_word, _PROBE.split()))):08x}"


def _term(word: str) -> Term:
    stem = _stemmer.stem_word(word)
    return Term(index_of(stem), stem)


_cached_term = lru_cache(_CACHED_WORDS)(_term)
