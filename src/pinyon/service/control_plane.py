"""The control plane: creating, listing, describing, configuring and deleting indexes, whatever the protocol.

What must hold:

- Changes happen one at a time; reads do not wait for them.
- A request is checked whole before anything changes.
- No change waits for a model of another one: models are loaded before the changes take turns.
- An index is ready when `create` returns, and gone when `delete` returns.
- An index that could not be opened is listed and described, and can be deleted; nothing else of it changes.
"""

import threading
from typing import Protocol

import msgspec

from pinyon.clock import Clock, IdSource
from pinyon.engine.report import Report
from pinyon.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
)
from pinyon.inference.info import ModelInfo
from pinyon.model.index import Embed, IndexDefinition
from pinyon.service.embed_rules import changed_embed, check_same, check_vectors_fit, new_embed, with_vectors_of
from pinyon.service.index_requests import ConfigureIndex, CreateIndex, EmbedRequest
from pinyon.service.index_rules import (
    check_filterable_fields,
    check_name,
    check_vectors,
    complete_deployment,
    configured_deployment,
    default_metric,
    merged_tags,
)


class Indexes(Protocol):
    """The indexes of this server, with their files and their open ports.

    `create`, `change` and `delete` are never called by two threads at once; the others may be called at any time. All
    may raise UnavailableError where the disk fails.
    """

    def definitions(self) -> list[IndexDefinition]:
        """All indexes, oldest first."""
        ...

    def get(self, name: str) -> IndexDefinition:
        """The definition of one index.

        Raises:
            NotFoundError: `Resource {name} not found`.
        """
        ...

    def why_closed(self, name: str) -> str | None:
        """Why an index is not served, and what to do about it; None if it is served, or if there is none."""
        ...

    def create(self, definition: IndexDefinition) -> IndexDefinition:
        """Create an index, durably, and start to serve it.

        Args:
            definition: complete but for its port, which is 0. Its name and its id are free.

        Returns:
            The definition with its port.

        Raises:
            PermissionDeniedError: no port is left.
            UnavailableError: the disk or the port failed; the index does not exist.
        """
        ...

    def change(self, definition: IndexDefinition) -> None:
        """Replace the definition of an existing index, durably. Name, id, port and vectors stay as they are."""
        ...

    def report(self) -> Report:
        """Who uses what."""
        ...

    def delete(self, name: str) -> None:
        """Stop to serve an existing index and delete it with all its records."""
        ...


class EmbeddingModel(Protocol):
    """A model that embeds text.

    Any of these may wait for the model to be loaded, and raise UnavailableError where it cannot be.
    """

    @property
    def info(self) -> ModelInfo:
        """What is told about it, with its vector type, dimensions and metrics."""
        ...

    @property
    def fingerprint(self) -> str:
        """What its vectors depend on."""
        ...

    @property
    def served_by(self) -> str:
        """What stands in for the model of that name, as told to people; "" for the model itself."""
        ...


class Models(Protocol):
    """The models that this server serves."""

    def embedder(self, name: str) -> EmbeddingModel:
        """A model that embeds text.

        Raises:
            NotFoundError: no model of that name is served; the message says what to do.
            InvalidArgumentError: it does not embed.
        """
        ...


