"""Models behind HTTP: servers with OpenAI's `/embeddings`, and with Cohere's and Jina's `/rerank`.

TEI, vLLM, NIM, Ollama, llama.cpp and hosted providers speak these, each with limits and habits of its own:

- they take a batch or a text up to some size that they do not tell: a batch they refuse is halved, a text is cut as its
  request allows;
- some ask what a text is for (NIM), some give logits for scores (llama.cpp), some have other names for the fields
  (TEI): `load` finds out with a first request.

What must hold: an answer counts only if it has one finite result for each text. Texts travel as they are, so counts of
tokens are estimates.
"""

import base64
import logging
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeAlias

import msgspec
import numpy as np

from pinyon.errors import InvalidArgumentError, UnavailableError
from pinyon.inference.http_client import HttpClient, TooLargeError
from pinyon.inference.prefixes import prefixes_of
from pinyon.inference.protocol import EncodeOptions, Output, Piece, Truncate
from pinyon.model.record import Float32s
from pinyon.telemetry import log_event

Fields: TypeAlias = tuple[tuple[str, Any], ...]
"""Names and values in the body of a request. Texts for which they are the same travel together."""

log = logging.getLogger(__name__)

_BYTES_PER_TOKEN: Final = 4
_CUTS_MAX: Final = 6
_BATCH_WORDS: Final = re.compile(r"(?<!physical )batch|array too long|too many inputs", re.IGNORECASE)
_PROBE_QUERY: Final = "What is the capital of France?"
_PROBE_DOCUMENTS: Final = ("Paris is the capital of France.", "0x7f 0x45 0x4c 0x46")
"""So far apart that logits for them lie outside of 0 to 1."""
_PROBABILITY_DISTANCE_MAX: Final = 0.51
"""From a half; what is farther, by more than a rounding error, is a logit."""


@dataclass(frozen=True, slots=True)
class _Text:
    """A text to embed, or a document to score against the query among `fields`."""

    text: str
    truncate: Truncate
    fields: Fields = ()


