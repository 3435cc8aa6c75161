"""Requests that no client means: they are refused with a 4xx or 501, change nothing, and stall nobody else.

First both codecs without a socket, with bodies made by chance; then a real server, with bytes that are no HTTP.
"""

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinyon.errors import PinyonError
from pinyon.inference.registry import Registry
from pinyon.model.metric import Metric
from pinyon.service.inference import Inference
from pinyon.service.records import Records
from pinyon.wire.grpc.framing import frame
from pinyon.wire.grpc.servicer import GrpcRoutes
from pinyon.wire.http import Request
from pinyon.wire.rest.data_plane import DataPlaneRoutes
from pinyon.wire.status import status_of
from tests.codecs import data_plane
from tests.fuzz.hostile import JSON, NUMBERS, TEXTS, mutated
from tests.grpc_stubs import messages
from tests.server_process import ServerProcess

pb = messages()

FIELDS: Final = {
    "/vectors/upsert": ["vectors", "namespace"],
    "/query": ["topK", "vector", "sparseVector", "id", "filter", "namespace", "includeValues", "includeMetadata",
               "queries", "scanFactor", "maxCandidates"],
    "/vectors/fetch_by_metadata": ["filter", "namespace", "limit", "paginationToken"],
    "/vectors/update": ["id", "values", "sparseValues", "setMetadata", "namespace", "filter", "dryRun"],
    "/vectors/delete": ["ids", "deleteAll", "namespace", "filter"],
    "/describe_index_stats": ["filter"],
    "/namespaces": ["name", "schema"],
}  # fmt: skip
METHODS: Final = [method.name for method in pb.DESCRIPTOR.services_by_name["VectorService"].methods]
GOOD_BODIES: Final = {
    "/vectors/upsert": b'{"vectors":[{"id":"a","values":[0.5,1e-3],"sparseValues":{"indices":[1],"values":[2]},'
    b'"metadata":{"k":"\xc3\xa9","n":1,"l":["x"],"b":true}}],"namespace":"n"}',
    "/query": b'{"topK":3,"vector":[1,2],"filter":{"$and":[{"k":{"$in":["x","y"]}},{"n":{"$gt":1}}]},'
    b'"includeValues":true}',
    "/vectors/update": b'{"id":"a","values":[1,2],"setMetadata":{"k":null}}',
    "/vectors/delete": b'{"ids":["a","b"],"namespace":"n"}',
}


class Target:
    """An index with a record, of which any request is made in both spellings."""

    def __init__(self, dimension: int | None) -> None:
        self.plane = data_plane(dimension, Metric.DOTPRODUCT)
        self._rest = DataPlaneRoutes(self.plane, Records(self.plane, Inference(Registry([]))))
        self._grpc = GrpcRoutes(self.plane)
        record: dict[str, Any] = {"id": "kept", "sparseValues": {"indices": [1], "values": [1]}}
        body = {"vectors": [record | ({"values": [1, 2]} if dimension else {})]}
        assert self.rest("POST", "/vectors/upsert", json.dumps(body).encode()) == 200

    def rest(self, method: str, path: str, body: bytes, query: str = "") -> int:
        return self._checked(lambda: self._answer(Request(method, path, query, {}, body)))

    def grpc(self, method: str, message: bytes) -> int:
        return self._checked(lambda: self._call(f"/VectorService/{method}", frame([message])))

    def _answer(self, request: Request) -> int:
        response = self._rest.handle(request)
        if response.body:
            json.loads(response.body, parse_constant=pytest.fail)
            assert b'"score":null' not in response.body
        return response.status

    def _call(self, path: str, body: bytes) -> int:
        reply = self._grpc.call(path, body, {})
        assert reply.body[0] == 0
        return 200

    def _checked(self, act: Callable[[], int]) -> int:
        """Act; a refusal is a 4xx or 501 and leaves everything as it was."""
        before = self._state()
        try:
            return act()
        except PinyonError as error:
            refusal = error
        status = status_of(refusal).http
        assert 400 <= status < 500 or status == 501, repr(refusal)
        assert self._state() == before
        assert refusal.message.encode().decode() == refusal.message, "a text that JSON can carry"
        return status

    def _state(self) -> Any:
        return self.plane._index.record_counts()


