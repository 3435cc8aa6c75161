"""One model of fastembed's: found in a folder or fetched, loaded, and fed with tokens.

fastembed knows where the weights of a model are, and turns what they put out into vectors or logits. Its tokenizer cuts
texts at their end and tells nobody: here texts are split before, whole, and `run` hands tokens to it in place of texts.
What must hold:

- a fingerprint is that of the bytes that were loaded. It is a SHA-256 of weights and tokenizer: for the 2 GB of
  multilingual-e5-large 1.5 s at each start, and then folders of one name with other weights, such as 8 bit ones, never
  pass for each other;
- nothing waits long where there is no network: a download is tried once, since fastembed's own pauses between attempts
  add up to most of a minute.

The only module that knows fastembed.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pinyon.errors import InvalidArgumentError, NotFoundError, UnavailableError
from pinyon.inference.choice import install_advice
from pinyon.inference.excerpt import excerpt, inner_tokens
from pinyon.inference.protocol import Piece, Truncate
from pinyon.storage.local import LocalStorage
from pinyon.telemetry import log_event

log = logging.getLogger(__name__)

_FASTEMBED_NAMES: Final = {
    "multilingual-e5-large": "intfloat/multilingual-e5-large",
    "bge-reranker-v2-m3": "BAAI/bge-reranker-v2-m3",
    "pinecone-sparse-english-v0": "prithivida/Splade_PP_en_v1",
}
"""By Pinecone's. The weights of its sparse model are not public: these are others for the same purpose."""

_SERVED_ELSEWHERE: Final = {
    "llama-text-embed-v2": "A server may have them: llama-text-embed-v2=openai:MODEL@URL, such as NIM or vLLM with "
    "nvidia/llama-nemotron-embed-1b-v2",
    "cohere-rerank-3.5": "Cohere's own server has them: cohere-rerank-3.5=cohere:rerank-v3.5@URL",
    "pinecone-rerank-v0": "They are not public; those of bge-reranker-v2-m3 are",
}

_TOKENS_MAX: Final = {"BAAI/bge-reranker-v2-m3": 1024}
"""Of a query and a document together, where Pinecone takes fewer than the model [docs, "Reranking models"]."""

_TOKENIZER_FILES: Final = ("tokenizer.json", "tokenizer_config.json")


class Tokens(NamedTuple):
    """A prepared text or pair, as fastembed reads it from a tokenizer."""

    ids: Sequence[int]
    type_ids: Sequence[int]
    attention_mask: Sequence[int]


