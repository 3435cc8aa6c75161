"""Pinyon's server, over REST or gRPC."""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc

from benchmarks.peers.pinyon import messages
from benchmarks.peers.processes import Server, free_port
from benchmarks.peers.protocol import Batch, Floats, Schema, Where
from benchmarks.peers.rest import TIMEOUT_S, Connection, Connections

KEY = "benchmark"
HEADERS = {"Api-Key": KEY}
SERVICE = "/VectorService"


class Pinyon:
    insert_clients = 4

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self._is_grpc = options["protocol"] == "grpc"
        self._effort_header: str = options["effort_header"]
        port, index_port = free_port(), free_port()
        arguments: list[str | Path] = [
            "--data-dir",
            folder / "data",
            "--port",
            str(port),
            "--index-ports",
            f"{index_port}-{index_port}",
        ]
        command = [sys.executable, "-m", "pinyon", "serve", *arguments, *options["arguments"]]
        self._server = Server(command, folder / "server.log")
        self._control = Connection(port, HEADERS)
        self._server.wait_until(lambda: self._control.call("GET", "/indexes") is not None)

    def create(self, schema: Schema) -> None:
        spec = {"serverless": {"cloud": "aws", "region": "us-east-1"}}
        body = {"name": "bench", "dimension": schema.dimension, "metric": schema.metric, "spec": spec}
        host = self._control.call("POST", "/indexes", body)["host"]
        self._port = int(host.rpartition(":")[2])
        self._connections = Connections(self._port, HEADERS)
        self._channel = _channel(self._port)
        self._upsert = self._channel.unary_unary(f"{SERVICE}/Upsert")

    def encode_insert(self, batch: Batch) -> bytes | Batch:
        if self._is_grpc:
            return messages.upsert_request(batch)
        vectors = [
            {"id": str(row), "values": values.tolist(), "metadata": metadata}
            for row, values, metadata in zip(batch.rows, batch.vectors, batch.metadata, strict=True)
        ]
        return json.dumps({"vectors": vectors}).encode()

    def insert(self, encoded: bytes | Batch) -> None:
        assert isinstance(encoded, bytes)
        if self._is_grpc:
            self._upsert(encoded, metadata=(("api-key", KEY),), timeout=TIMEOUT_S)
        else:
            self._connections.mine.send("POST", "/vectors/upsert", encoded)

    def wait_until_indexed(self) -> None:
        """Until all is flushed, merged and has its graphs."""
        while not self._control.call("GET", "/pinyon/report")["indexes"][0]["is_settled"]:
            time.sleep(0.2)

    def session(self, effort: float | None) -> "RestSession | GrpcSession":
        header = {} if effort is None else {self._effort_header: str(effort)}
        return GrpcSession(self._port, header) if self._is_grpc else RestSession(self._port, header)

    def server_pids(self) -> list[int]:
        return [self._server.pid]

    def versions(self) -> dict[str, str]:
        return {"pinyon": version("pinyon")}

    def stop(self) -> None:
        self._server.stop()


class RestSession:
    def __init__(self, port: int, header: dict[str, str]) -> None:
        self._connection = Connection(port, HEADERS | header)

    def encode(self, query: Floats, top_k: int, where: Where | None) -> bytes:
        body: dict[str, Any] = {"vector": query.tolist(), "topK": top_k}
        if where is not None:
            body["filter"] = {where.field: where.value}
        return json.dumps(body).encode()

    def query(self, request: bytes) -> bytes:
        return self._connection.send("POST", "/query", request)

    def rows(self, answer: bytes) -> list[int]:
        return [int(match["id"]) for match in json.loads(answer)["matches"]]

    def close(self) -> None:
        self._connection.close()


class GrpcSession:
    def __init__(self, port: int, header: dict[str, str]) -> None:
        self._metadata = (("api-key", KEY), *((name.lower(), value) for name, value in header.items()))
        self._channel = _channel(port)
        self._query = self._channel.unary_unary(f"{SERVICE}/Query")

    def encode(self, query: Floats, top_k: int, where: Where | None) -> bytes:
        return messages.query_request(query, top_k, where)

    def query(self, request: bytes) -> bytes:
        answer: bytes = self._query(request, metadata=self._metadata, timeout=TIMEOUT_S)
        return answer

    def rows(self, answer: bytes) -> list[int]:
        return [int(each) for each in messages.matched_ids(answer)]

    def close(self) -> None:
        self._channel.close()


def _channel(port: int) -> Any:
    # A pool of its own: channels to one address share a connection otherwise, and every client shall have its own.
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.insecure_channel(f"127.0.0.1:{port}", options=options)


def open_peer(folder: Path, options: dict[str, Any]) -> Pinyon:
    return Pinyon(folder, options)