@settings(max_examples=400)
@given(st.data())
def test_bodies_of_any_json(data):
    target = Target(data.draw(st.sampled_from([2, None])))
    for _ in range(3):
        path = data.draw(st.sampled_from(list(FIELDS)))
        fields = st.dictionaries(st.sampled_from(FIELDS[path]), JSON, max_size=4)
        body = data.draw(st.one_of(fields, fields, JSON))
        target.rest("POST", path, json.dumps(body).encode())


@settings(max_examples=300)
@given(st.data())
def test_upserts_of_any_records(data):
    target = Target(data.draw(st.sampled_from([2, None])))
    record = st.dictionaries(st.sampled_from(["id", "values", "metadata", "sparseValues", "sparse_values", "x"]), JSON)
    good = st.just({"id": "a", "values": [1, 2]})
    values = st.fixed_dictionaries(
        {"id": TEXTS, "values": st.lists(NUMBERS, min_size=2, max_size=2)}, optional={"metadata": JSON}
    )
    body = {"vectors": data.draw(st.lists(st.one_of(record, good, values), max_size=3))}
    target.rest("POST", "/vectors/upsert", json.dumps(body).encode())


@settings(max_examples=400)
@given(st.data())
def test_bodies_that_are_nearly_right(data):
    target = Target(2)
    path = data.draw(st.sampled_from(list(GOOD_BODIES)))
    target.rest("POST", path, data.draw(mutated(GOOD_BODIES[path])))


@settings(max_examples=200)
@given(st.sampled_from(["GET", "DELETE", "POST", "PUT"]), st.data())
def test_targets_of_any_kind(method, data):
    target = Target(2)
    segment = st.sampled_from(
        ["vectors", "namespaces", "fetch", "list", "delete", "documents", "records", "%2F", "%", "%zz", "", "..", "a"]
    )
    path = "/" + "/".join(data.draw(st.lists(segment, max_size=4)))
    query = data.draw(st.text("idslmt=&%é+;0123456789", max_size=20))
    target.rest(method, path, b"", query)
    target.rest("GET", "/vectors/list", b"", query)
    target.rest("GET", "/vectors/fetch", b"", "ids=" + query)


@settings(max_examples=500)
@given(st.sampled_from(METHODS), st.binary(max_size=60))
def test_messages_of_any_bytes(method, message):
    Target(2).grpc(method, message)


GOOD_MESSAGE: Final[bytes] = pb.UpsertRequest(
    vectors=[pb.Vector(id="a", values=[1, 2], sparse_values=pb.SparseValues(indices=[1, 300], values=[1, 2]))] * 2,
    namespace="n",
).SerializeToString()


@settings(max_examples=400)
@given(mutated(GOOD_MESSAGE), st.sampled_from([1, 12]))
def test_messages_that_are_nearly_right(message, repeats):
    Target(2).grpc("Upsert", message * repeats)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"vectors":' * 50_000,
        b'{"vectors":[{"id":"a","values":[1,2],"metadata":{"a":' + b"[" * 1000 + b"]" * 1000 + b"}}]}",
        b'{"vectors":[{"id":"a","values":[1,2],"metadata":' + b'{"a":' * 1010 + b"1" + b"}" * 1010 + b"}]}",
        b'{"vectors":[{"id":"a","values":[1,2],"metadata":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}]}",
        b'{"vectors":[' + b"{}," * 300_000 + b"{}]}",
        b'{"vectors":[{"id":"' + b"x" * 1_000_000 + b'","values":[1,2]}]}',
        b'{"vectors":[{"id":"a","values":[1,2],"metadata":{"' + b"k" * 1_000_000 + b'":1}}]}',
        b'{"vectors":[{"id":"a","values":[' + b"9" * 100_000 + b",2]}]}",
        b'{"vectors":[{"id":"a","values":[1e' + b"9" * 100_000 + b",2]}]}",
        b'{"vectors":[{"id":"\\ud800","values":[1,2]}]}',
        b'{"vectors":[{"id":"a","values":[1,2],"metadata":{"k":"\\udfff"}}]}',
        b'{"vectors":[{"id":"\xff","values":[1,2]}]}',
        b'{"vectors":[{"id":"a","values":[NaN,2]}]}',
        b'{"vectors":[{"id":"a","values":[Infinity,2]}]}',
        b'{"' + b"k" * 1_000_000 + b'":1}',
        b'{"vectors":[{"id":"a","values":[1,2]}]}\0',
        b'{"vectors":[{"id":"a","values":[1,2]}],}',
        b"\xef\xbb\xbf",
        b"\x1f\x8b\x08\0",
        b"",
    ],
    ids=lambda body: f"{body[:40]!r} {len(body)}",
)
def test_bodies_that_are_known_to_hurt(body):
    assert Target(2).rest("POST", "/vectors/upsert", body) == 400


