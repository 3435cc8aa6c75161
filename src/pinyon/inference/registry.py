"""Which models are served, by name.

A name of Pinecone's is an API that programs rely on, and a vector of one model means nothing to another. So a known
name is served only by the backend that the operator chose for it: without a choice, the error says what to choose.
"""

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from pinyon.errors import InvalidArgumentError, NotFoundError
from pinyon.inference.info import ModelInfo
from pinyon.inference.served import DenseModel, RerankModel, SparseModel

Embedder: TypeAlias = DenseModel | SparseModel
Served: TypeAlias = Embedder | RerankModel

_NAMES_SHOWN_MAX: Final = 20
_NAME_SHOWN_MAX: Final = 80


class ModelNotFoundError(NotFoundError):
    """No model of that name is served.

    Attributes:
        name: as it was asked for, shortened.
        detail: what follows "not found" in the message.
    """

    def __init__(self, name: str, detail: str) -> None:
        self.name = name[:_NAME_SHOWN_MAX]
        self.detail = detail
        super().__init__(f"Model {self.name} not found{detail}")


class Registry:
    """The models that are served. Immutable; any thread may call any method."""

    def __init__(self, models: Iterable[Served], advice: Mapping[str, str] | None = None) -> None:
        """Serve `models`; `advice` says for names that are known and not served what would serve them."""
        self._models = {model.listed_info.name: model for model in models}
        self._advice = dict(advice or {})

    def infos(self) -> list[ModelInfo]:
        """What is told about each model, by name; the dimension may be missing of those that are not loaded yet."""
        return [self._models[name].listed_info for name in sorted(self._models)]

    def info(self, name: str) -> ModelInfo:
        """What is told about one model.

        Raises:
            ModelNotFoundError: no model of that name is served.
            UnavailableError: only the loaded model knows its dimension, and it cannot be loaded.
        """
        return self._find(name, DenseModel, SparseModel, RerankModel).info

    def embedder(self, name: str) -> Embedder:
        """A model that embeds.

        Raises:
            ModelNotFoundError: no model of that name is served.
            InvalidArgumentError: it does not embed.
        """
        model = self._find(name, DenseModel, SparseModel)
        if isinstance(model, RerankModel):
            raise InvalidArgumentError(f"Model {name} does not support embedding: it is a reranking model")
        return model

    def reranker(self, name: str) -> RerankModel:
        """A model that reranks.

        Raises:
            ModelNotFoundError: no model of that name is served.
            InvalidArgumentError: it does not rerank.
        """
        model = self._find(name, RerankModel)
        if not isinstance(model, RerankModel):
            raise InvalidArgumentError(f"Model {name} does not support reranking: it is an embedding model")
        return model

    def _find(self, name: str, *kinds: type[Served]) -> Served:
        """The model of a name, of whatever kind; an unknown name is answered with those of `kinds`."""
        model = self._models.get(name)
        if model is not None:
            return model
        if name in self._advice:
            raise ModelNotFoundError(name, f": it is known, but not served here. {self._advice[name]}")
        names = sorted(other for other, served in self._models.items() if isinstance(served, kinds))
        shown = ", ".join(f"'{other}'" for other in names[:_NAMES_SHOWN_MAX])
        raise ModelNotFoundError(name, f". Supported models: {shown}")