class _HttpBackend(ABC, Generic[Output]):
    """What both kinds of models share: texts travel together, as many as the server takes."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._batch_max = 1 << 20

    @abstractmethod
    def _ask(self, fields: Fields, texts: Sequence[str]) -> Sequence[Output]:
        """One request: as many outputs as texts, in their order."""

    def run(self, pieces: Sequence[Piece]) -> list[Output]:
        """See `Runner.run`.

        Raises:
            InvalidArgumentError: a text is too long for the server, and must not be cut.
            ResourceExhaustedError: the server asks to wait.
            UnavailableError: the server failed.
        """
        groups: dict[Fields, list[int]] = {}
        for position, piece in enumerate(pieces):
            groups.setdefault(piece.content.fields, []).append(position)
        outputs: dict[int, Output] = {}
        for positions in groups.values():
            outputs.update(zip(positions, self._outputs([pieces[at].content for at in positions]), strict=True))
        return [outputs[position] for position in range(len(pieces))]

    def _outputs(self, texts: Sequence[_Text]) -> Iterator[Output]:
        """Ask in parts, and in halves where the server refuses a part for its size."""
        size = self._batch_max
        for part in (texts[start : start + size] for start in range(0, len(texts), size)):
            try:
                answer = self._ask(part[0].fields, [each.text for each in part])
            except TooLargeError as error:
                if len(part) == 1:
                    answer = [self._ask_shorter(part[0], str(error))]
                else:
                    half = len(part) // 2
                    self._note_limit(half, str(error))
                    answer = [*self._outputs(part[:half]), *self._outputs(part[half:])]
            yield from answer

    def _note_limit(self, size: int, said: str) -> None:
        """Send no larger batches again, if it was not a single long text that was too large."""
        if _BATCH_WORDS.search(said) and size < self._batch_max:
            self._batch_max = size
            log_event(log, logging.INFO, "smaller batches", url=self._client.url, texts=size, reason=said)

    def _ask_shorter(self, text: _Text, said: str) -> Output:
        """Cut a text until the server takes it: to the share that its numbers tell, else to half."""
        for _ in range(_CUTS_MAX):
            if text.truncate is Truncate.NONE:
                raise InvalidArgumentError(
                    f"Input text is too long for the model: {said}. "
                    'Consider setting "parameters.truncate" to "END" to truncate long texts.'
                )
            keep = max(1, int(len(text.text) * _share_to_keep(said)))
            text = replace(text, text=text.text[-keep:] if text.truncate is Truncate.START else text.text[:keep])
            try:
                return self._ask(text.fields, [text.text])[0]
            except TooLargeError as error:
                said = str(error)
        raise UnavailableError(f"{self._client.url} refuses even short texts: {said}")

    def _probe(self, fields: Fields, texts: Sequence[str]) -> Sequence[Output]:
        try:
            return self._ask(fields, texts)
        except TooLargeError as error:
            raise UnavailableError(f"{self._client.url} refuses a short text: {error}") from error


def _share_to_keep(said: str) -> float:
    """From "must have less than 512 tokens. Given: 534" and the like, with a margin."""
    numbers = [int(number) for number in re.findall(r"\b\d{2,7}\b", said)]
    return max(0.01, 0.95 * min(numbers) / max(numbers)) if len(numbers) > 1 else 0.5


def _estimated_tokens(text: str) -> int:
    """More of them where characters take more bytes.

    Raises:
        InvalidArgumentError: the text has characters that no UTF-8 can say.
    """
    try:
        return max(1, len(text.encode()) // _BYTES_PER_TOKEN)
    except UnicodeEncodeError as error:
        raise InvalidArgumentError("An input is not valid Unicode: it holds half of a surrogate pair") from error


# ---------------------------------------------------------------------------------------------------------------------
# Embeddings


class _Embedding(msgspec.Struct):
    embedding: list[float] | str
    index: int | None = None


class _Embeddings(msgspec.Struct):
    data: list[_Embedding]


class OpenAIEncoder(_HttpBackend[Float32s]):
    """A `DenseEncoder` behind OpenAI's `POST /embeddings`. Vectors are as the server makes them, of unit length or not.

    Attributes:
        dimension: of vectors for which no other was asked; known once it is loaded.
        fingerprint: the model's name, since no server tells more of its weights.
    """

    def __init__(self, model: str, url: str, *, api_key: str | None = None, timeout_s: float = 60.0) -> None:
        """Describe a server; nothing is sent before `load`.

        Args:
            model: what the server calls it. Prefixes are those of its family, see `prefixes_of`.
            url: what `/embeddings` follows, such as `http://localhost:8080/v1`.
            api_key: see `HttpClient`.
            timeout_s: see `HttpClient`.
        """
        super().__init__(HttpClient(url, "/embeddings", api_key=api_key, timeout_s=timeout_s))
        self._model = model
        self._prefixes = prefixes_of(model)
        self._tells_input_type = False
        self.dimension = 0
        self.fingerprint = "-".join(f"openai:{model}{self._prefixes.mark}".split())

    def load(self) -> None:
        """See `Runner.load`. Learns the dimension, and whether the server adds prefixes by itself."""
        self._client.open()
        try:
            vectors = self._probe((), [_PROBE_QUERY])
        except UnavailableError as error:
            if "input_type" not in error.message:
                raise
            vectors = self._probe((("input_type", "query"),), [_PROBE_QUERY])
            self._tells_input_type = True
        self.dimension = len(vectors[0])

    def prepare(self, texts: Sequence[str], options: EncodeOptions) -> list[Piece]:
        """See `Encoder.prepare`. Only the server knows what is too long: `run` cuts or refuses it."""
        prefix, fields = self._prefixes.of(options.input_type), Fields()
        if self._tells_input_type:
            prefix = ""
            fields = ("input_type", options.input_type.value), ("truncate", options.truncate.value)
        if options.dimension not in (None, self.dimension):
            fields = *fields, ("dimensions", options.dimension)
        return [Piece(_estimated_tokens(text), _Text(prefix + text, options.truncate, fields)) for text in texts]

    def _ask(self, fields: Fields, texts: Sequence[str]) -> list[Float32s]:
        body = {"model": self._model, "input": texts, "encoding_format": "float", **dict(fields)}
        items = self._client.post(body, _Embeddings).data
        order = [position if item.index is None else item.index for position, item in enumerate(items)]
        if sorted(order) != list(range(len(texts))):
            raise UnavailableError(f"{self._client.url} answers {len(texts)} texts with vectors of {order[:8]}")
        vectors = [_vector(items[position].embedding) for position in sorted(range(len(items)), key=order.__getitem__)]
        dimension = dict(fields).get("dimensions") or self.dimension or len(vectors[0])
        if any(len(vector) != dimension or not np.isfinite(vector).all() for vector in vectors) or not dimension:
            lengths = sorted({len(vector) for vector in vectors})
            raise UnavailableError(
                f"{self._client.url} answers vectors of {lengths} numbers, not {dimension} finite ones"
            )
        return vectors


def _vector(embedding: list[float] | str) -> Float32s:
    """A vector, also from servers that send base64 whatever is asked of them; a bad one is empty."""
    if isinstance(embedding, str):
        try:
            return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4").astype(np.float32)
        except ValueError:
            return np.empty(0, dtype=np.float32)
    with np.errstate(over="ignore"):
        return np.array(embedding, dtype=np.float32)


# ---------------------------------------------------------------------------------------------------------------------
# Reranking


class _Score(msgspec.Struct):
    index: int
    relevance_score: float | None = None
    score: float | None = None


class _Ranking(msgspec.Struct):
    results: list[_Score] | None = None
    data: list[_Score] | None = None


_AnyRanking: Any = _Ranking | list[_Score]


class CohereReranker(_HttpBackend[float]):
    """A `Reranker` behind Cohere's and Jina's `POST /rerank`, or TEI's."""

    def __init__(self, model: str, url: str, *, api_key: str | None = None, timeout_s: float = 60.0) -> None:
        """Describe a server; see `OpenAIEncoder`. `url` is what `/rerank` follows."""
        super().__init__(HttpClient(url, "/rerank", api_key=api_key, timeout_s=timeout_s))
        self._model = model
        self._is_tei = False
        self._gives_logits = False

    def load(self) -> None:
        """See `Runner.load`. Learns which of the two forms the server speaks, and whether scores are logits."""
        self._client.open()
        self._is_tei = False
        query = (("query", _PROBE_QUERY),)
        try:
            self._probe(query, _PROBE_DOCUMENTS)
        except UnavailableError as error:
            if "texts" not in error.message:
                raise
            self._is_tei = True
            self._probe(query, _PROBE_DOCUMENTS)

    def prepare(self, query: str, documents: Sequence[str], truncate: Truncate) -> list[Piece]:
        """See `Reranker.prepare`. Only the server knows what is too long: `run` cuts or refuses it."""
        query_tokens, fields = _estimated_tokens(query), (("query", query),)
        return [
            Piece(query_tokens + _estimated_tokens(document), _Text(document, truncate, fields))
            for document in documents
        ]

    def _ask(self, fields: Fields, texts: Sequence[str]) -> list[float]:
        body = {"model": self._model, "documents": texts, "top_n": len(texts), **dict(fields)}
        if self._is_tei:
            body = {"texts": texts, **dict(fields)}
        answer: _Ranking | list[_Score] = self._client.post(body, _AnyRanking)
        items = (answer.results or answer.data or []) if isinstance(answer, _Ranking) else answer
        scores = {item.index: item.score if item.relevance_score is None else item.relevance_score for item in items}
        ordered = [score for _, score in sorted(scores.items()) if score is not None]
        if sorted(scores) != list(range(len(texts))) or len(ordered) != len(items):
            raise UnavailableError(f"{self._client.url} answers {len(items)} scores for {len(texts)} documents")
        self._gives_logits = self._gives_logits or any(
            abs(score - 0.5) > _PROBABILITY_DISTANCE_MAX for score in ordered
        )
        return [_sigmoid(score) if self._gives_logits else min(max(score, 0.0), 1.0) for score in ordered]


def _sigmoid(logit: float) -> float:
    return 0.5 + 0.5 * math.tanh(logit / 2)