@pytest.mark.parametrize("depth", [60, 70, 1000, 100_000])
@pytest.mark.parametrize("opening", ['{"$and":[', '{"$not":', '{"a":{"$not":', '{"a":['])
def test_filters_of_any_depth(opening, depth):
    closing = "".join({"{": "}", "[": "]"}[letter] for letter in reversed(opening) if letter in "{[")
    body = '{"topK":1,"vector":[1,2],"filter":' + opening * depth + '{"a":1}' + closing * depth + "}"
    assert Target(2).rest("POST", "/query", body.encode()) in (200, 400)


def test_a_repeated_key_is_no_way_around_a_rule():
    target = Target(2)
    for body in (
        b'{"vectors":[{"id":"a","id":"\\u00e9","values":[1,2]}]}',
        b'{"vectors":[{"id":"a","values":[1,2],"values":[[1],[2]]}]}',
        b'{"vectors":[{"id":"a","values":[1,2],"metadata":{"a":1,"a":{}}}]}',
        b'{"vectors":[{"id":"a","values":[1,2]}],"vectors":[]}',
    ):
        target.rest("POST", "/vectors/upsert", body)
        stored = {record.id: record.dense.tolist() for record in records_of(target)}
        assert stored.keys() <= {"kept", "a"}
        assert stored.get("a", [1, 2]) == [1, 2]


def records_of(target: Target) -> list[Any]:
    return target.plane._index.read("__default__", ["kept", "a"])[1]


# A real server.


