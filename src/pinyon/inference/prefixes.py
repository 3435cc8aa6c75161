"""What some models were trained to find before a text: a word that tells a query from a passage.

Their weights expect it and their runtimes rarely add it, so the backends do. Each row is from the page of the model
that its makers publish. What must hold: vectors with and without a prefix are not those of one model, so a name that
gets a row later gets another fingerprint with it, by `Prefixes.mark`.
"""

import re
from dataclasses import dataclass
from typing import Final

from pinyon.inference.protocol import InputType


@dataclass(frozen=True, slots=True)
class Prefixes:
    """What stands before queries and before passages; empty for a model that takes texts as they are."""

    query: str = ""
    passage: str = ""

    def of(self, input_type: InputType) -> str:
        """The one for a kind of text."""
        return self.query if input_type is InputType.QUERY else self.passage

    @property
    def mark(self) -> str:
        """What a fingerprint says of them."""
        return ":prefixed" if self.query or self.passage else ""


_QUERY_PASSAGE = Prefixes("query: ", "passage: ")

_FAMILIES: Final = (
    (r"\be5-(small|base|large)(?!.*instruct)", _QUERY_PASSAGE),
    # The weights of llama-text-embed-v2 and its relatives.
    (r"nv-embedqa|nemotron-embed|llama-text-embed", _QUERY_PASSAGE),
    (r"nomic-embed-text", Prefixes("search_query: ", "search_document: ")),
    (r"embedding-?gemma", Prefixes("task: search result | query: ", "title: none | text: ")),
    (
        r"qwen3-embedding",
        Prefixes(
            "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:",
        ),
    ),
)


def prefixes_of(model: str) -> Prefixes:
    """The prefixes of a model by its name, as hubs and servers spell it."""
    found = (prefixes for pattern, prefixes in _FAMILIES if re.search(pattern, model, re.IGNORECASE))
    return next(found, Prefixes())
