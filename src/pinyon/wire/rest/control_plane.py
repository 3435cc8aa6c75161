"""REST of the control plane: paths and methods to calls of the service.

Handlers raise `pinyon.errors`; whoever calls `handle` turns those into statuses and bodies.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec

from pinyon.errors import NotFoundError, UnimplementedError
from pinyon.model.index import IndexDefinition
from pinyon.service.control_plane import ControlPlane
from pinyon.service.inference import Inference
from pinyon.wire.error_bodies import method_not_allowed
from pinyon.wire.http import Request, Response
from pinyon.wire.rest.embed_bodies import parse_create_for_model
from pinyon.wire.rest.index_bodies import parse_configure, parse_create
from pinyon.wire.rest.index_shapes import show_index
from pinyon.wire.rest.inference import Handlers, InferenceRoutes

HostOf: TypeAlias = Callable[[IndexDefinition], str]
"""Where clients reach the data plane of an index: with scheme in plain text, without it under TLS."""

_TAKE_MODELS: Final = frozenset({"/embed", "/rerank", "/indexes/create-for-model"})

_NOT_BUILT: Final = {
    "admin": "The admin API",
    "assistant": "The assistant API",
    "backup-schedules": "Backup schedules",
    "backups": "Backups",
    "collections": "Collections",
    "restore-jobs": "Restore jobs",
}
"""Families of Pinecone's control plane that Pinyon does not have, by path segment."""


class ControlPlaneRoutes:
    """The control plane as an HTTP application. Any thread may call `handle`."""

    def __init__(self, control_plane: ControlPlane, host_of: HostOf, inference: Inference) -> None:
        """Serve a control plane and `inference`; `host_of` says which host each index is shown with."""
        self._control_plane = control_plane
        self._host_of = host_of
        self._inference = InferenceRoutes(inference)
        self._of_report: Handlers = {"GET": self._report}
        self._of_all: Handlers = {"GET": self._list, "POST": self._create}
        self._of_one: Handlers = {"GET": self._describe, "PATCH": self._configure, "DELETE": self._delete}

    def handle(self, request: Request) -> Response:
        """Answer one request.

        Raises:
            PinyonError: the request failed; its class says how.
        """
        match request.segments:
            case ["embed" | "rerank" | "models", *_]:
                return _call(self._inference.handlers(request), request)
            case ["indexes"]:
                return _call(self._of_all, request)
            case ["indexes", "create-for-model"] if request.method == "POST":
                return self._create_for_model(request)
            case ["indexes", _]:
                return _call(self._of_one, request)
            case ["pinyon", "report"]:
                return _call(self._of_report, request)
            case ["indexes", _, family, *_] | [family, *_] if family in _NOT_BUILT:
                raise UnimplementedError(f"Not supported yet: {_NOT_BUILT[family]}")
            case _:
                raise NotFoundError(f"Resource {request.raw_path} not found")

    def is_brief(self, method: str, path: str) -> bool:
        """Never: indexes are created and deleted on disk."""
        return False

    def takes_model(self, method: str, path: str) -> bool:
        """True for requests that use a model, or tell what only the loaded model knows; the list of models does not.

        Whether a PATCH gives an index a model is known only from its body.
        """
        return method == "PATCH" or path in _TAKE_MODELS or path.startswith("/models/")

    def _list(self, request: Request) -> Response:
        indexes = [self._show(index, request) for index in self._control_plane.list_indexes()]
        return _json(200, {"indexes": indexes})

    def _create(self, request: Request) -> Response:
        created = self._control_plane.create_index(parse_create(request.body, request.api_version))
        return _json(201, self._show(created, request))

    def _create_for_model(self, request: Request) -> Response:
        created = self._control_plane.create_index(parse_create_for_model(request.body))
        return _json(201, self._show(created, request))

    def _describe(self, request: Request) -> Response:
        return _json(200, self._show(self._control_plane.describe_index(_name(request)), request))

    def _configure(self, request: Request) -> Response:
        changes = parse_configure(request.body, request.api_version)
        return _json(202, self._show(self._control_plane.configure_index(_name(request), changes), request))

    def _delete(self, request: Request) -> Response:
        self._control_plane.delete_index(_name(request))
        return Response(202)

    def _report(self, _: Request) -> Response:
        return Response(200, msgspec.json.encode(self._control_plane.report()))

    def _show(self, definition: IndexDefinition, request: Request) -> dict[str, Any]:
        is_ready = self._control_plane.is_ready(definition.name)
        return show_index(definition, request.api_version, self._host_of(definition), is_ready=is_ready)


def _name(request: Request) -> str:
    return request.segments[1]


def _call(handlers: Handlers, request: Request) -> Response:
    handler = handlers.get(request.method)
    if handler is not None:
        return handler(request)
    return method_not_allowed(request, handlers)


def _json(status: int, body: dict[str, Any]) -> Response:
    return Response(status, msgspec.json.encode(body))