class Wire:
    """A running server with one index, and ways to send it bytes."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        spec = {"serverless": {"cloud": "aws", "region": "us-east-1"}}
        body = {"name": "i", "dimension": 2, "metric": "cosine", "spec": spec}
        self.port = int(server.request("POST", "/indexes", body)["host"].rpartition(":")[2])
        self.ok("POST", "/vectors/upsert", {"vectors": [{"id": "kept", "values": [1, 2]}]})

    def ok(self, method: str, path: str, body: Any = None) -> Any:
        status, payload = self.send(method, path, None if body is None else json.dumps(body).encode())
        assert status == 200, payload
        return json.loads(payload)

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            sent = {"Api-Key": "k"} | {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def raw(self, sent: bytes) -> bytes:
        """Send bytes, close the sending side, and return all that comes back."""
        received = b""
        with self.connect() as connection, suppress(ConnectionError):
            connection.sendall(sent)
            with suppress(OSError):  # "not connected", which is no ConnectionError: the server has hung up already
                connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                received += part
        return received


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    with ServerProcess(folder / "data", index_count=2) as server:
        yield Wire(server)
    assert " failed" not in server.log
    assert "Traceback" not in server.log


@pytest.fixture(autouse=True)
def nothing_changes(request: pytest.FixtureRequest) -> Iterator[None]:
    if "wire" not in request.fixturenames:
        yield
        return
    wire = request.getfixturevalue("wire")
    before = wire.ok("POST", "/describe_index_stats", {})
    yield
    assert wire.server.is_running
    assert wire.ok("POST", "/describe_index_stats", {}) == before


HEAD: Final = b"POST /vectors/upsert HTTP/1.1\r\nHost: x\r\nApi-Key: k\r\n"
RECORD: Final = b'{"vectors":[{"id":"new","values":[1,2]}]}'


@pytest.mark.parametrize(
    "sent",
    [
        b"\0" * 100,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 100,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /vectors/upsert HTTP/1.1\r\n",
        HEAD,
        HEAD + b"Content-Length: 100\r\n\r\n" + RECORD,
        HEAD + b"Content-Length: 5\r\n\r\n" + RECORD,
        HEAD + b"Content-Length: -5\r\n\r\n" + RECORD,
        HEAD + b"Content-Length: x\r\n\r\n" + RECORD,
        HEAD + b"Content-Length: 1" + b"0" * 5000 + b"\r\n\r\n" + RECORD,
        HEAD + b"Content-Length: 41\r\nContent-Length: 42\r\n\r\n" + RECORD,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + RECORD,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n29\r\n" + RECORD,
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n29\r\n" + RECORD[:10],
        HEAD + b"Transfer-Encoding: gzip\r\n\r\n" + RECORD,
        HEAD + b"X: " + b"y" * 3_000_000,
        HEAD + b"bad header\r\n\r\n",
        b"POST /vectors/\xff\xfe HTTP/1.1\r\nHost: x\r\nApi-Key: k\r\nContent-Length: 0\r\n\r\n",
        b"GET http://other/vectors/list HTTP/1.1\r\nHost: x\r\nApi-Key: k\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\nApi-Key: k\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 200,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0" + b"\xff\xff\xff\x01\x05\0\0\0\x01" + b"x" * 50,
    ],
    ids=lambda sent: repr(sent[-60:])[:70],
)
def test_bytes_that_are_no_request(wire, sent):
    """They change nothing; where they are answered at all, it is not with a defect of the server."""
    received = wire.raw(sent)
    if received.startswith(b"HTTP/1."):
        status = int(received.split()[1])
        assert status < 500 or status in (501, 505), received[:300]


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("announced", ["content-length", "chunked"])
def test_a_refusal_reaches_a_client_that_is_still_sending(wire, key, announced):
    """Answered before the body was read: the client must see the answer, not a connection that breaks."""
    size = 130 * 1024 * 1024 if key else 8 * 1024 * 1024
    head = b"POST /vectors/upsert HTTP/1.1\r\nHost: x\r\n" + (b"Api-Key: k\r\n" if key else b"")
    head += (
        b"Content-Length: %d\r\n\r\n" % size if announced == "content-length" else b"Transfer-Encoding: chunked\r\n\r\n"
    )
    piece = b"x" * (1024 * 1024)
    with wire.connect() as connection:
        connection.sendall(head)
        sender = threading.Thread(target=send_all, args=(connection, piece, size // len(piece), announced == "chunked"))
        sender.start()
        status = connection.recv(12)
        connection.shutdown(socket.SHUT_RDWR)
        sender.join()
    assert status == (b"HTTP/1.1 413" if key else b"HTTP/1.1 401")


def send_all(connection: socket.socket, piece: bytes, count: int, is_chunked: bool) -> None:
    with suppress(OSError):
        for _ in range(count):
            connection.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n" if is_chunked else piece)


def test_connections_that_are_open_and_silent_stall_nobody(wire):
    beginnings = [
        b"",
        b"P",
        HEAD,
        HEAD + b"Content-Length: 134217728\r\n\r\n{",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
    ]
    silent = []
    try:
        for number in range(100):
            connection = wire.connect()
            connection.sendall(beginnings[number % len(beginnings)])
            silent.append(connection)
        for _ in range(20):
            wire.ok("POST", "/query", {"topK": 1, "vector": [1, 2]})
    finally:
        for connection in silent:
            connection.close()


def test_a_thousand_long_ids_fit_into_a_url(wire):
    ids = "&".join("ids=" + "%2F" * 509 + f"{number:03}" for number in range(1000))
    assert wire.ok("GET", f"/vectors/fetch?{ids}")["vectors"] == {}


ODD_ID: Final = "".join(map(chr, range(1, 128)))


@pytest.mark.parametrize("id_", [ODD_ID, "..", "a/../b", "%2e%2e", "\r\n", "#?&=+"])
def test_odd_ids_come_back_through_a_real_url(wire, id_):
    from urllib.parse import quote

    escaped = quote(id_, safe="")
    wire.ok("POST", "/vectors/upsert", {"vectors": [{"id": id_, "values": [1, 2]}], "namespace": id_})
    assert list(wire.ok("GET", f"/vectors/fetch?ids={escaped}&namespace={escaped}")["vectors"]) == [id_]
    assert wire.ok("GET", f"/vectors/list?namespace={escaped}&prefix={escaped}")["vectors"] == [{"id": id_}]
    if id_ == "..":
        escaped = "%2E%2E"
    assert wire.ok("GET", f"/namespaces/{escaped}")["name"] == id_
    assert wire.ok("DELETE", f"/namespaces/{escaped}") == {}


# gRPC frames. HTTP/2 is spoken by grpcio, with its own serialisers left out.


@pytest.fixture(scope="module")
def channel(wire: Wire) -> Iterator[Any]:
    import grpc

    with grpc.insecure_channel(f"127.0.0.1:{wire.port}") as channel:
        yield channel


def call(channel: Any, path: str, message: bytes, *metadata: tuple[str, str], timeout: float = 20.0) -> Any:
    """The status code's name of a call."""
    import grpc

    try:
        channel.unary_unary(path)(message, timeout=timeout, metadata=[("api-key", "k"), *metadata])
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


