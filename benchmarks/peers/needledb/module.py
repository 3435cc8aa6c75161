"""NeedleDB's server, over REST."""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.peers.processes import Server, free_port, wait_until_idle
from benchmarks.peers.protocol import Batch, Floats, Schema, Where
from benchmarks.peers.rest import Connection, Connections

PATH = "/indexes/bench"


class NeedleDb:
    insert_clients = 4

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self._options = options
        self._port = free_port()
        arguments: list[str | Path] = [
            "--data",
            folder / "data",
            "--host",
            "127.0.0.1",
            "--port",
            str(self._port),
            "--no-auth",
        ]
        self._server = Server([sys.executable, "-m", "needledb", "serve", *arguments], folder / "server.log")
        self._connections = Connections(self._port)
        self._server.wait_until(lambda: self._connections.mine.call("GET", "/health")["status"] == "ok")

    def create(self, schema: Schema) -> None:
        body = {"name": "bench", "dimension": schema.dimension, "metric": schema.metric}
        self._connections.mine.call("POST", "/indexes", body | {"index_type": self._options["index_type"]})

    def encode_insert(self, batch: Batch) -> bytes | Batch:
        vectors = [
            {"id": str(row), "values": values.tolist(), "metadata": metadata}
            for row, values, metadata in zip(batch.rows, batch.vectors, batch.metadata, strict=True)
        ]
        return json.dumps({"vectors": vectors}).encode()

    def insert(self, encoded: bytes | Batch) -> None:
        assert isinstance(encoded, bytes)
        self._connections.mine.send("POST", f"{PATH}/vectors/upsert", encoded)

    def wait_until_indexed(self) -> None:
        while self._connections.mine.call("GET", PATH)["status"]["state"] != "Ready":
            time.sleep(0.1)
        # Ready is said before the last of the background's work, as snapshots.
        wait_until_idle(self.server_pids())

    def session(self, effort: float | None) -> "NeedleDbSession":
        return NeedleDbSession(self._port, effort)

    def server_pids(self) -> list[int]:
        return [self._server.pid]

    def versions(self) -> dict[str, str]:
        return {"needledb": version("needledb"), "faiss-cpu": version("faiss-cpu")}

    def stop(self) -> None:
        self._server.stop()


class NeedleDbSession:
    def __init__(self, port: int, effort: float | None) -> None:
        self._connection = Connection(port)
        self._effort = effort

    def encode(self, query: Floats, top_k: int, where: Where | None) -> bytes:
        body: dict[str, Any] = {"vector": query.tolist(), "topK": top_k}
        if self._effort is not None:
            body["efSearch"] = int(self._effort)
        if where is not None:
            body["filter"] = {where.field: where.value}
        return json.dumps(body).encode()

    def query(self, request: bytes) -> bytes:
        return self._connection.send("POST", f"{PATH}/query", request)

    def rows(self, answer: bytes) -> list[int]:
        return [int(match["id"]) for match in json.loads(answer)["matches"]]

    def close(self) -> None:
        self._connection.close()


def open_peer(folder: Path, options: dict[str, Any]) -> NeedleDb:
    return NeedleDb(folder, options)