class ControlPlane:
    """Answers the requests of the control plane. Any thread may call any method."""

    def __init__(self, indexes: Indexes, models: Models, clock: Clock, ids: IdSource) -> None:
        """Serve the given indexes; `models` embed their texts, `ids` names them, `clock` dates them."""
        self._indexes = indexes
        self._models = models
        self._clock = clock
        self._ids = ids
        self._changing = threading.Lock()

    def list_indexes(self) -> list[IndexDefinition]:
        """All indexes, oldest first."""
        return self._indexes.definitions()

    def describe_index(self, name: str) -> IndexDefinition:
        """One index.

        Raises:
            NotFoundError: no index has that name.
        """
        return self._indexes.get(name)

    def is_ready(self, name: str) -> bool:
        """False for an index that could not be opened."""
        return self._indexes.why_closed(name) is None

    def create_index(self, request: CreateIndex) -> IndexDefinition:
        """Create an index, ready at once.

        Raises:
            InvalidArgumentError: the request breaks a rule of `pinyon.service.index_rules` or
                `pinyon.service.embed_rules`, or no model of the name that it gives is served.
            NotFoundError: Pinecone has no such cloud or region.
            AlreadyExistsError: the name is taken.
            UnavailableError: the model cannot be loaded.
        """
        definition = self._planned(request)
        with self._changing:
            if any(index.name == definition.name for index in self._indexes.definitions()):
                raise AlreadyExistsError("Resource already exists")
            return self._indexes.create(definition)

    def configure_index(self, name: str, request: ConfigureIndex) -> IndexDefinition:
        """Change what may change of an index, and return what it is then.

        Raises:
            InvalidArgumentError: as `create_index` does.
            NotFoundError: no index has that name.
            FailedPreconditionError: the index could not be opened.
            UnavailableError: the model cannot be loaded.
        """
        while True:
            before = self._indexes.get(name)
            after = self._configured(before, request)
            self._check_may_change(before, after)
            with self._changing:
                if self._indexes.get(name) == before:
                    self._indexes.change(after)
                    return after
            # Something else changed it meanwhile, so what was checked is not what it is: once more.

    def delete_index(self, name: str) -> None:
        """Delete an index and all its records.

        Raises:
            NotFoundError: no index has that name.
            PermissionDeniedError: the index is protected from deletion.
        """
        with self._changing:
            if self._indexes.get(name).deletion_protection:
                raise PermissionDeniedError(
                    "Deletion protection is enabled for this index. Disable deletion protection before retrying."
                )
            self._indexes.delete(name)

    def report(self) -> Report:
        """What the server and each index use, and what is done in the background."""
        return self._indexes.report()

    def _planned(self, request: CreateIndex) -> IndexDefinition:
        """The index that a request asks for, if it keeps the rules."""
        name = request.name if request.name is not None else f"index-{self._ids.new_id()[-12:]}"
        check_name(name)
        check_filterable_fields(request.filterable_fields)
        deployment = complete_deployment(request.deployment)
        tags = merged_tags({}, request.tags)
        request, embed = self._with_vectors(request)
        return IndexDefinition(
            name=name,
            index_id=self._ids.new_id(),
            vector_type=request.vector_type,
            dimension=request.dimension,
            metric=request.metric or default_metric(request.vector_type),
            deployment=deployment,
            deletion_protection=request.deletion_protection,
            tags=tags,
            filterable_fields=request.filterable_fields,
            created_at_s=self._clock.now_s(),
            embed=embed,
        )

    def _with_vectors(self, request: CreateIndex) -> tuple[CreateIndex, Embed | None]:
        """The request with the vectors of its model, if it names one, checked; and how the index then embeds text."""
        if request.embed is None:
            check_vectors(request)
            return request, None
        model = self._model(request.embed.model)
        completed = with_vectors_of(model.info, request)
        return completed, _served(new_embed(model.info, request.embed, completed.dimension), model)

    def _configured(self, definition: IndexDefinition, request: ConfigureIndex) -> IndexDefinition:
        protection = request.deletion_protection
        return msgspec.structs.replace(
            definition,
            deployment=configured_deployment(definition.deployment, request),
            deletion_protection=definition.deletion_protection if protection is None else protection,
            tags=merged_tags(definition.tags, request.tags or {}),
            embed=self._configured_embed(definition, request.embed),
        )

    def _check_may_change(self, before: IndexDefinition, after: IndexDefinition) -> None:
        """Refuse to change an index that is not served, but for its protection: else it could never be deleted."""
        why_closed = self._indexes.why_closed(before.name)
        if why_closed and after != msgspec.structs.replace(before, deletion_protection=after.deletion_protection):
            raise FailedPreconditionError(
                f"{why_closed} Until it is open again, nothing of it can be changed but its deletion protection."
            )

    def _configured_embed(self, definition: IndexDefinition, request: EmbedRequest | None) -> Embed | None:
        if request is None:
            return definition.embed
        check_same(definition.embed, request)
        if definition.embed is not None:
            info = self._model(definition.embed.model).info
            return changed_embed(info, definition.embed, request, definition.dimension)
        model = self._model(request.model)
        check_vectors_fit(model.info, definition)
        return _served(new_embed(model.info, request, definition.dimension), model)

    def _model(self, name: str | None) -> EmbeddingModel:
        if name is None:
            raise InvalidArgumentError("model is required for an index to embed text")
        try:
            return self._models.embedder(name)
        except NotFoundError as error:  # Pinecone answers 400 here: what is not found is not what the path names.
            raise InvalidArgumentError(error.message) from error


def _served(embed: Embed, model: EmbeddingModel) -> Embed:
    """What an index keeps about the model that embeds its texts, which is loaded for that."""
    return msgspec.structs.replace(embed, fingerprint=model.fingerprint, served_by=model.served_by)
