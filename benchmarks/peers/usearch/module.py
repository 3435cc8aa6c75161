"""Raw usearch: a graph over int8 or float32, its candidates rescored by the float32 vectors that came in."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from usearch.index import Index  # type: ignore[import,unused-ignore]

from benchmarks.peers.in_process import Library, NoWires
from benchmarks.peers.protocol import Batch, Floats, Schema, Where
from benchmarks.peers.workload import score

METRICS = {"cosine": "ip", "dotproduct": "ip", "euclidean": "l2sq"}


class Usearch(Library):
    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options

    def create(self, schema: Schema) -> None:
        if self._options["dtype"] == "i8" and schema.metric != "cosine":
            raise ValueError("int8 is for vectors of unit length")
        self._metric = schema.metric
        self._vectors = np.empty((schema.row_count, schema.dimension), np.float32)
        self._index = Index(
            ndim=schema.dimension,
            # By angle for int8: its products of two rows are not those of the floats.
            metric="cos" if schema.metric == "cosine" else METRICS[schema.metric],
            dtype=self._options["dtype"],
            connectivity=self._options["connectivity"],
            expansion_add=self._options["expansion_add"],
            expansion_search=1,
        )

    def insert(self, encoded: bytes | Batch) -> None:
        assert isinstance(encoded, Batch)
        rows = encoded.rows
        self._vectors[rows.start : rows.stop] = encoded.vectors
        self._index.add(np.arange(rows.start, rows.stop, dtype=np.uint64), encoded.vectors, threads=1)

    def session(self, effort: float | None) -> "UsearchSession":
        return UsearchSession(self._index, self._vectors, self._metric, int(effort or 64))

    def versions(self) -> dict[str, str]:
        return {"usearch": version("usearch")}


class UsearchSession(NoWires):
    def __init__(self, index: Any, vectors: Floats, metric: str, count: int) -> None:
        self._index, self._vectors, self._metric, self._count = index, vectors, metric, count

    def encode(self, query: Floats, top_k: int, where: Where | None) -> tuple[Floats, int]:
        if where is not None:
            raise NotImplementedError("usearch has no filters")
        return query, top_k

    def query(self, request: tuple[Floats, int]) -> Any:
        query, top_k = request
        rows = self._index.search(query, self._count, threads=1).keys.astype(np.int64)
        scores = score(self._metric, query[None, :], self._vectors[rows])[0]
        return rows[np.argsort(-scores)[:top_k]]


def open_peer(folder: Path, options: dict[str, Any]) -> Usearch:
    return Usearch(options)
