"""qdrant-edge: Qdrant's engine in process."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import qdrant_edge as edge  # type: ignore[import,unused-ignore]

from benchmarks.peers.in_process import Library, NoWires
from benchmarks.peers.protocol import Batch, Floats, Schema, Where

INDEXING_THRESHOLD_KIB = 1000
DISTANCES = {
    "cosine": edge.Distance.Cosine,
    "euclidean": edge.Distance.Euclid,
    "dotproduct": edge.Distance.Dot,
}


class QdrantEdge(Library):
    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self._folder = folder / "shard"
        self._options = options
        self._shard: Any = None

    def create(self, schema: Schema) -> None:
        quantisation = None
        if self._options.get("quantised"):
            quantisation = edge.ScalarQuantizationConfig(edge.ScalarType.Int8, memory=edge.Memory.Pinned)
        self._folder.mkdir()
        self._shard = edge.EdgeShard.create(
            str(self._folder),
            edge.EdgeConfig(
                vectors=edge.EdgeVectorParams(schema.dimension, DISTANCES[schema.metric]),
                hnsw_config=edge.HnswIndexConfig(
                    self._options["m"], self._options["ef_construct"], INDEXING_THRESHOLD_KIB
                ),
                quantization_config=quantisation,
                optimizers=edge.EdgeOptimizersConfig(indexing_threshold=INDEXING_THRESHOLD_KIB),
            ),
        )
        for field in schema.filter_fields:
            self._shard.update(edge.UpdateOperation.create_field_index(field, edge.PayloadSchemaType.Keyword))

    def insert(self, encoded: bytes | Batch) -> None:
        assert isinstance(encoded, Batch)
        points = [
            edge.Point(row, vector, metadata)
            for row, vector, metadata in zip(encoded.rows, encoded.vectors.tolist(), encoded.metadata, strict=True)
        ]
        self._shard.update(edge.UpdateOperation.upsert_points(points))

    def wait_until_indexed(self) -> None:
        self._shard.optimize()

    def session(self, effort: float | None) -> "QdrantEdgeSession":
        return QdrantEdgeSession(self._shard, effort)

    def versions(self) -> dict[str, str]:
        return {"qdrant-edge-py": version("qdrant-edge-py")}

    def stop(self) -> None:
        if self._shard is not None:
            self._shard.close()


class QdrantEdgeSession(NoWires):
    def __init__(self, shard: Any, effort: float | None) -> None:
        self._shard = shard
        self._params = None if effort is None else edge.SearchParams(hnsw_ef=int(effort))

    def encode(self, query: Floats, top_k: int, where: Where | None) -> Any:
        matches = None
        if where is not None:
            matches = edge.Filter(must=[edge.FieldCondition(where.field, match=edge.MatchValue(where.value))])
        nearest = edge.Query.Nearest(query.tolist())
        return edge.QueryRequest(top_k, query=nearest, filter=matches, params=self._params, with_payload=False)

    def query(self, request: Any) -> Any:
        return self._shard.query(request)

    def rows(self, answer: Any) -> list[int]:
        return [point.id for point in answer]


def open_peer(folder: Path, options: dict[str, Any]) -> QdrantEdge:
    return QdrantEdge(folder, options)
