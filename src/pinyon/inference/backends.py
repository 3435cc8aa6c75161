"""From what an operator chose to models that are served: the place that knows every backend.

Nothing is loaded here: a model is loaded when it is first asked for, and one that never is costs nothing. What cannot
be served for want of a package is refused here, at the start of the server.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from pinyon.clock import Clock
from pinyon.errors import InvalidArgumentError
from pinyon.inference.bm25 import Bm25
from pinyon.inference.catalogue import (
    BM25,
    MAXSIM,
    MINILM,
    OWN_MODELS,
    PINECONE_MODELS,
    dense_info,
    rerank_info,
)
from pinyon.inference.choice import (
    BackendKind,
    Choice,
    check_fits,
    install_advice,
    missing_extra,
    parse_choice,
    stand_in_kind,
)
from pinyon.inference.direct_worker import DirectWorker
from pinyon.inference.fastembed_backend import FastembedDense, FastembedReranker, FastembedSparse
from pinyon.inference.http_backend import CohereReranker, OpenAIEncoder
from pinyon.inference.info import ModelInfo, ModelKind
from pinyon.inference.maxsim import MaxSim
from pinyon.inference.minilm import MiniLm, MiniLmWeights
from pinyon.inference.registry import Registry, Served
from pinyon.inference.served import DenseModel, RerankModel, SparseModel
from pinyon.inference.worker import CLOSE_TIMEOUT_S, ModelWorker, Worker, WorkerLimits
from pinyon.model.metric import VectorType
from pinyon.telemetry import log_event

_KNOWN: Final = {info.name: info for info in (*PINECONE_MODELS, *OWN_MODELS)}
_OWN_KINDS: Final = {MINILM: BackendKind.MINILM, BM25: BackendKind.BM25, MAXSIM: BackendKind.MAXSIM}
_OWN_NAMES: Final = {kind: name for name, kind in _OWN_KINDS.items()}
_CUSTOM_TOKENS_MAX: Final = 8192
"""Told of models that only the operator knows; their servers refuse or cut what is too long for them."""
_HTTP_BATCH_PIECES_MAX: Final = 200
"""Of one request to a server: as many documents as any reranking request may have."""
_HTTP_BATCH_TOKENS_MAX: Final = 512 * 1024
"""Of one request to a server, as estimated from the length of its texts."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """What the operator chose.

    Attributes:
        stand_ins: serve Pinecone's names that have no backend by offline ones.
        backends: choices of the form `NAME=BACKEND`.
        api_key: for HTTP servers.
        cache_dir: of fastembed's weights; None for its own choice.
        threads: of one model; 0 for half of the processors.
        limits: of each model's worker.
    """

    stand_ins: bool = False
    backends: tuple[str, ...] = ()
    api_key: str | None = None
    cache_dir: str | None = None
    threads: int = 0
    limits: WorkerLimits


class Backends:
    """The models of a server, and their threads."""

    def __init__(self, options: ModelOptions, clock: Clock) -> None:
        """Build what `options` name.

        Raises:
            InvalidArgumentError: a choice has a wrong form, names a thing twice, does not fit its model, or needs a
                package that is not installed.
        """
        self._options = options
        self._clock = clock
        self._threads = options.threads or max(1, (os.cpu_count() or 1) // 2)
        self._workers: dict[int, Worker[Any]] = {}
        choices = _choices(options)
        models = [self._served(choice) for choice in choices]
        for choice, model in zip(choices, models, strict=True):
            _announce(choice, model)
        unserved = _KNOWN.keys() - {choice.name for choice in choices}
        self.registry = Registry(models, {name: _advice(name) for name in unserved})

    def close(self) -> None:
        """Refuse all that waits for a model, and end the threads."""
        for worker in self._workers.values():
            worker.close(0.0)
        deadline_s = self._clock.monotonic_s() + CLOSE_TIMEOUT_S
        for worker in self._workers.values():
            worker.close(max(0.0, deadline_s - self._clock.monotonic_s()))

    def _served(self, choice: Choice) -> Served:
        info = _KNOWN.get(choice.name) or _custom_info(choice)
        backend = self._backend(choice, info)
        served_by = _stand_in_note(choice)
        if served_by:
            info = _stand_in_info(info, _KNOWN[served_by])
        worker = self._worker(served_by or choice.name, backend)
        if info.kind is ModelKind.RERANK:
            return RerankModel(info, backend, worker, served_by=served_by)
        if info.vector_type is VectorType.SPARSE:
            return SparseModel(info, backend, worker, served_by=served_by)
        return DenseModel(info, backend, worker, served_by=served_by)

    def _backend(self, choice: Choice, info: ModelInfo) -> Any:
        """What runs the model: an Encoder or a Reranker, as `info` says."""
        api_key, timeout_s = self._options.api_key, self._options.limits.timeout_s
        match choice.kind:
            case BackendKind.MINILM:
                return self._minilm
            case BackendKind.MAXSIM:
                return self._maxsim
            case BackendKind.BM25:
                return self._bm25
            case BackendKind.OPENAI:
                return OpenAIEncoder(choice.model, choice.location, api_key=api_key, timeout_s=timeout_s)
            case BackendKind.COHERE:
                return CohereReranker(choice.model, choice.location, api_key=api_key, timeout_s=timeout_s)
            case BackendKind.FASTEMBED:
                return self._fastembed(choice, info)

    def _fastembed(self, choice: Choice, info: ModelInfo) -> Any:
        kind: type[FastembedDense | FastembedSparse | FastembedReranker] = FastembedDense
        if info.kind is ModelKind.RERANK:
            kind = FastembedReranker
        elif info.vector_type is VectorType.SPARSE:
            kind = FastembedSparse
        return kind(
            choice.name,
            folder=choice.location or None,
            cache_dir=self._options.cache_dir,
            threads=self._threads,
        )

    def _worker(self, name: str, backend: Any) -> Worker[Any]:
        """The one worker of a backend, whatever names it serves."""
        worker = self._workers.get(id(backend))
        if worker is None:
            if isinstance(backend, Bm25):
                worker = DirectWorker(name, backend, self._clock)
            else:
                worker = ModelWorker(name, backend, self._clock, self._limits(backend))
            self._workers[id(backend)] = worker
        return worker

    def _limits(self, backend: Any) -> WorkerLimits:
        """A server over HTTP takes what a request may hold at once: it batches by itself, and a round trip costs."""
        limits = self._options.limits
        if isinstance(backend, (OpenAIEncoder, CohereReranker)):
            return replace(
                limits,
                batch_pieces_max=_HTTP_BATCH_PIECES_MAX,
                batch_tokens_max=_HTTP_BATCH_TOKENS_MAX,
                is_padded=False,
            )
        return limits

    # Backends that serve several names.

    @cached_property
    def _weights(self) -> MiniLmWeights:
        return MiniLmWeights(self._threads)

    @cached_property
    def _minilm(self) -> MiniLm:
        return MiniLm(self._weights)

    @cached_property
    def _maxsim(self) -> MaxSim:
        return MaxSim(self._weights)

    @cached_property
    def _bm25(self) -> Bm25:
        return Bm25()


def _choices(options: ModelOptions) -> list[Choice]:
    """One choice a name: the operator's, then stand-ins, then our own models."""
    chosen = _chosen(options.backends)
    if options.stand_ins:
        for info in PINECONE_MODELS:
            chosen.setdefault(info.name, Choice(info.name, stand_in_kind(info)))
    for choice in chosen.values():
        extra = missing_extra(choice.kind)
        if extra is not None:
            raise InvalidArgumentError(
                f"The model {choice.name} is to be served by {choice.kind}, which needs: {install_advice(extra)}"
            )
    return [*chosen.values(), *_own_choices()]


