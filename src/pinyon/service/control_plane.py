"""The control plane: creating, listing, describing, configuring and deleting indexes, whatever the protocol.

What must hold:

- Changes happen one at a time; reads do not wait for them.
- A request is checked whole before anything changes.
- An index is ready when `create` returns, and gone when `delete` returns.
"""

import threading
from typing import Protocol

import msgspec

from pinyon.clock import Clock, IdSource
from pinyon.errors import AlreadyExistsError, PermissionDeniedError
from pinyon.model.index import IndexDefinition
from pinyon.service.index_requests import ConfigureIndex, CreateIndex
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

    `create`, `change` and `delete` are never called by two threads at once; `definitions` and `get` may be called at
    any time. All may raise UnavailableError where the disk fails.
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

    def delete(self, name: str) -> None:
        """Stop to serve an existing index and delete it with all its records."""
        ...


class ControlPlane:
    """Answers the requests of the control plane. Any thread may call any method."""

    def __init__(self, indexes: Indexes, clock: Clock, ids: IdSource) -> None:
        """Serve the given indexes; `ids` names them, `clock` dates them."""
        self._indexes = indexes
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

    def create_index(self, request: CreateIndex) -> IndexDefinition:
        """Create an index, ready at once.

        Raises:
            InvalidArgumentError: the request breaks a rule of `pinyon.service.index_rules`.
            NotFoundError: Pinecone has no such cloud or region.
            AlreadyExistsError: the name is taken.
        """
        definition = self._planned(request)
        with self._changing:
            if any(index.name == definition.name for index in self._indexes.definitions()):
                raise AlreadyExistsError("Resource already exists")
            return self._indexes.create(definition)

    def configure_index(self, name: str, request: ConfigureIndex) -> IndexDefinition:
        """Change what may change of an index, and return what it is then.

        Raises:
            InvalidArgumentError: the request breaks a rule of `pinyon.service.index_rules`.
            NotFoundError: no index has that name.
        """
        with self._changing:
            definition = _configured(self._indexes.get(name), request)
            self._indexes.change(definition)
            return definition

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

    def _planned(self, request: CreateIndex) -> IndexDefinition:
        """The index that a request asks for, if it keeps the rules."""
        name = request.name if request.name is not None else f"index-{self._ids.new_id()[-12:]}"
        check_name(name)
        check_vectors(request)
        check_filterable_fields(request.filterable_fields)
        return IndexDefinition(
            name=name,
            index_id=self._ids.new_id(),
            vector_type=request.vector_type,
            dimension=request.dimension,
            metric=request.metric or default_metric(request.vector_type),
            deployment=complete_deployment(request.deployment),
            deletion_protection=request.deletion_protection,
            tags=merged_tags({}, request.tags),
            filterable_fields=request.filterable_fields,
            created_at_s=self._clock.now_s(),
        )


def _configured(definition: IndexDefinition, request: ConfigureIndex) -> IndexDefinition:
    protection = request.deletion_protection
    return msgspec.structs.replace(
        definition,
        deployment=configured_deployment(definition.deployment, request),
        deletion_protection=definition.deletion_protection if protection is None else protection,
        tags=merged_tags(definition.tags, request.tags or {}),
    )