class Weights:
    """One model. After `load`, any thread may split texts; one computes.

    Attributes:
        name: what fastembed calls it.
        fingerprint: of its files; known once it is loaded.
        tokens_max: of a text or a pair, special tokens included; known once it is loaded.
    """

    def __init__(
        self, facade: Callable[[], Any], name: str, folder: str | None, cache_dir: str | None, threads: int | None
    ) -> None:
        """Describe a model; nothing is read.

        Args:
            facade: gives fastembed's class for this kind of model.
            name: Pinecone's, or fastembed's.
            folder: where its files are; None for fastembed's cache, into which they are downloaded if need be.
            cache_dir: of that cache; None for fastembed's own choice.
            threads: of one computation; None for onnxruntime's own choice.

        Raises:
            InvalidArgumentError: it is a model of Pinecone's that fastembed has no weights for.
        """
        if name in _SERVED_ELSEWHERE:
            raise InvalidArgumentError(f"fastembed has no weights for {name}. {_SERVED_ELSEWHERE[name]}")
        self._facade = facade
        self.name = _FASTEMBED_NAMES.get(name, name)
        self._folder = folder
        self._cache_dir = cache_dir
        self._threads = threads
        self.fingerprint = ""
        self.tokens_max = 0
        self._model: Any = None
        self._tokenizer: Any = None
        self._padding: dict[str, Any] = {}

    def load(self) -> None:
        """Find, fetch and open the model.

        Raises:
            UnavailableError: a package, a file or a network is missing; the message says what to do.
        """
        try:
            facade = self._facade()
        except ImportError as error:
            raise UnavailableError(f"{self.name} needs a package: {install_advice('models')} ({error})") from error
        description = self._description(facade)
        folder = self._fetched(facade, description) if self._folder is None else Path(self._folder)
        self.fingerprint = f"fastembed:{self.name}:{self._checksum(folder, _files(description))}"
        try:
            self._model = facade(self.name, specific_model_path=str(folder), threads=self._threads)
        except Exception as error:
            raise UnavailableError(f"{self.name} cannot be loaded from {folder}: {error}") from error
        self._take_tokenizer(self._model.model)

    def split(self, text: str) -> Any:
        """The tokenizer's encoding of a text, however long, without special tokens.

        Raises:
            InvalidArgumentError: the text has characters that no UTF-8 can say.
        """
        try:
            return self._tokenizer.encode(text, add_special_tokens=False)
        except TypeError as error:
            raise InvalidArgumentError("An input is not valid Unicode: it holds half of a surrogate pair") from error

    def excerpt(self, text: str, room: int, truncate: Truncate) -> str:
        """As much of a text as its first or last `room` tokens come from; see `pinyon.inference.excerpt`."""
        return excerpt(text, room, truncate, lambda part: inner_tokens(self.split(part).word_ids))

    def special_count(self, *, is_pair: bool = False) -> int:
        """Tokens that the model adds to a text, or to a pair."""
        count: int = self._tokenizer.num_special_tokens_to_add(is_pair)
        return count

    def piece(self, first: Any, second: Any = None) -> Piece:
        """A text, or a query and a document, with the special tokens of the model."""
        whole = self._tokenizer.post_process(first, second)
        return Piece(len(whole.ids), Tokens(whole.ids, whole.type_ids, [1] * len(whole.ids)))

    def token(self, index: int) -> str:
        """The text of a token."""
        return self._tokenizer.id_to_token(index) or ""

    def compute(self, method: str, pieces: Sequence[Piece]) -> list[Any]:
        """What a method of fastembed's model gives for pieces, in one batch.

        Raises:
            UnavailableError: it failed.
        """
        try:
            return list(getattr(self._model, method)([piece.content for piece in pieces], batch_size=len(pieces)))
        except Exception as error:
            raise UnavailableError(f"{self.name} failed: {error}") from error

    def _description(self, facade: Any) -> Any:
        """What fastembed knows of the model: its files and where they come from."""
        try:
            return facade._get_model_description(self.name)
        except ValueError as error:
            known = ", ".join(sorted(each["model"] for each in facade.list_supported_models()))
            raise UnavailableError(f"{facade.__name__} of fastembed has no {self.name}, only {known}") from error

    def _fetched(self, facade: Any, description: Any) -> Path:
        """The folder of the files in fastembed's cache; they are downloaded if they are not there."""
        from fastembed.common.utils import define_cache_dir

        repository, size = description.sources.hf, f"{description.size_in_GB:g} GB"
        try:
            cache = define_cache_dir(self._cache_dir)
            log_event(log, logging.INFO, "looking for weights", cache=cache, repository=repository, size=size)
            found: Path = facade.download_model(description, str(cache), retries=1)
        except Exception as error:
            files = ", ".join(_files(description))
            raise UnavailableError(
                f"{self.name} cannot be downloaded from {repository} on Hugging Face; the server's log may say why: "
                f"{error} Without a network, fetch {files} of that repository elsewhere, keep them in the folders that "
                "they have there, and choose fastembed:FOLDER"
            ) from error
        return found

    def _checksum(self, folder: Path, names: Sequence[str]) -> str:
        """Of the contents of files.

        Raises:
            UnavailableError: files are missing; the message lists them.
        """
        total, missing = hashlib.sha256(), []
        for name in names:
            try:
                total.update(hashlib.sha256(_read(folder / name)).digest())
            except NotFoundError:
                missing.append(name)
        if missing:
            raise UnavailableError(f"{self.name} cannot be loaded from {folder}: it has no {', '.join(missing)}")
        return total.hexdigest()[:16]

    def _take_tokenizer(self, inner: Any) -> None:
        """Let fastembed's tokenizer split only, and let tokens pass where fastembed would split texts.

        Raises:
            UnavailableError: the model does not read tokens, or treats queries apart, as BM42 and minicoil do.
        """
        if (
            not hasattr(inner, "tokenize")
            or not hasattr(inner, "_load_onnx_model")
            or "query_embed" in vars(type(inner))
        ):
            raise UnavailableError(f"{self.name} embeds queries in a way of its own, which Pinyon does not support")
        self._tokenizer = inner.tokenizer
        self.tokens_max = min(self._tokenizer.truncation["max_length"], _TOKENS_MAX.get(self.name, 1 << 30))
        self._padding = self._tokenizer.padding
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        inner.tokenize = self._filled_up

    def _filled_up(self, batch: Sequence[Tokens], **_: Any) -> list[Tokens]:
        """Tokens of a batch, all as long as the longest."""
        longest = max(len(tokens.ids) for tokens in batch)
        fill = self._padding["pad_id"], self._padding["pad_type_id"], 0
        filled = []
        for tokens in batch:
            ends = [[value] * (longest - len(tokens.ids)) for value in fill]
            if self._padding["direction"] == "left":
                filled.append(Tokens(*([*end, *given] for end, given in zip(ends, tokens, strict=True))))
            else:
                filled.append(Tokens(*([*given, *end] for end, given in zip(ends, tokens, strict=True))))
        return filled


def dense_models() -> Any:
    """The class that fastembed has for them."""
    from fastembed import TextEmbedding

    return TextEmbedding


def sparse_models() -> Any:
    """The class that fastembed has for them."""
    from fastembed import SparseTextEmbedding

    return SparseTextEmbedding


def cross_encoders() -> Any:
    """The class that fastembed has for them."""
    from fastembed.rerank.cross_encoder import TextCrossEncoder

    return TextCrossEncoder


def _files(description: Any) -> list[str]:
    """What a model needs in its folder."""
    return [description.model_file, *description.additional_files, *_TOKENIZER_FILES]


def _read(path: Path) -> memoryview:
    """A file, mapped into memory."""
    absolute = path.absolute()
    return LocalStorage(Path(absolute.anchor)).read(str(absolute.relative_to(absolute.anchor)))