def _chosen(texts: Sequence[str]) -> dict[str, Choice]:
    chosen: dict[str, Choice] = {}
    for text in texts:
        choice = parse_choice(text)
        if choice.name in chosen or choice.name in _OWN_KINDS:
            raise InvalidArgumentError(f"models.backends: {choice.name} has a backend already")
        check_fits(choice, _KNOWN.get(choice.name))
        chosen[choice.name] = choice
    return chosen


def _own_choices() -> Iterator[Choice]:
    for name, kind in _OWN_KINDS.items():
        if missing_extra(kind) is None:
            yield Choice(name, kind)


def _stand_in_note(choice: Choice) -> str:
    """What stands in for a model; "" for the model itself."""
    own = _OWN_NAMES.get(choice.kind)
    return "" if own is None or own == choice.name else own


def _stand_in_info(info: ModelInfo, own: ModelInfo) -> ModelInfo:
    """What is told about a model that `own` stands in for."""
    description = f"Stand-in: this is {own.name}, not {info.name}. {info.description}"
    return replace(info, description=description, max_tokens=min(info.max_tokens, own.max_tokens))


def _custom_info(choice: Choice) -> ModelInfo:
    """What is told about a model whose name is the operator's own."""
    description = f"Served by {choice.text}"
    if choice.kind is BackendKind.COHERE:
        return rerank_info(choice.name, description, choice.location, max_tokens=_CUSTOM_TOKENS_MAX)
    return dense_info(
        choice.name, description, choice.location or "fastembed", max_tokens=_CUSTOM_TOKENS_MAX, dimension=None
    )


def _advice(name: str) -> str:
    """What would serve a name that is known and not served."""
    kind = _OWN_KINDS.get(name) or stand_in_kind(_KNOWN[name])
    extra = missing_extra(kind)
    needed = "" if extra is None else install_advice(extra)
    if name in _OWN_KINDS:
        return f"It needs: {needed}"
    stand_ins = f"--models-stand-ins for {_OWN_NAMES[kind]} in its place" + (f" (after {needed})" if needed else "")
    return f"Start the server with --models-backend {name}=BACKEND for real weights, or with {stand_ins}"


def _announce(choice: Choice, model: Served) -> None:
    if choice.name not in _OWN_KINDS:
        kind = "stand-in" if model.served_by else "model"
        log_event(log, logging.INFO, f"serving {kind}", model=choice.name, backend=choice.text)