@pytest.mark.parametrize(
    ("path", "message", "code"),
    [
        ("/VectorService/Nothing", b"", "UNIMPLEMENTED"),
        ("/other.Service/Query", b"", "UNIMPLEMENTED"),
        ("/x", b"", "UNIMPLEMENTED"),
        ("/VectorService/Query", b"\xff" * 100, "INVALID_ARGUMENT"),
        ("/VectorService/Upsert", b"", "INVALID_ARGUMENT"),
        ("/VectorService/Upsert", b"\x0a\xff\xff\xff\xff\x0f", "INVALID_ARGUMENT"),
        ("/VectorService/Upsert", b"\x0a\x00" * 2000, "INVALID_ARGUMENT"),
        ("/VectorService/Delete", pb.DeleteRequest(ids=["a"], namespace="nowhere").SerializeToString(), "NOT_FOUND"),
        ("/VectorService/DescribeIndexStats", b"", "OK"),
    ],
)
def test_statuses_of_calls(wire, channel, path, message, code):
    assert call(channel, path, message) == code


def test_a_call_without_a_key(wire, channel):
    import grpc

    with pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary("/VectorService/Query")(b"x" * 3_000_000, timeout=20)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert refused.value.details() == "Missing API Key"
    assert "x-pinecone-request-id" in dict(refused.value.trailing_metadata())


def test_a_message_may_be_gzip(wire):
    import grpc

    with grpc.insecure_channel(f"127.0.0.1:{wire.port}", compression=grpc.Compression.Gzip) as channel:
        message = pb.QueryRequest(top_k=1, id="kept" * 100).SerializeToString()
        assert call(channel, "/VectorService/Query", message) == "OK"
    with grpc.insecure_channel(f"127.0.0.1:{wire.port}", compression=grpc.Compression.Deflate) as channel:
        assert call(channel, "/VectorService/Query", message) == "UNIMPLEMENTED"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"\0\0\0\0",
        b"\0\0\0\0\x05abc",
        b"\0\0\0\0\x01ab",
        b"\x01\0\0\0\x02ab",
        b"\x02\0\0\0\0",
        b"\xff\xff\xff\xff\xff",
        struct.pack(">BI", 0, 2**32 - 1),
        b"\0\0\0\0\0" * 2,
    ],
)
def test_frames_that_are_wrong(wire, body):
    """Over HTTP/1.1, where a test can write any frame: the status is in the headers."""
    connection = HTTPConnection("127.0.0.1", wire.port, timeout=20)
    headers = {"Api-Key": "k", "Content-Type": "application/grpc", "Grpc-Encoding": "gzip"}
    connection.request("POST", "/VectorService/DescribeIndexStats", body, headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    assert (response.status, response.getheader("grpc-status")) in {(200, "3"), (200, "11")}


# Everybody at once.


def test_many_threads_of_mixed_traffic(wire):
    failures: list[Any] = []

    def work(number: int) -> None:
        name = f"thread-{number}"
        vectors = [{"id": str(row), "values": [row + 1, number], "metadata": {"n": row}} for row in range(20)]
        for round_ in range(8):
            for method, path, body in (
                ("POST", "/vectors/upsert", {"vectors": vectors, "namespace": name}),
                ("POST", "/query", {"topK": 5, "vector": [1, 2], "namespace": name, "filter": {"n": {"$gt": round_}}}),
                ("GET", f"/vectors/fetch?ids=1&ids=2&namespace={name}", None),
                ("POST", "/vectors/update", {"id": "1", "setMetadata": {"m": round_}, "namespace": name}),
                ("POST", "/vectors/update", {"filter": {"n": 2}, "setMetadata": {"m": 1}, "namespace": name}),
                ("POST", "/vectors/delete", {"ids": ["3"], "namespace": name}),
                ("GET", f"/vectors/list?namespace={name}", None),
                ("POST", "/vectors/upsert", {"vectors": [{"id": "bad"}], "namespace": name}),
                ("POST", "/describe_index_stats", {}),
            ):
                status, payload = wire.send(method, path, None if body is None else json.dumps(body).encode())
                expected = 400 if body == {"vectors": [{"id": "bad"}], "namespace": name} else 200
                if status not in (expected, 429):
                    failures.append((status, path, payload))
        wire.send("DELETE", f"/namespaces/{name}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
