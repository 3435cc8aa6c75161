"""The last example of the page: a data set of a catalogue, upserted as a data frame: `dataset.py PREFIX`.

`DATASETS_CATALOG_BASEPATH` names a folder; this script fills it with two small data sets first. Like the real
`quora_all-MiniLM-L6-bm25` they have 384 dimensions, sparse values and no metadata; the second one has metadata.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import plain
import pyarrow as pa
import pyarrow.parquet as pq
from connect import open_index, rest_client
from pinecone import ServerlessSpec
from pinecone_datasets import list_datasets, load_dataset

(PREFIX,) = sys.argv[1:]
CATALOGUE = Path(os.environ["DATASETS_CATALOG_BASEPATH"])
NAME = "quora_all-MiniLM-L6-bm25"
ROW_COUNT = 300
SPARSE = pa.struct([("indices", pa.list_(pa.int64())), ("values", pa.list_(pa.float64()))])


def write_dataset(name: str, metadata: pa.Array) -> None:
    """Write one data set in the layout of the public catalogue."""
    rng = np.random.default_rng(3)
    columns = {
        "id": pa.array([str(row) for row in range(ROW_COUNT)]),
        "values": pa.array(rng.random((ROW_COUNT, 384)).tolist(), pa.list_(pa.float64())),
        "sparse_values": pa.array(
            [{"indices": [row, row + 1000], "values": [0.5, 1.5]} for row in range(ROW_COUNT)], SPARSE
        ),
        "metadata": metadata,
        "blob": pa.array([json.dumps({"text": f"question {row}"}) for row in range(ROW_COUNT)]),
    }
    folder = CATALOGUE / name / "documents"
    folder.mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / "part-0.parquet")
    description = {
        "name": name,
        "created_at": "2023-01-01 00:00:00",
        "documents": ROW_COUNT,
        "queries": 0,
        "dense_model": {"name": "all-MiniLM-L6", "dimension": 384},
        "sparse_model": {"name": "bm25"},
    }
    (CATALOGUE / name / "metadata.json").write_text(json.dumps(description))


def upsert(kind: str, transport: str, name: str) -> dict[str, Any] | str:
    """The example itself. Returns what is in the index afterwards, or what the client raised."""
    pc = rest_client()
    dataset = load_dataset(name)
    index_name = f"{PREFIX}-{kind}"

    pc.create_index(
        name=index_name, dimension=384, metric="cosine", spec=ServerlessSpec(cloud="aws", region="us-east-1")
    )
    index = open_index(transport, pc.describe_index(index_name).host)

    # The page drops the column from the data set itself, which pinecone-datasets no longer offers.
    failure = plain.failure(index.upsert_from_dataframe, dataset.documents.drop(columns=["blob"]))
    if failure:
        return failure
    row = index.fetch(ids=["7"]).vectors["7"]
    return {
        "count": index.describe_index_stats().total_vector_count,
        "sparse": plain.sparse(row.sparse_values),
        "metadata": row.metadata or None,
    }


def main() -> None:
    """Write the catalogue, then upsert both data sets over both transports."""
    write_dataset(NAME, pa.nulls(ROW_COUNT))
    described = NAME + "-with-metadata"
    write_dataset(described, pa.array([json.dumps({"text": f"question {row}"}) for row in range(ROW_COUNT)]))
    seen: dict[str, Any] = {"listed": sorted(list_datasets())}
    for transport in ("rest", "grpc"):
        seen[f"without_metadata_{transport}"] = upsert(f"{transport}-without", transport, NAME)
        seen[f"with_metadata_{transport}"] = upsert(f"{transport}-with", transport, described)
    print(json.dumps(seen))


main()
