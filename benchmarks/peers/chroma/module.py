"""Chroma's server, over REST."""

import base64
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.peers.processes import Server, free_port, wait_until_idle
from benchmarks.peers.protocol import Batch, Floats, Schema, Where
from benchmarks.peers.rest import Connection, Connections

COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
SPACES = {"cosine": "cosine", "euclidean": "l2", "dotproduct": "ip"}


class Chroma:
    insert_clients = 4

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self._options = options
        self._folder = folder
        self._effort: float | None = None
        self._port = free_port()
        self._connections = Connections(self._port)
        self._start()

    def _start(self) -> None:
        program = Path(sys.executable).parent / "chroma"
        arguments: list[str | Path] = ["--path", self._folder / "data", "--host", "127.0.0.1"]
        command = [program, "run", *arguments, "--port", str(self._port)]
        self._server = Server(command, self._folder / "server.log", {"ANONYMIZED_TELEMETRY": "False"})
        self._server.wait_until(lambda: bool(self._connections.mine.call("GET", "/api/v2/heartbeat")))

    def create(self, schema: Schema) -> None:
        self._dimension = schema.dimension
        hnsw = {"space": SPACES[schema.metric], **self._options}
        body = {"name": "bench", "configuration": {"hnsw": hnsw}}
        self._path = f"{COLLECTIONS}/{self._connections.mine.call('POST', COLLECTIONS, body)['id']}"

    def encode_insert(self, batch: Batch) -> bytes | Batch:
        body = {
            "ids": [str(row) for row in batch.rows],
            "embeddings": [base64.b64encode(vector.astype("<f4").tobytes()).decode() for vector in batch.vectors],
            "metadatas": batch.metadata,
        }
        return json.dumps(body).encode()

    def insert(self, encoded: bytes | Batch) -> None:
        assert isinstance(encoded, bytes)
        self._connections.mine.send("POST", f"{self._path}/add", encoded)

    def wait_until_indexed(self) -> None:
        # What the index does not have yet is added when somebody asks.
        body = {"query_embeddings": [[0.1] * self._dimension]}
        self._connections.mine.call("POST", f"{self._path}/query", body)
        wait_until_idle(self.server_pids())

    def session(self, effort: float | None) -> "ChromaSession":
        if effort is not None and effort != self._effort:
            body = {"new_configuration": {"hnsw": {"ef_search": int(effort)}}}
            self._connections.mine.call("PUT", self._path, body)
            # It holds from the next loading of the index on.
            self._server.stop()
            self._start()
            self._effort = effort
        return ChromaSession(self._port, self._path)

    def server_pids(self) -> list[int]:
        return [self._server.pid]

    def versions(self) -> dict[str, str]:
        return {"chromadb": version("chromadb")}

    def stop(self) -> None:
        self._server.stop()


class ChromaSession:
    def __init__(self, port: int, path: str) -> None:
        self._connection = Connection(port)
        self._path = f"{path}/query"

    def encode(self, query: Floats, top_k: int, where: Where | None) -> bytes:
        body: dict[str, Any] = {"query_embeddings": [query.tolist()], "n_results": top_k, "include": ["distances"]}
        if where is not None:
            body["where"] = {where.field: where.value}
        return json.dumps(body).encode()

    def query(self, request: bytes) -> bytes:
        return self._connection.send("POST", self._path, request)

    def rows(self, answer: bytes) -> list[int]:
        return [int(each) for each in json.loads(answer)["ids"][0]]

    def close(self) -> None:
        self._connection.close()


def open_peer(folder: Path, options: dict[str, Any]) -> Chroma:
    return Chroma(folder, options)
