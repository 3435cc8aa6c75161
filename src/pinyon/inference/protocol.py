"""What a backend is: weights that were loaded, or a server that has them.

One piece of work is a text to embed, or a query with a document to score. It goes two steps, so that the expensive one
can be done in batches across requests:

- `prepare` splits texts into tokens and applies what the request asked for, in the thread of the request: a text that
  cannot be taken is refused here, before anything waits for it;
- `run` computes any pieces that were prepared, of one request or of many, in the model's own thread. The result of a
  piece does not depend on which others are run with it, but for the last digits of its numbers.

What must hold: vectors of two backends may be mixed in one index only if their fingerprints are equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeVar, runtime_checkable

from pinyon.model.record import Float32s, SparseVector, UInt32s

Output = TypeVar("Output")
Output_co = TypeVar("Output_co", covariant=True)


class InputType(StrEnum):
    """What an embedded text is for; models that were trained with prefixes add the one for it."""

    QUERY = "query"
    PASSAGE = "passage"


class Truncate(StrEnum):
    """What becomes of a text that is too long: its end is cut off, its start is, or it is refused."""

    END = "END"
    START = "START"
    NONE = "NONE"


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeOptions:
    """How texts are to be embedded.

    Attributes:
        input_type: what they are for.
        truncate: what becomes of one that is too long.
        dimension: of dense vectors; None for the model's default.
        max_tokens: of one text; None for the model's own limit.
    """

    input_type: InputType
    truncate: Truncate = Truncate.END
    dimension: int | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """One prepared piece of work; `content` is known only to the backend that made it."""

    token_count: int
    content: Any


@dataclass(frozen=True, slots=True)
class SparseEmbedding:
    """A sparse vector of a text, and the token behind each of its indices, in the same order."""

    vector: SparseVector
    tokens: tuple[str, ...]


class Runner(Protocol[Output_co]):
    """What all backends have, and all that `pinyon.inference.worker` needs."""

    def load(self) -> None:
        """Get ready; called once, in the thread that will call `run`, before anything else but `fingerprint`.

        Raises:
            UnavailableError: weights, a package or a server are missing; the message says what to do.
        """
        ...

    def run(self, pieces: Sequence[Piece]) -> Sequence[Output_co]:
        """Compute pieces that `prepare` made, each to one output, in their order.

        Raises:
            UnavailableError: the model failed.
        """
        ...


class Encoder(Runner[Output_co], Protocol[Output_co]):
    """Embeds texts, each to an `Output_co`."""

    @property
    def fingerprint(self) -> str:
        """What the vectors depend on, as one line without spaces; known once it is loaded."""
        ...

    def prepare(self, texts: Sequence[str], options: EncodeOptions) -> list[Piece]:
        """Split texts into tokens. Called by any thread, after `load`.

        Raises:
            InvalidArgumentError: a text is too long and must not be cut; the message names its position.
        """
        ...


class Reranker(Runner[float], Protocol):
    """Scores documents by how well they answer a query: higher is better, from 0 to 1."""

    def prepare(self, query: str, documents: Sequence[str], truncate: Truncate) -> list[Piece]:
        """Split pairs of the query and a document into tokens, one piece a document. As `Encoder.prepare`."""
        ...


class DenseEncoder(Encoder[Float32s], Protocol):
    """Embeds texts to dense vectors, `(d,)` float32."""

    @property
    def dimension(self) -> int:
        """`d` where no other was asked for; known once it is loaded."""
        ...


SparseEncoder = Encoder[SparseEmbedding]


@runtime_checkable
class WeighsQueries(Protocol):
    """A sparse encoder of a text's words and no others, as BM25; queries are best weighted by what records hold."""

    def weigh_query(self, query: SparseVector, record_count: int, frequencies: Sequence[int]) -> SparseVector:
        """The query with weights for a collection.

        Args:
            query: as `run` made it.
            record_count: records of the collection.
            frequencies: how many of them have each of the query's indices, in its order.
        """
        ...

    def indices_of(self, terms: Sequence[str]) -> UInt32s:
        """What vectors of passages have for the words of `terms`: ascending, each once, `(n,)` uint32.

        Words that passages with other words leave out, as stop words, have none.
        """
        ...
