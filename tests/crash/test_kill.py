"""A real server, stopped by force or by request under parallel upserts: what was acknowledged is there afterwards.

A kill leaves the kernel's cache alive, so this shows less than a power cut does (`test_engine_crash.py`), but of the
whole server: sockets, threads, files and locks as they are.
"""

import http.client
import json
import random
import socket
import threading
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.server_process import ServerProcess

WRITERS = 6
RECORDS_PER_REQUEST = 5
DIMENSION = 8
ROUNDS = 6
FETCHED_AT_ONCE = 100
TIMEOUT_S = 30

Batch = tuple[str, ...]
"""The ids of one request."""


def values_of(id_: str) -> list[float]:
    """What a record holds: a function of its id."""
    return [float(number) for number in random.Random(id_).choices(range(1, 1000), k=DIMENSION)]


def metadata_of(id_: str) -> dict[str, Any]:
    return {"id": id_, "length": len(id_)}


def upsert_body(batch: Batch) -> bytes:
    vectors = [{"id": id_, "values": values_of(id_), "metadata": metadata_of(id_)} for id_ in batch]
    return json.dumps({"vectors": vectors, "namespace": "n"}).encode()


class Connection:
    """One kept-alive connection to an index."""

    def __init__(self, server: ServerProcess, host: str) -> None:
        self._http = http.client.HTTPConnection(urllib.parse.urlsplit(host).netloc, timeout=TIMEOUT_S)
        self._headers = {"Api-Key": server.api_key, "Content-Type": "application/json"}

    def send(self, method: str, path: str, body: bytes | None = None) -> None:
        self._http.request(method, path, body, self._headers)

    def receive(self) -> tuple[int, Any]:
        response = self._http.getresponse()
        return response.status, json.loads(response.read())

    def get(self, path: str) -> Any:
        self.send("GET", path)
        status, body = self.receive()
        assert status == 200, body
        return body

    def close(self) -> None:
        self._http.close()


