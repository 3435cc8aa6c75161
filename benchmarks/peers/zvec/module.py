"""zvec, in process."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import zvec  # type: ignore[import,unused-ignore]

from benchmarks.peers.in_process import Library, NoWires
from benchmarks.peers.protocol import Batch, Floats, Schema, Where

METRICS = {
    "cosine": zvec.MetricType.COSINE,
    "euclidean": zvec.MetricType.L2,
    "dotproduct": zvec.MetricType.IP,
}


class Zvec(Library):
    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self._folder = folder / "collection"
        self._options = options

    def create(self, schema: Schema) -> None:
        self._filter_fields = schema.filter_fields
        quantised = self._options["quantised"]
        graph = zvec.HnswIndexParam(
            metric_type=METRICS[schema.metric],
            m=self._options["m"],
            ef_construction=self._options["ef_construction"],
            quantize_type=zvec.QuantizeType.INT8 if quantised else zvec.QuantizeType.UNDEFINED,
        )
        fields = [
            zvec.FieldSchema(field, zvec.DataType.STRING, index_param=zvec.InvertIndexParam())
            for field in schema.filter_fields
        ]
        # Fields must be declared, with a type that all records share: the rest of the metadata goes into one of them.
        rest = zvec.FieldSchema("metadata", zvec.DataType.STRING)
        vectors = zvec.VectorSchema("v", zvec.DataType.VECTOR_FP32, schema.dimension, index_param=graph)
        declared = zvec.CollectionSchema("bench", fields=[*fields, rest], vectors=vectors)
        self._collection = zvec.create_and_open(str(self._folder), declared)

    def insert(self, encoded: bytes | Batch) -> None:
        assert isinstance(encoded, Batch)
        docs = []
        for row, vector, metadata in zip(encoded.rows, encoded.vectors, encoded.metadata, strict=True):
            fields = {field: metadata[field] for field in self._filter_fields}
            rest = {name: value for name, value in metadata.items() if name not in fields}
            docs.append(zvec.Doc(str(row), vectors={"v": vector}, fields={**fields, "metadata": json.dumps(rest)}))
        for status in self._collection.insert(docs):
            if not status.ok():
                raise RuntimeError(status.message())

    def wait_until_indexed(self) -> None:
        self._collection.optimize()

    def session(self, effort: float | None) -> "ZvecSession":
        return ZvecSession(self._collection, effort, is_refined=self._options["quantised"])

    def versions(self) -> dict[str, str]:
        return {"zvec": version("zvec")}


class ZvecSession(NoWires):
    def __init__(self, collection: Any, effort: float | None, *, is_refined: bool) -> None:
        self._collection = collection
        self._params = None
        if effort is not None:
            self._params = zvec.HnswQueryParam(ef=int(effort), is_using_refiner=is_refined)

    def encode(self, query: Floats, top_k: int, where: Where | None) -> tuple[Any, int, str | None]:
        matches = None if where is None else f"{where.field} = '{where.value}'"
        return zvec.Query("v", vector=query, param=self._params), top_k, matches

    def query(self, request: tuple[Any, int, str | None]) -> Any:
        asked, top_k, matches = request
        return self._collection.query(asked, topk=top_k, filter=matches, output_fields=[])

    def rows(self, answer: Any) -> list[int]:
        return [int(doc.id) for doc in answer]


def open_peer(folder: Path, options: dict[str, Any]) -> Zvec:
    return Zvec(folder, options)
