"""Real ports on loopback: binding, both protocols on one of them, and what h2corn must do for clients of gRPC."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from pinyon.clock import RandomIds, SystemClock
from pinyon.errors import PermissionDeniedError, PinyonError, ResourceExhaustedError, UnavailableError
from pinyon.service.admission import Admission
from pinyon.service.auth import Authenticator
from pinyon.wire.asgi import Application, Gate
from pinyon.wire.grpc.reply import GrpcReply
from pinyon.wire.http import Request, Response
from pinyon.wire.listeners import Listener, ListenOptions, bind, bind_first_free
from pinyon.wire.workers import Workers

LOOPBACK: Final = "127.0.0.1"
RETRY_POLICY: Final = {
    "methodConfig": [
        {
            "name": [{"service": "VectorService"}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "0.1s",
                "backoffMultiplier": 1,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
"""As in the official Python clients up to 8, but that it does not wait longer each time. With much shorter waits grpcio
itself loses calls, whatever the server."""


class Handler:
    """Answers both protocols with the body, after the errors that it was given, one a request."""

    def __init__(self, *errors: PinyonError) -> None:
        self.errors = list(errors)
        self.count = 0
        self.entered = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def handle(self, request: Request) -> Response:
        return Response(200, self._next(request.body))

    def call(self, path: str, body: Any, headers: dict[str, str], *, must_be_brief: bool = False) -> GrpcReply:
        return GrpcReply(
            self._next(body), {"x-pinecone-request-lsn": "7", "path": path, "kind": headers["content-type"]}
        )

    def is_brief(self, *_: str) -> bool:
        return False

    def takes_model(self, *_: str) -> bool:
        return False

    def _next(self, body: Any) -> bytes:
        self.count += 1
        self.entered.set()
        assert self.may_answer.wait(20)
        if self.errors:
            raise self.errors.pop(0)
        return bytes(body)


def serve(handler: Handler, client: Callable[[int], Any], *, keys: Sequence[str] = ()) -> Any:
    """Serve `handler` on a port, run `client(port)` in a thread meanwhile, stop, and return what the client did."""

    async def run() -> Any:
        sockets = bind(LOOPBACK, 0)
        port = sockets[0].getsockname()[1]
        async with Workers(4) as workers:
            admission = Admission(requests_max=50, bytes_max=10**8, request_bytes_max=10**7)
            gate = Gate(Authenticator(keys), admission, workers, workers, SystemClock(), RandomIds())
            listener = Listener(Application(gate, handler, handler), sockets, ListenOptions(LOOPBACK, None, 20.0))
            await listener.start()
            try:
                return await asyncio.to_thread(client, port)
            finally:
                await listener.stop()

    return asyncio.run(run())


def post(port: int, body: bytes, path: str = "/query") -> tuple[int, str, dict[str, str], bytes]:
    connection = HTTPConnection(LOOPBACK, port, timeout=20)
    try:
        connection.request("POST", path, body, {"Api-Key": "key"})
        response = connection.getresponse()
        return response.status, response.reason, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def call(port: int, message: bytes = b"message", *, policy: Any = None) -> Any:
    """One gRPC call: the response with the initial metadata, or the RpcError."""
    options: list[tuple[str, Any]] = [("grpc.max_receive_message_length", -1)]
    if policy is not None:
        options += [("grpc.enable_retries", 1), ("grpc.service_config", json.dumps(policy))]
    with grpc.insecure_channel(f"{LOOPBACK}:{port}", options=options) as channel:
        method = channel.unary_unary("/VectorService/Upsert")
        try:
            response, made = method.with_call(message, timeout=20, metadata=[("api-key", "key")])
        except grpc.RpcError as error:
            return error
        return response, dict(made.initial_metadata())


# Binding.


def test_a_port_that_is_taken_is_an_error_of_the_caller() -> None:
    first = bind(LOOPBACK, 0)
    port = first[0].getsockname()[1]
    try:
        with pytest.raises(UnavailableError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use"):
            bind(LOOPBACK, port)
        second_port, second = bind_first_free(LOOPBACK, [port, 0])
        assert second_port == 0
        for each in second:
            each.close()
        with pytest.raises(PermissionDeniedError, match="no port is left"):
            bind_first_free(LOOPBACK, [port])
    finally:
        for each in first:
            each.close()
    for each in bind(LOOPBACK, port):
        each.close()


def test_a_host_that_is_not_ours_is_an_error_of_the_caller() -> None:
    with pytest.raises(UnavailableError, match=r"cannot listen on 192\.0\.2\.1:0"):
        bind("192.0.2.1", 0)
    with pytest.raises(UnavailableError, match=r"cannot listen on no-such-host\.invalid:0"):
        bind("no-such-host.invalid", 0)


def test_an_address_that_the_machine_does_not_have_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """In many containers localhost is also ::1 by name, and no interface has that address."""
    kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    addresses = [(*kind, ("192.0.2.1", 0)), (*kind, (LOOPBACK, 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    sockets = bind("localhost", 0)
    assert [each.getsockname()[0] for each in sockets] == [LOOPBACK]
    for each in sockets:
        each.close()


def test_a_port_is_free_again_after_a_stop() -> None:
    port = serve(Handler(), lambda port: port)
    for each in bind(LOOPBACK, port):
        each.close()


# Both protocols.


def test_rest_and_grpc_share_a_port() -> None:
    rest, (message, metadata) = serve(Handler(), lambda port: (post(port, b"body"), call(port)))
    status, reason, headers, body = rest
    assert (status, reason, body) == (200, "OK", b"body")
    assert headers["content-length"] == "4"
    assert message == b"message"
    assert (metadata["x-pinecone-request-lsn"], metadata["path"]) == ("7", "/VectorService/Upsert")


@pytest.mark.parametrize("size", [0, 1, 100_000, 9_000_000])
def test_bodies_of_any_size_come_through(size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    rest, (message, _) = serve(Handler(), lambda port: (post(port, body), call(port, body)))
    assert (rest[0], rest[3]) == (200, body)
    assert message == body


def test_a_refusal_of_a_body_that_is_not_read_reaches_its_client() -> None:
    rest, error = serve(Handler(), lambda port: (post(port, b"x" * 11_000_000), call(port, b"x" * 11_000_000)))
    assert rest[:2] == (413, "Payload Too Large")
    assert error.code() is grpc.StatusCode.OUT_OF_RANGE
    assert "the limit is: 10000000 bytes" in error.details()


def test_a_wrong_key_reaches_a_client_with_a_large_body() -> None:
    rest, error = serve(
        Handler(), lambda port: (post(port, b"x" * 9_000_000), call(port, b"x" * 9_000_000)), keys=["k"]
    )
    assert (rest[0], rest[3]) == (401, b"Invalid API Key")
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAUTHENTICATED, "Invalid API Key")


# Errors of gRPC.


def test_an_error_of_grpc_carries_its_text_and_hints() -> None:
    error = serve(Handler(ResourceExhaustedError("full: “5 %”\n", retry_after_s=0.25)), call)
    assert (error.code(), error.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "full: “5 %”\n")
    trailers = dict(error.trailing_metadata())
    assert (trailers["retry-after"], trailers["grpc-retry-pushback-ms"]) == ("0.25", "250")
    assert trailers["x-pinecone-request-id"]


def test_older_clients_call_again_when_the_server_is_unavailable() -> None:
    """They retry only an answer of trailers alone."""
    handler = Handler(*[UnavailableError("the disk is full")] * 2)
    message, _ = serve(handler, lambda port: call(port, policy=RETRY_POLICY))
    assert (message, handler.count) == (b"message", 3)


def test_clients_do_not_call_again_for_other_errors() -> None:
    handler = Handler(*[PermissionDeniedError("no")] * 3)
    error = serve(handler, lambda port: call(port, policy=RETRY_POLICY))
    assert (error.code(), handler.count) == (grpc.StatusCode.PERMISSION_DENIED, 1)


# Stopping.


@pytest.mark.parametrize(
    "send", [lambda port: post(port, b"message")[3], lambda port: call(port)[0]], ids=["REST", "gRPC"]
)
def test_a_stop_finishes_the_requests_in_flight(send: Callable[[int], Any]) -> None:
    handler = Handler()
    handler.may_answer.clear()
    answers: list[Any] = []
    client = threading.Thread(target=lambda: answers.append(send(ports[0])))
    ports: list[int] = []

    def begin(port: int) -> None:
        ports.append(port)
        client.start()
        assert handler.entered.wait(20)
        threading.Timer(0.05, handler.may_answer.set).start()

    serve(handler, begin)
    client.join(20)
    assert answers == [b"message"]


def test_many_calls_at_once_on_one_connection() -> None:
    def client(port: int) -> list[bytes]:
        with grpc.insecure_channel(f"{LOOPBACK}:{port}") as channel:
            method = channel.unary_unary("/VectorService/Upsert")
            made = [method.future(b"%d" % number, timeout=20, metadata=[("api-key", "k")]) for number in range(40)]
            return [each.result() for each in made]

    assert serve(Handler(), client) == [b"%d" % number for number in range(40)]


def test_nothing_is_announced(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """h2corn would print a banner for every port."""
    serve(Handler(), lambda port: post(port, b""))
    assert capfd.readouterr() == ("", "")
