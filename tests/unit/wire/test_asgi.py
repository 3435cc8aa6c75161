"""The ASGI application alone: what it admits, reads, sends and hides, with a handler that does what a test says."""

import asyncio
import json
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from pinyon.errors import (
    InvalidArgumentError,
    NotBriefError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)
from pinyon.service.admission import Admission
from pinyon.service.auth import Authenticator
from pinyon.wire.asgi import Application, Gate
from pinyon.wire.grpc.reply import GrpcReply
from pinyon.wire.http import Request, Response
from pinyon.wire.workers import Workers
from tests.unit.service.fake_indexes import CountingIds, FakeClock

KEY = {"api-key": "key"}
GRPC = {"content-type": "application/grpc", "api-key": "key"}


@dataclass
class Handler:
    """REST and gRPC in one: answers with `answer`, which may raise, and remembers what it was asked."""

    answer: Callable[[Any], Any] = bytes
    brief: bool = False
    takes_long: bool = False
    seen: list[Any] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)

    def handle(self, request: Request) -> Response:
        self._begin(must_be_brief=request.must_be_brief)
        self.seen.append(request)
        return Response(200, self.answer(request.body), {"x-own": "1"})

    def call(self, path: str, body: Any, headers: dict[str, str], *, must_be_brief: bool = False) -> GrpcReply:
        self._begin(must_be_brief=must_be_brief)
        self.seen.append((path, bytes(body), headers))
        return GrpcReply(self.answer(body), {"x-pinecone-request-lsn": "7"})

    def is_brief(self, *_: str) -> bool:
        return self.brief

    def _begin(self, *, must_be_brief: bool) -> None:
        self.threads.append(threading.current_thread().name)
        if must_be_brief and self.takes_long:
            raise NotBriefError

    def takes_model(self, method: str, path: str) -> bool:
        return path.startswith("/records")


