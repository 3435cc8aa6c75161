"""Write a golden data directory: `python -m tests.golden.make v1`, before the format is released and never after."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from pinyon.engine.database import Database
from pinyon.engine.search_plan import SearchPlan
from pinyon.protobuf.struct import decode_metadata
from pinyon.storage.local import LocalStorage
from tests.unit.engine.data_directories import make_directory, open_database

GOLDEN = Path(__file__).parent


def content_of(database: Database) -> dict[str, Any]:
    """Every record by index, namespace and id, and the nearest of one query in each dense namespace."""
    return {
        definition.name: {
            name: _namespace(database, definition.name, name)
            for name in sorted(database.index(definition.name).record_counts()[1])
        }
        for definition in database.definitions()
    }


def _namespace(database: Database, index_name: str, name: str) -> dict[str, Any]:
    index = database.index(index_name)
    ids = index.list_ids(name, "", None, 10_000)[1]
    view, records = index.read(name, ids)
    nearest: list[list[Any]] = []
    if index.definition.dimension is not None:
        query = np.arange(1, index.definition.dimension + 1, dtype=np.float32)
        plan = SearchPlan(index.definition.metric, 5, query, None, None, False, False, target_recall=1.0)
        nearest = [[match.id, match.score] for match in index.search(view, plan)]
    shown = {
        record.id: {
            "values": None if record.dense is None else record.dense.tolist(),
            "sparse": None
            if record.sparse is None
            else [record.sparse.indices.tolist(), record.sparse.values.tolist()],
            "metadata": decode_metadata(record.metadata),
        }
        for record in records
    }
    return {"records": shown, "nearest": nearest}


def main(version: str) -> None:
    folder = GOLDEN / version
    shutil.rmtree(folder, ignore_errors=True)
    storage = LocalStorage(folder / "data")
    make_directory(storage)
    database = open_database(LocalStorage(folder / "data"))
    content = content_of(database)
    database.close()
    (folder / "expected.json").write_text(json.dumps(content, sort_keys=True, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
