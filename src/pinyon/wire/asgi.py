"""One ASGI application a port: it admits requests, reads their bodies, and hands them to REST or gRPC.

This file is where the event loop ends: a request is answered by a synchronous handler in a worker thread, or in the
loop itself where that takes less than a change of threads. What must hold:

- a key is checked before a body is read, and a body is read only as far as `Admission` allows;
- every error becomes an answer: those of `pinyon.errors` by the table in `pinyon.wire.status`, any other one becomes an
  InternalError, whose details stand in the log under the request id and not in the answer.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import numpy as np

from pinyon.clock import Clock, IdSource
from pinyon.errors import DataLossError, InternalError, NotBriefError, PinyonError, UnavailableError, UnimplementedError
from pinyon.protobuf.wire_format import Buffer
from pinyon.service.admission import Admission, Ticket
from pinyon.service.auth import Authenticator
from pinyon.telemetry import log_event
from pinyon.wire.api_version import ApiVersion
from pinyon.wire.closed_routes import ClosedIndexError
from pinyon.wire.error_bodies import error_response
from pinyon.wire.grpc.errors import error_trailers
from pinyon.wire.grpc.reply import GrpcReply
from pinyon.wire.http import Headers, Request, Response, join_recalls
from pinyon.wire.workers import Workers

Scope: TypeAlias = Mapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]

_HEALTH_PATH: Final = "/health"
_LARGE_BODY_BYTES: Final = 256 * 1024
_RESERVED_AHEAD_BYTES: Final = 256 * 1024
"""Bytes of a body that are reserved before they come, so that not every chunk has to ask."""
_BRIEF_BODY_BYTES: Final = 128 * 1024

_LONG_S: Final = 0.025
_HAND_OVER_S: Final = 1.0
"""Where what should be brief took longer than `_LONG_S`, worker threads answer for so long."""

_Handle: TypeAlias = Callable[[Buffer, bool], Any]
"""Answers a body; told whether that must be brief."""

log = logging.getLogger(__name__)


class RestHandler(Protocol):
    """Answers REST requests in a worker thread."""

    def handle(self, request: Request) -> Response:
        """Answer one request, or raise one of `pinyon.errors`; `NotBriefError` if it must be brief and would not be."""
        ...

    def is_brief(self, method: str, path: str) -> bool:
        """True if answering takes, or may take, less than handing the request to another thread would."""
        ...

    def takes_model(self, method: str, path: str) -> bool:
        """True if answering may wait for a model: such requests have threads of their own, so others never wait."""
        ...


class GrpcHandler(Protocol):
    """Answers unary gRPC calls in a worker thread."""

    def call(self, path: str, body: Buffer, headers: Headers, *, must_be_brief: bool = False) -> GrpcReply:
        """Answer one call, or raise one of `pinyon.errors`; `NotBriefError` if it must be brief and would not be."""
        ...

    def is_brief(self, path: str) -> bool:
        """True if answering takes, or may take, less than handing the call to another thread would."""
        ...


@dataclass(frozen=True, slots=True)
class Gate:
    """What all ports of a server share. Requests that take a model are answered by `model_workers`."""

    authenticator: Authenticator
    admission: Admission
    workers: Workers
    model_workers: Workers
    clock: Clock
    ids: IdSource


class ClientGoneError(Exception):
    """The client closed its side before its request was complete. Nobody is left to answer."""


class Application:
    """The ASGI application of one port. `grpc` None: the port speaks REST only."""

    def __init__(self, gate: Gate, rest: RestHandler, grpc: GrpcHandler | None = None) -> None:
        """Serve `rest` and `grpc` behind `gate`."""
        self._gate = gate
        self._rest = rest
        self._grpc = grpc
        self._hands_over_until_s = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI calls it."""
        if scope["type"] != "http":
            return
        pairs = scope["headers"]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}
        if len(headers) != len(pairs):
            join_recalls(headers, pairs)
        exchange = _Exchange(scope, headers, receive, send, self._gate.ids.new_id(), self._gate.clock.monotonic_s())
        try:
            if headers.get("content-type", "").startswith("application/grpc"):
                await self._serve_grpc(exchange)
            else:
                await self._serve_rest(exchange)
        except ClientGoneError:
            log.debug("request_id=%s the client closed the connection", exchange.request_id)

    async def _serve_rest(self, exchange: "_Exchange") -> None:
        request = exchange.request(b"")
        is_brief = self._rest.is_brief(request.method, request.raw_path)
        takes_model = self._rest.takes_model(request.method, request.raw_path)
        workers = self._gate.model_workers if takes_model else self._gate.workers
        try:
            if request.raw_path == _HEALTH_PATH:
                response = Response(200, b'{"status":"ok"}')
            else:
                response = await self._answer(
                    exchange, lambda body, brief: self._rest.handle(exchange.request(body, brief)), is_brief, workers
                )
        except PinyonError as error:
            response = error_response(error, request)
        await _send_response(exchange, response, request, self._gate.clock)

    async def _serve_grpc(self, exchange: "_Exchange") -> None:
        path = exchange.scope["path"]
        try:
            if self._grpc is None:
                raise UnimplementedError("The control plane speaks REST only")
            handler = self._grpc
            # A compressed message may be a thousand times as large as its body.
            is_brief = handler.is_brief(path) and exchange.headers.get("grpc-encoding", "identity") == "identity"
            reply = await self._answer(
                exchange,
                lambda body, brief: handler.call(path, body, exchange.headers, must_be_brief=brief),
                is_brief,
                self._gate.workers,
            )
        except PinyonError as error:
            await _send_grpc_error(exchange, error)
        else:
            await _send_grpc(exchange, reply)

    async def _answer(self, exchange: "_Exchange", handle: _Handle, is_brief: bool, workers: Workers) -> Any:
        """Admit, authenticate, read and handle; every error that leaves is one of `pinyon.errors`."""
        gate = self._gate
        try:
            with gate.admission.admit() as ticket:
                gate.authenticator.authenticate(exchange.api_key)
                ApiVersion.check_supported(exchange.headers.get("x-pinecone-api-version"))
                chunks = await _read_body(exchange, ticket)
                if is_brief and ticket.reserved <= _BRIEF_BODY_BYTES:
                    with suppress(NotBriefError):
                        return self._answer_at_once(handle, chunks)
                # The worker holds the body, and with it the ticket, also when the client has gone.
                return await workers.run(ticket.hand_over(), _handle, handle, chunks, False)
        except (UnavailableError, DataLossError) as error:
            # What the operator must know of, and not only the client.
            if not isinstance(error, ClosedIndexError):
                log_event(log, logging.WARNING, "refused", reason=error.message, request_id=exchange.request_id)
            raise
        except (PinyonError, ClientGoneError):
            raise
        except Exception as error:
            log.exception("request_id=%s failed", exchange.request_id)
            raise InternalError(f"Internal error; request id {exchange.request_id}") from error

    def _answer_at_once(self, handle: "_Handle", chunks: list[bytes]) -> Any:
        """Handle in the loop what is brief, unless that took long lately: a slow disk must not keep all waiting."""
        clock = self._gate.clock
        started_s = clock.monotonic_s()
        if started_s < self._hands_over_until_s:
            raise NotBriefError
        try:
            return _handle(handle, chunks, True)
        finally:
            ended_s = clock.monotonic_s()
            if ended_s - started_s > _LONG_S:
                self._hands_over_until_s = ended_s + _HAND_OVER_S