@dataclass
class Exchange:
    """One request and what was sent for it. A chunk None stands for a client that went away."""

    path: str = "/query"
    headers: dict[str, str] = field(default_factory=lambda: dict(KEY))
    chunks: Sequence[bytes | None] = (b"",)
    method: str = "POST"
    query_string: bytes = b""
    repeated: Sequence[tuple[bytes, bytes]] = ()
    sent: list[dict[str, Any]] = field(default_factory=list)
    read: int = 0
    before_read: Callable[[], Awaitable[Any]] | None = None

    async def run(self, application: Application) -> None:
        scope = {
            "type": "http",
            "method": self.method,
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": self.query_string,
            "headers": [
                *((name.encode(), value.encode("latin-1")) for name, value in self.headers.items()),
                *self.repeated,
            ],
        }
        await application(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        if self.before_read is not None:
            await self.before_read()
        chunk = self.chunks[self.read]
        self.read += 1
        if chunk is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": self.read < len(self.chunks)}

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def sent_headers(self) -> dict[str, str]:
        return decoded(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent if message["type"] == "http.response.body")


def decoded(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    names = [name for name, _ in headers]
    assert len(names) == len(set(names))
    return {name.decode(): value.decode("latin-1") for name, value in headers}


def talk(
    *exchanges: Exchange,
    handler: Handler | None = None,
    speaks_grpc: bool = True,
    keys: Sequence[str] = (),
    admission: Admission | None = None,
    clock: FakeClock | None = None,
) -> Handler:
    """Run exchanges at once against one application; returns the handler that it used."""
    handler = handler or Handler()
    admission = admission or Admission(requests_max=10, bytes_max=1000, request_bytes_max=1000)

    async def run() -> None:
        async with Workers(2) as workers, Workers(1, name="model") as model_workers:
            gate = Gate(Authenticator(keys), admission, workers, model_workers, clock or FakeClock(), CountingIds())
            application = Application(gate, handler, handler if speaks_grpc else None)
            await asyncio.gather(*(exchange.run(application) for exchange in exchanges))

    asyncio.run(run())
    return handler


def talk_to_one(exchange: Exchange, **options: Any) -> Exchange:
    talk(exchange, **options)
    return exchange


# Where a request is answered.


def exchanges(grpc: bool, count: int = 1) -> list[Exchange]:
    headers = KEY | ({"content-type": "application/grpc"} if grpc else {})
    return [Exchange(headers=dict(headers)) for _ in range(count)]


@pytest.mark.parametrize("grpc", [False, True])
def test_what_is_brief_is_answered_in_the_loop(grpc):
    (only,) = exchanges(grpc)
    assert talk(only, handler=Handler(brief=True)).threads == ["MainThread"]
    assert only.status == 200
    assert talk(*exchanges(grpc), handler=Handler(brief=False)).threads == ["worker-0"]


@pytest.mark.parametrize("grpc", [False, True])
def test_what_proves_not_to_be_brief_is_handed_over(grpc):
    (only,) = exchanges(grpc)
    handler = talk(only, handler=Handler(brief=True, takes_long=True))
    assert handler.threads == ["MainThread", "worker-0"]
    assert (only.status, len(handler.seen)) == (200, 1)


class SettableClock(FakeClock):
    """A clock that others set."""

    seconds = 0.0

    def monotonic_s(self) -> float:
        return self.seconds


@pytest.mark.parametrize(("took_s", "then"), [(0.01, "MainThread"), (0.5, "worker-0")])
def test_after_an_answer_that_took_long_others_are_handed_over(took_s, then):
    clock = SettableClock()

    def answer(body):
        clock.seconds += took_s
        return bytes(body)

    handler = talk(*exchanges(False, 2), handler=Handler(answer, brief=True), clock=clock)
    assert handler.threads == ["MainThread", then]


def test_after_a_second_the_loop_is_trusted_again():
    clock = SettableClock()

    def answer(body):
        clock.seconds += 1.5 if len(handler.threads) == 2 else 0.5
        return bytes(body)

    handler = Handler(answer, brief=True)
    first, second, third = exchanges(False, 3)

    async def wait_for_two():
        while len(handler.threads) < 2 or clock.seconds < 2:
            await asyncio.sleep(0.001)

    third.before_read = wait_for_two
    talk(first, second, third, handler=handler, clock=clock)
    assert handler.threads == ["MainThread", "worker-0", "MainThread"]


# REST.


@pytest.mark.parametrize("brief", [False, True])
@pytest.mark.parametrize(
    "chunks",
    [(b"abc",), (b"a", b"bc"), (b"abc", b""), (b"", b"abc"), (b"",), [b"x"] * 500, [b"y" * 1000] * 500 + [b""]],
)
def test_a_body_comes_in_chunks(chunks, brief):
    admission = Admission(requests_max=1, bytes_max=10**6, request_bytes_max=10**6)
    exchange = talk_to_one(Exchange(chunks=chunks), handler=Handler(brief=brief), admission=admission)
    assert exchange.body == b"".join(chunks)
    assert exchange.read == len(chunks)


def test_a_request_reaches_its_handler_as_it_was_sent():
    headers = KEY | {"x-pinecone-api-version": "2025-04", "x-odd": "é"}
    exchange = Exchange("/namespaces/a%2Fb%20c", headers, (b"body",), "DELETE", b"ids=a%20b")
    (request,) = talk(exchange).seen
    assert (request.method, request.raw_path, request.query_string) == ("DELETE", "/namespaces/a%2Fb%20c", "ids=a%20b")
    assert (bytes(request.body), request.headers) == (b"body", headers)


def test_an_answer_has_the_headers_of_all_answers():
    exchange = talk_to_one(Exchange(headers=KEY | {"x-pinecone-api-version": "2025-04"}, chunks=(b"12345",)))
    assert (exchange.status, exchange.body) == (200, b"12345")
    assert exchange.sent_headers == {
        "content-length": "5",
        "content-type": "application/json",
        "x-own": "1",
        "x-pinecone-api-version": "2025-04",
        "x-pinecone-request-id": f"{1:032x}",
        "x-pinecone-request-latency-ms": "0",
    }


def test_an_empty_answer_has_no_content_type():
    headers = talk_to_one(Exchange()).sent_headers
    assert headers["content-length"] == "0"
    assert "content-type" not in headers


@pytest.mark.parametrize("brief", [False, True])
@pytest.mark.parametrize("path", ["/query", "/indexes"])
def test_an_error_is_answered_in_the_shape_of_its_path(path, brief):
    def refuse(_: Any) -> Any:
        raise NotFoundError("no such thing")

    exchange = talk_to_one(Exchange(path), handler=Handler(refuse, brief))
    body = json.loads(exchange.body)
    assert (exchange.status, exchange.sent_headers["content-type"]) == (404, "application/json")
    assert "x-pinecone-request-id" in exchange.sent_headers
    assert "no such thing" in (body["message"] if path == "/query" else body["error"]["message"])


@pytest.mark.parametrize("brief", [False, True])
@pytest.mark.parametrize("failure", [ValueError, RecursionError, MemoryError, KeyError, AssertionError])
def test_a_defect_is_hidden_from_the_caller_and_logged(caplog, failure, brief):
    def fail(_: Any) -> Any:
        raise failure("the secret")

    rest, grpc = Exchange(), Exchange("/VectorService/Query", GRPC)
    talk(rest, grpc, handler=Handler(fail, brief))
    assert rest.status == 500
    assert rest.sent_headers["x-pinecone-request-id"] in json.loads(rest.body)["message"]
    assert grpc.sent_headers["grpc-status"] == "13"
    assert "secret" not in repr(rest.sent + grpc.sent)
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    # Two threads answer them, in whichever order.
    for exchange in (rest, grpc):
        assert exchange.sent_headers["x-pinecone-request-id"] in "".join(
            record.getMessage() for record in caplog.records
        )
    assert "the secret" in caplog.text


@pytest.mark.parametrize("chunks", [(None,), (b"a", None), (b"a", b"b", None)])
@pytest.mark.parametrize("headers", [KEY, GRPC])
def test_a_client_that_goes_away_is_not_answered_and_not_handled(caplog, chunks, headers):
    admission = Admission(requests_max=1, bytes_max=10, request_bytes_max=10)
    exchange = Exchange(headers=headers | {"content-length": "10"}, chunks=chunks)
    handler = talk(exchange, admission=admission)
    assert (exchange.sent, handler.seen) == ([], [])
    assert caplog.records == []
    with admission.admit() as ticket:
        ticket.reserve(10)


# Keys.


@pytest.mark.parametrize(
    ("key", "text"), [(None, b"Missing API Key"), ("", b"Missing API Key"), ("no", b"Invalid API Key")]
)
def test_a_wrong_key_is_refused_before_the_body_is_read(key, text):
    sent = {} if key is None else {"api-key": key}
    rest = Exchange(headers=sent)
    grpc = Exchange("/VectorService/Query", sent | {"content-type": "application/grpc"})
    handler = talk(rest, grpc, keys=["key"])
    assert (rest.status, rest.body, rest.sent_headers["content-type"]) == (401, text, "text/plain")
    assert (grpc.status, grpc.sent_headers["grpc-status"]) == (200, "16")
    assert (rest.read, grpc.read, handler.seen) == (0, 0, [])


@pytest.mark.parametrize(("version", "status"), [("2026-01.alpha", 400), ("unstable", 200), ("2026-07", 200)])
def test_previews_are_refused_and_other_versions_are_not(version, status):
    assert talk_to_one(Exchange(headers={"api-key": "k", "x-pinecone-api-version": version})).status == status


def test_health_needs_no_key():
    exchange = talk_to_one(Exchange("/health", {}, method="GET"), keys=["key"])
    assert (exchange.status, exchange.body) == (200, b'{"status":"ok"}')


# Admission.


def test_one_request_too_many_is_refused_before_its_body_is_read():
    admission = Admission(requests_max=1, bytes_max=10, request_bytes_max=10)
    with admission.admit():
        rest, grpc = Exchange(), Exchange("/VectorService/Query", GRPC)
        handler = talk(rest, grpc, admission=admission)
    assert (rest.status, rest.sent_headers["retry-after"]) == (429, "1")
    assert json.loads(rest.body)["code"] == 8
    assert grpc.sent_headers["grpc-status"] == "8"
    assert (grpc.sent_headers["retry-after"], grpc.sent_headers["grpc-retry-pushback-ms"]) == ("1", "1000")
    assert (rest.read, grpc.read, handler.seen) == (0, 0, [])


@pytest.mark.parametrize("headers", [{"content-length": "11"}, {}, {"content-length": "1" + "0" * 5000}])
def test_a_body_that_is_too_large_is_refused(headers):
    admission = Admission(requests_max=9, bytes_max=100, request_bytes_max=10)
    rest = Exchange(headers=KEY | headers, chunks=(b"123456", b"78901", b"never"))
    grpc = Exchange("/VectorService/Query", GRPC | headers, chunks=(b"123456", b"78901", b"never"))
    handler = talk(rest, grpc, admission=admission)
    assert rest.status == 413
    assert "the limit is: 10 bytes" in json.loads(rest.body)["message"]
    assert grpc.sent_headers["grpc-status"] == "11"
    assert handler.seen == []
    assert rest.read == grpc.read == (0 if headers else 2)


def test_bodies_that_are_too_large_together_are_refused_with_429():
    admission = Admission(requests_max=9, bytes_max=10, request_bytes_max=10)
    with admission.admit() as other:
        other.reserve(5)
        exchange = talk_to_one(Exchange(chunks=(b"12345", b"6", b"never")), admission=admission)
        assert (exchange.status, exchange.read) == (429, 2)
        assert talk_to_one(Exchange(chunks=(b"12345",)), admission=admission).status == 200


def test_what_a_client_announces_but_does_not_send_keeps_nobody_out():
    """Else two idle connections would be enough to have everyone else refused."""
    large = 64 * 1024 * 1024
    admission = Admission(requests_max=9, bytes_max=large, request_bytes_max=large)
    busy = Exchange(headers=KEY | {"content-length": "4000000"}, chunks=[b"x" * 8192] * 400)

    async def until_the_other_is_answered() -> None:
        while not busy.sent:
            await asyncio.sleep(0)

    idle = Exchange(
        headers=KEY | {"content-length": str(large)}, chunks=(None,), before_read=until_the_other_is_answered
    )
    talk(idle, busy, admission=admission)
    assert busy.status == 200


def test_places_are_given_back_whatever_happens():
    admission = Admission(requests_max=2, bytes_max=10, request_bytes_max=10)
    outcomes: list[Any] = [InvalidArgumentError("no"), ValueError("no"), None]

    def fail(_: Any) -> Any:
        outcome = outcomes.pop()
        if outcome is not None:
            raise outcome
        return b""

    for _ in range(3):
        talk(Exchange(chunks=(b"1234567890",)), handler=Handler(fail), admission=admission)
    with admission.admit() as ticket, admission.admit():
        ticket.reserve(10)


# gRPC.


def test_a_grpc_answer_ends_with_its_status_in_trailers():
    exchange = Exchange("/VectorService/Query", GRPC | {"x-pinecone-api-version": "2025-10"}, (b"fra", b"me"))
    handler = talk(exchange)
    assert handler.seen == [("/VectorService/Query", b"frame", exchange.headers)]
    start, body, trailers = exchange.sent
    assert (start["status"], start["trailers"]) == (200, True)
    assert decoded(start["headers"]) == {
        "content-type": "application/grpc",
        "x-pinecone-request-id": f"{1:032x}",
        "x-pinecone-request-lsn": "7",
    }
    assert body == {"type": "http.response.body", "body": b"frame"}
    assert trailers == {"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]}


def test_a_grpc_error_is_trailers_only():
    """Older clients retry a call only when its headers are its trailers: nothing was sent before the status."""

    def refuse(_: Any) -> Any:
        raise UnavailableError("a “disk” is full\n100 %")

    exchange = talk_to_one(Exchange("/VectorService/Upsert", GRPC), handler=Handler(refuse))
    start, body = exchange.sent
    assert start["status"] == 200
    assert not start.get("trailers")
    assert decoded(start["headers"]) == {
        "content-type": "application/grpc",
        "grpc-status": "14",
        "grpc-message": "a %E2%80%9Cdisk%E2%80%9D is full%0A100 %25",
        "x-pinecone-request-id": f"{1:032x}",
    }
    assert body == {"type": "http.response.body", "body": b""}


def test_a_full_queue_tells_grpc_clients_when_to_come_again():
    def refuse(_: Any) -> Any:
        raise ResourceExhaustedError("full", retry_after_s=0.5)

    headers = talk_to_one(Exchange("/VectorService/Upsert", GRPC), handler=Handler(refuse)).sent_headers
    assert (headers["grpc-status"], headers["grpc-retry-pushback-ms"], headers["retry-after"]) == ("8", "500", "0.5")


@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc+proto"])
def test_the_control_plane_speaks_no_grpc(content_type):
    exchange = talk_to_one(Exchange("/VectorService/Query", KEY | {"content-type": content_type}), speaks_grpc=False)
    assert (exchange.sent_headers["grpc-status"], exchange.status) == ("12", 200)


def test_requests_that_take_a_model_have_threads_of_their_own():
    threads = []

    def answer(body: Any) -> bytes:
        threads.append(threading.current_thread().name.partition("-")[0])
        return bytes(body)

    handler = Handler(answer)
    for path in ("/records/namespaces/a/search", "/query"):
        talk_to_one(Exchange(path), handler=handler)
    assert threads == ["model", "worker"]


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
def test_other_protocols_are_ignored(kind):
    async def unused(*_: Any) -> Any:
        raise AssertionError("nothing is to be said")

    async def run() -> None:
        async with Workers(1) as workers:
            gate = Gate(Authenticator(), Admission(1, 1, 1), workers, workers, FakeClock(), CountingIds())
            await Application(gate, Handler())({"type": kind}, unused, unused)

    asyncio.run(run())


# Headers that come more than once.


@pytest.mark.parametrize("sent", [KEY, GRPC])
@pytest.mark.parametrize(("second", "shown"), [("1", "0.5, 1"), ("0.5", "0.5, 0.5"), ("", "0.5, ")])
def test_a_recall_that_is_given_twice_is_shown_as_both(sent, second, shown):
    headers = {"x-pinyon-target-recall": "0.5", **sent}
    (seen,) = talk(Exchange(headers=headers, repeated=[(b"x-pinyon-target-recall", second.encode())])).seen
    assert (seen[2] if sent is GRPC else seen.headers)["x-pinyon-target-recall"] == shown


def test_of_other_headers_the_last_counts():
    headers = {"x-pinyon-target-recall": "0.5", "x-note": "one", **KEY}
    (seen,) = talk(Exchange(headers=headers, repeated=[(b"x-note", b"two")])).seen
    assert (seen.headers["x-note"], seen.headers["x-pinyon-target-recall"]) == ("two", "0.5")
    (seen,) = talk(Exchange(headers={"x-note": "one", **KEY}, repeated=[(b"x-note", b"two")])).seen
    assert "x-pinyon-target-recall" not in seen.headers
