"""A real server, killed while texts are being embedded: a request of text is there whole, or not at all."""

import http.client
import json
import threading
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.server_process import ServerProcess

WRITERS = 4
RECORDS_PER_REQUEST = 12
ROUNDS = 3
ACKNOWLEDGED_BEFORE_THE_KILL = 4
TIMEOUT_S = 60

WORDS = [
    "orchard",
    "harvest",
    "blossom",
    "climate",
    "soil",
    "region",
    "market",
    "cellar",
    "cider",
    "variety",
    "rootstock",
    "pollination",
]


def text_of(id_: str) -> str:
    """What a record says: a function of its id."""
    digits = [int(digit) for part in id_.split("-")[1:] for digit in part]
    return " ".join(WORDS[digit % len(WORDS)] for digit in digits * 8)


def batch_named(name: str) -> tuple[str, ...]:
    return tuple(f"{name}-{record}" for record in range(RECORDS_PER_REQUEST))


def post(server: ServerProcess, address: str, path: str, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
    try:
        connection.request("POST", path, body, {"Api-Key": server.api_key, "X-Pinecone-Api-Version": "2025-10"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def upsert(server: ServerProcess, address: str, batch: tuple[str, ...]) -> int:
    lines = (json.dumps({"_id": id_, "source_text": text_of(id_)}) for id_ in batch)
    return post(server, address, "/records/namespaces/n/upsert", "\n".join(lines).encode())[0]


def search(server: ServerProcess, address: str, text: str, top_k: int) -> list[dict[str, Any]]:
    query = {"query": {"inputs": {"text": text}, "top_k": top_k}}
    status, body = post(server, address, "/records/namespaces/n/search", json.dumps(query).encode())
    assert status == 200, body
    hits: list[dict[str, Any]] = json.loads(body)["result"]["hits"]
    return hits


class Load:
    """Writers of text, until the server is gone."""

    def __init__(self, server: ServerProcess, address: str, name: str) -> None:
        self.acknowledged: list[tuple[str, ...]] = []
        self.sent: list[tuple[str, ...]] = []
        self._server = server
        self._address = address
        self._name = name
        self._changed = threading.Condition()

    def write(self, writer: int) -> None:
        number = 0
        with suppress(OSError, http.client.HTTPException):
            while True:
                batch = batch_named(f"{self._name}-{writer}-{number}")
                with self._changed:
                    self.sent.append(batch)
                assert upsert(self._server, self._address, batch) == 201
                with self._changed:
                    self.acknowledged.append(batch)
                    self._changed.notify_all()
                number += 1

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.acknowledged) >= count, TIMEOUT_S)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["all-MiniLM-L6-v2", "bm25-english"])
def test_a_kill_while_texts_are_embedded_leaves_requests_whole(tmp_path: Path, model: str) -> None:
    with ServerProcess(tmp_path / "data") as server:
        embed = {"model": model, "field_map": {"text": "source_text"}}
        index = {"name": "texts", "cloud": "aws", "region": "us-east-1", "embed": embed}
        created, body = post(
            server, f"localhost:{server.port}", "/indexes/create-for-model", json.dumps(index).encode()
        )
        assert created == 201, body
        address = urllib.parse.urlsplit(json.loads(body)["host"]).netloc
        sent, acknowledged = [], []
        for number in range(ROUNDS):
            load = Load(server, address, f"r-{number}")
            with ThreadPoolExecutor(WRITERS) as pool:
                writers = [pool.submit(load.write, writer) for writer in range(WRITERS)]
                load.wait_for(ACKNOWLEDGED_BEFORE_THE_KILL)
                server.kill()
                for writer in writers:
                    writer.result(TIMEOUT_S)
            sent += load.sent
            acknowledged += load.acknowledged
            server.start()
        hits = search(server, address, " ".join(WORDS), top_k=10_000)
        there = {hit["_id"]: hit["fields"] for hit in hits}
        assert all(there[id_] == {"source_text": text_of(id_)} for batch in acknowledged for id_ in batch)
        assert all(sum(id_ in there for id_ in batch) in (0, len(batch)) for batch in sent)
        assert len(there) <= sum(map(len, sent))
