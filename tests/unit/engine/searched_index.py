"""An index in memory with a dedicated segment, whose searches are approximate."""

from itertools import count
from typing import Any

import numpy as np

from pinyon.engine.database import Database
from pinyon.engine.index import Index
from pinyon.engine.maintenance_options import MaintenanceOptions
from pinyon.engine.operations import UpsertRecords
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.segment_build import BuildOptions
from pinyon.model.index import Deployment, IndexDefinition
from pinyon.model.metric import Metric, VectorType
from pinyon.model.record import Float32s, RecordBatch
from pinyon.storage.memory import MemoryStorage


def clustered(row_count: int, dimension: int, seed: int = 1) -> Float32s:
    """Rows around centres that all seeds share."""
    centres = np.random.default_rng(0).standard_normal((20, dimension))
    rng = np.random.default_rng(seed)
    rows = centres[rng.integers(0, len(centres), row_count)] + 0.8 * rng.standard_normal((row_count, dimension))
    found: Float32s = rows.astype(np.float32)
    return found


def plan(dense: Float32s, metric: Metric = Metric.COSINE, **changes: Any) -> SearchPlan:
    fields: dict[str, Any] = {"top_k": 10, "sparse": None, "filter": None} | changes
    return SearchPlan(metric=metric, dense=dense, include_values=False, include_metadata=False, **fields)


def definition_of(dimension: int, metric: Metric = Metric.COSINE, **fields: Any) -> IndexDefinition:
    return IndexDefinition(
        name="i",
        index_id="1",
        vector_type=VectorType.DENSE,
        dimension=dimension,
        metric=metric,
        deployment=Deployment(kind="serverless"),
        **fields,
    )


def new_database(options: MaintenanceOptions, **arguments: Any) -> Database:
    salts = count(1)
    return Database(
        MemoryStorage(),
        new_salt=lambda: next(salts).to_bytes(16, "little"),
        log_file_bytes_max=2**30,
        maintenance_options=options,
        **arguments,
    )


def write(index: Index, rows: Float32s) -> None:
    index.write(UpsertRecords("n", RecordBatch([f"{row}" for row in range(len(rows))], rows, None, None)))


def searched_index(
    rows: Float32s, metric: Metric = Metric.COSINE, tags: dict[str, str] | None = None, **options: Any
) -> Index:
    """An index with these rows in one dedicated segment, and with all that a pause brings."""
    fields: dict[str, Any] = {"graph_rows_min": 0, "build": BuildOptions(dedicated_rows_min=500)} | options
    database = new_database(MaintenanceOptions(**fields))
    index = database.create(definition_of(rows.shape[1], metric, tags=tags or {}))
    write(index, rows)
    index.maintenance.settle()
    return index
