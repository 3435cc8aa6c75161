"""Raw faiss: whatever its index factory makes."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import faiss as faiss_library  # type: ignore[import,unused-ignore]
import numpy as np

from benchmarks.peers.in_process import Library, NoWires
from benchmarks.peers.protocol import Batch, Floats, Schema, Where

TRAINING_ROWS_PER_LIST = 64
# What types it comes with, where it does, lack much of it.
faiss: Any = faiss_library


class Faiss(Library):
    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._waiting: list[Floats] | None = None
        # One thread a query, as for all others: clients run beside one another already.
        faiss.omp_set_num_threads(1)

    def create(self, schema: Schema) -> None:
        metric = faiss.METRIC_L2 if schema.metric == "euclidean" else faiss.METRIC_INNER_PRODUCT
        lists = max(1, int(4 * schema.row_count**0.5))
        self._index: Any = faiss.index_factory(schema.dimension, self._options["factory"].format(lists=lists), metric)
        if "ef_construction" in self._options:
            self._index.hnsw.efConstruction = self._options["ef_construction"]
        if not self._index.is_trained:
            self._waiting = []

    def insert(self, encoded: bytes | Batch) -> None:
        assert isinstance(encoded, Batch)
        if self._waiting is None:
            self._index.add(encoded.vectors)
        else:
            self._waiting.append(encoded.vectors)

    def wait_until_indexed(self) -> None:
        if self._waiting is not None:
            vectors = np.concatenate(self._waiting)
            self._waiting = None
            step = max(1, len(vectors) // (TRAINING_ROWS_PER_LIST * self._index.nlist))
            self._index.train(np.ascontiguousarray(vectors[::step]))
            self._index.add(vectors)

    def session(self, effort: float | None) -> "FaissSession":
        return FaissSession(self._index, effort)

    def versions(self) -> dict[str, str]:
        return {"faiss-cpu": version("faiss-cpu")}


class FaissSession(NoWires):
    def __init__(self, index: Any, effort: float | None) -> None:
        self._index = index
        self._parameters: Any = None
        if effort is not None and hasattr(index, "hnsw"):
            self._parameters = faiss.SearchParametersHNSW(efSearch=int(effort))
        elif effort is not None:
            self._parameters = faiss.SearchParametersIVF(nprobe=int(effort))

    def encode(self, query: Floats, top_k: int, where: Where | None) -> tuple[Floats, int]:
        if where is not None:
            raise NotImplementedError("faiss has no metadata")
        return query[None, :], top_k

    def query(self, request: tuple[Floats, int]) -> Any:
        return self._index.search(*request, params=self._parameters)[1][0]


def open_peer(folder: Path, options: dict[str, Any]) -> Faiss:
    return Faiss(options)
