"""One data plane in memory, and callers that speak to it in REST or gRPC without a socket."""

import json
from dataclasses import dataclass
from typing import Any

from pinyon.engine.database import Database
from pinyon.errors import PinyonError
from pinyon.inference.registry import Registry
from pinyon.model.index import Deployment, Embed, IndexDefinition
from pinyon.model.metric import Metric, VectorType
from pinyon.service.data_plane import DataPlane
from pinyon.service.inference import Inference
from pinyon.service.records import Records
from pinyon.storage.memory import MemoryStorage
from pinyon.wire.error_bodies import error_response
from pinyon.wire.grpc.framing import frame
from pinyon.wire.grpc.servicer import GrpcRoutes
from pinyon.wire.http import Request
from pinyon.wire.rest.data_plane import DataPlaneRoutes
from pinyon.wire.status import status_of
from tests.grpc_stubs import messages


def data_plane(
    dimension: int | None = 2,
    metric: Metric = Metric.COSINE,
    *,
    filterable_fields: tuple[str, ...] | None = None,
    embed: Embed | None = None,
    **options: Any,
) -> DataPlane:
    """The data plane of an empty index in memory; `dimension` None makes it sparse."""
    definition = IndexDefinition(
        name="index",
        index_id="0" * 32,
        vector_type=VectorType.SPARSE if dimension is None else VectorType.DENSE,
        dimension=dimension,
        metric=Metric.DOTPRODUCT if dimension is None else metric,
        deployment=Deployment(kind="serverless"),
        filterable_fields=filterable_fields,
        embed=embed,
    )
    database = Database(MemoryStorage(), new_salt=lambda: bytes(16), log_file_bytes_max=2**30)
    return DataPlane(database.create(definition), **options)


@dataclass(frozen=True)
class Answer:
    """What a REST caller sees."""

    status: int
    body: Any
    headers: dict[str, str]

    @property
    def message(self) -> str:
        """The text of an error whose body is a `google.rpc.Status`."""
        assert set(self.body) == {"code", "message", "details"}, self.body
        assert self.body["details"] == []
        text: str = self.body["message"]
        return text


class Rest:
    """Speaks REST to a data plane; errors become the bodies that a client sees."""

    def __init__(self, plane: DataPlane, version: str | None = "2025-10", models: Registry | None = None) -> None:
        self._routes = DataPlaneRoutes(plane, Records(plane, Inference(models or Registry([]))))
        self._headers = {} if version is None else {"x-pinecone-api-version": version}

    def send(self, method: str, target: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Send one request; `body` is sent as JSON unless it is bytes."""
        path, _, query = target.partition("?")
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        request = Request(method, path, query, self._headers | (headers or {}), content)
        try:
            response = self._routes.handle(request)
        except PinyonError as error:
            response = error_response(error, request)
        is_json = response.content_type == "application/json" and response.body
        return Answer(response.status, json.loads(response.body) if is_json else response.body, response.headers)

    def get(self, target: str) -> Answer:
        return self.send("GET", target)

    def post(self, target: str, body: Any) -> Answer:
        return self.send("POST", target, body)


@dataclass(frozen=True)
class GrpcError(Exception):
    """A call failed with this status."""

    code: int
    message: str


class Grpc:
    """Speaks gRPC to a data plane, in messages of the official protobuf package."""

    def __init__(self, plane: DataPlane, version: str | None = "2025-10") -> None:
        self._routes = GrpcRoutes(plane)
        self._headers = {} if version is None else {"x-pinecone-api-version": version}

    def call(self, method: str, request: Any, headers: dict[str, str] | None = None) -> tuple[Any, dict[str, str]]:
        """The response, and the initial metadata before it.

        Raises:
            GrpcError: the call failed.
        """
        try:
            message = frame([request.SerializeToString()])
            reply = self._routes.call(f"/VectorService/{method}", message, self._headers | (headers or {}))
        except PinyonError as error:
            raise GrpcError(status_of(error).grpc, error.message) from error
        assert reply.body[0] == 0
        assert int.from_bytes(reply.body[1:5], "big") == len(reply.body) - 5
        return response_type(method).FromString(reply.body[5:]), reply.metadata


def response_type(method: str) -> Any:
    """The message type that a method answers with."""
    service = messages().DESCRIPTOR.services_by_name["VectorService"]
    return getattr(messages(), service.methods_by_name[method].output_type.name)


def ok(answer: Answer) -> Any:
    """The body of an answer that must be a success."""
    assert answer.status == 200, answer.body
    return answer.body


def refused(answer: Answer, text: str = "", status: int = 400, code: int = 3) -> None:
    """Check that an answer is a refusal of the data plane with this status, and with `text` in its message."""
    assert (answer.status, answer.body.get("code")) == (status, code), answer.body
    assert text in answer.message