@dataclass(frozen=True, slots=True)
class _Exchange:
    """One request and the way to answer it."""

    scope: Scope
    headers: Headers
    receive: Receive
    send: Send
    request_id: str
    started_s: float

    @property
    def api_key(self) -> bytes | None:
        """The key as sent; gRPC and REST use the same name."""
        key = self.headers.get("api-key")
        return None if key is None else key.encode("latin-1")

    def request(self, body: Buffer, must_be_brief: bool = False) -> Request:
        """The request as REST handlers see it."""
        return Request(
            method=self.scope["method"],
            raw_path=self.scope["raw_path"].decode("latin-1"),
            query_string=self.scope["query_string"].decode("latin-1"),
            headers=self.headers,
            body=body,
            must_be_brief=must_be_brief,
        )


async def _read_body(exchange: _Exchange, ticket: Ticket) -> list[bytes]:
    """The body in chunks, each counted as it comes: what is announced and never sent must keep nobody out."""
    announced = _announced_size(exchange.headers)
    ticket.check(announced)
    receive = exchange.receive
    chunks: list[bytes] = []
    size = reserved = 0
    # A tight loop, since a body of megabytes arrives in pieces of 8 KiB.
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk = message.get("body", b"")
        chunks.append(chunk)
        size += len(chunk)
        if size > reserved:
            reserved = max(size, min(announced, size + _RESERVED_AHEAD_BYTES))
            ticket.reserve(reserved)
        if not message.get("more_body", False):
            return chunks


def _announced_size(headers: Headers) -> int:
    """What the client says that its body will have; 0 where it says nothing. More than 18 digits are never true."""
    digits = headers.get("content-length", "")
    return int(digits[:18]) if digits.isdecimal() else 0


def _handle(handle: _Handle, chunks: list[bytes], must_be_brief: bool) -> Any:
    """Join the chunks of a body, in the worker thread unless it is brief, and handle it."""
    if len(chunks) == 1:
        return handle(chunks[0], must_be_brief)
    if sum(map(len, chunks)) < _LARGE_BODY_BYTES:
        return handle(b"".join(chunks), must_be_brief)
    # numpy lets other threads run while it copies, as `bytes.join` does not.
    return handle(np.concatenate([np.frombuffer(chunk, np.uint8) for chunk in chunks]).data, must_be_brief)


async def _send_response(exchange: _Exchange, response: Response, request: Request, clock: Clock) -> None:
    headers = response.headers | {
        "x-pinecone-request-id": exchange.request_id,
        "x-pinecone-api-version": request.api_version.value,
        "x-pinecone-request-latency-ms": str(int((clock.monotonic_s() - exchange.started_s) * 1000)),
        "content-length": str(len(response.body)),
    }
    if response.body:
        headers["content-type"] = response.content_type
    start = {"type": "http.response.start", "status": response.status, "headers": _encode_headers(headers)}
    await exchange.send(start)
    await exchange.send({"type": "http.response.body", "body": response.body})


async def _send_grpc(exchange: _Exchange, reply: GrpcReply) -> None:
    headers = {"content-type": "application/grpc", "x-pinecone-request-id": exchange.request_id} | reply.metadata
    start = {"type": "http.response.start", "status": 200, "headers": _encode_headers(headers), "trailers": True}
    await exchange.send(start)
    await exchange.send({"type": "http.response.body", "body": reply.body})
    await exchange.send({"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]})


async def _send_grpc_error(exchange: _Exchange, error: PinyonError) -> None:
    """Send an error as gRPC's "trailers-only": clients retry a call only while no other headers have come."""
    headers = {"content-type": "application/grpc"} | error_trailers(error, exchange.request_id)
    await exchange.send({"type": "http.response.start", "status": 200, "headers": _encode_headers(headers)})
    await exchange.send({"type": "http.response.body", "body": b""})


def _encode_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