class Load:
    """Writers that upsert until the server is gone, and what each of them was told.

    Attributes:
        acknowledged: batches that were answered with 200.
        unanswered: batches that were sent and got no answer.
        refused: status codes of other answers.
    """

    def __init__(self, server: ServerProcess, host: str, name: str) -> None:
        self.acknowledged: list[Batch] = []
        self.unanswered: list[Batch] = []
        self.refused: list[int] = []
        self._server = server
        self._host = host
        self._name = name
        self._answered = threading.Condition()
        self._in_flight: dict[int, Batch] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write with all writers; at the end wait until each of them has met the end of the server."""
        with ThreadPoolExecutor(WRITERS) as pool:
            writers = [pool.submit(self._write, number) for number in range(WRITERS)]
            yield
            for writer in writers:
                writer.result(TIMEOUT_S)

    def wait_for(self, acknowledgements: int) -> None:
        """Wait until so many requests have been acknowledged in all."""
        with self._answered:
            assert self._answered.wait_for(lambda: len(self.acknowledged) >= acknowledgements, TIMEOUT_S)

    def in_flight(self) -> set[Batch]:
        """Requests that have been sent and not been answered yet."""
        with self._answered:
            return set(self._in_flight.values())

    def _write(self, writer: int) -> None:
        connection = Connection(self._server, self._host)
        number = 0
        while True:
            batch = tuple(f"{self._name}-{writer}-{number}-{record}" for record in range(RECORDS_PER_REQUEST))
            if not self._upsert(connection, writer, batch):
                connection.close()
                return
            number += 1

    def _upsert(self, connection: Connection, writer: int, batch: Batch) -> bool:
        body = upsert_body(batch)
        try:
            connection.send("POST", "/vectors/upsert", body)
            self._set_in_flight(writer, batch)
            status, answer = connection.receive()
        except (OSError, http.client.HTTPException):
            with self._answered:
                self.unanswered.append(batch)
            return False
        with self._answered:
            del self._in_flight[writer]
            if status == 200:
                assert answer == {"upsertedCount": RECORDS_PER_REQUEST}
                self.acknowledged.append(batch)
            else:
                self.refused.append(status)
            self._answered.notify_all()
        return status == 200

    def _set_in_flight(self, writer: int, batch: Batch) -> None:
        with self._answered:
            self._in_flight[writer] = batch


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path / "data", index_count=2) as server:
        yield server


def create_index(server: ServerProcess) -> str:
    """Create an index and return where it is served."""
    body = {
        "name": "records",
        "dimension": DIMENSION,
        "metric": "euclidean",
        "spec": {"serverless": {"cloud": "aws", "region": "us-east-1"}},
    }
    host: str = server.request("POST", "/indexes", body, headers={"X-Pinecone-Api-Version": "2025-01"})["host"]
    return server.base_url(host)


def found_in(server: ServerProcess, host: str, ids: list[str]) -> dict[str, Any]:
    """The records of `ids` that are there."""
    connection = Connection(server, host)
    found: dict[str, Any] = {}
    for start in range(0, len(ids), FETCHED_AT_ONCE):
        query = urllib.parse.urlencode({"ids": ids[start : start + FETCHED_AT_ONCE], "namespace": "n"}, doseq=True)
        found |= connection.get(f"/vectors/fetch?{query}")["vectors"]
    connection.close()
    return found


def check(server: ServerProcess, host: str, load: Load) -> int:
    """Every acknowledged record is there and right, of the others all of a request or none; how many are there."""
    batches = load.acknowledged + load.unanswered
    found = found_in(server, host, [id_ for batch in batches for id_ in batch])
    lost = [id_ for batch in load.acknowledged for id_ in batch if id_ not in found]
    assert not lost, f"{len(lost)} acknowledged records are lost: {lost[:10]}"
    for batch in load.unanswered:
        assert len(found.keys() & set(batch)) in (0, RECORDS_PER_REQUEST), "half of a request is there"
    for id_, record in found.items():
        assert (record["values"], record["metadata"]) == (values_of(id_), metadata_of(id_)), id_
    return len(found)


def record_count(server: ServerProcess, host: str) -> int:
    connection = Connection(server, host)
    count: int = connection.get("/describe_index_stats")["totalVectorCount"]
    connection.close()
    return count


@pytest.mark.slow
def test_no_kill_loses_an_acknowledged_record(server: ServerProcess) -> None:
    host = create_index(server)
    rng = random.Random(1)
    loads: list[Load] = []
    for round_number in range(ROUNDS):
        load = Load(server, host, str(round_number))
        with load.running():
            load.wait_for(acknowledgements=rng.randint(1, 150))
            server.kill()
        assert load.refused == []
        loads.append(load)
        server.start()
        assert record_count(server, host) == sum(check(server, host, each) for each in loads)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_a_stop_answers_every_request_in_flight_and_keeps_what_it_acknowledged(
    server: ServerProcess, seed: int
) -> None:
    host = create_index(server)
    load = Load(server, host, "stop")
    with load.running():
        load.wait_for(acknowledgements=random.Random(seed).randint(50, 200))
        in_flight = stop_with_requests_in_flight(server, load)
    assert not in_flight & set(load.unanswered)
    assert load.refused == []
    server.start()
    # What came too late to be answered was not done either: the server took it no more.
    assert check(server, host, load) == len(load.acknowledged) * RECORDS_PER_REQUEST == record_count(server, host)


def stop_with_requests_in_flight(server: ServerProcess, load: Load) -> set[Batch]:
    """Stop the server at a moment at which requests had been sent; returns those."""
    while not (in_flight := load.in_flight()):
        pass
    assert server.stop() == 0
    return in_flight


def test_a_stop_may_come_while_an_index_with_half_a_request_is_deleted(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", arguments=["--stop-timeout-s", "1"]) as server:
        spec = {"serverless": {"cloud": "aws", "region": "us-east-1"}}
        index = server.request("POST", "/indexes", {"name": "i", "dimension": DIMENSION, "spec": spec})
        address = urllib.parse.urlsplit(index["host"])
        with socket.create_connection((address.hostname, address.port)) as half, ThreadPoolExecutor(1) as pool:
            half.sendall(b"POST /vectors/upsert HTTP/1.1\r\nHost: x\r\nApi-Key: k\r\nContent-Length: 100\r\n\r\n{")
            deleted = pool.submit(server.request, "DELETE", "/indexes/i")
            while server.request("GET", "/indexes")["indexes"]:
                assert not deleted.done(), "the index is deleted, then its port is closed"
            assert server.stop() == 0
            # The answer may have been cut off, but not left out without an end.
            with suppress(OSError, http.client.HTTPException):
                deleted.result(TIMEOUT_S)
