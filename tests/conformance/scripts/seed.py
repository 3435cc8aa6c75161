"""Every example of Pinecone's page "Upsert data", as written there but for host and key: `seed.py PREFIX`.

Without TLS the gRPC examples need one argument more, see `connect.open_index`; with TLS they need nothing.
Prints one JSON object: example -> what the client saw, where a failure is the text of an exception.
"""

import itertools
import json
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plain
import text_calls
from connect import VERSION, open_index, rest_client
from pinecone import ServerlessSpec

(PREFIX,) = sys.argv[1:]
VECTOR_DIM = 128
VECTOR_COUNT = 10000
ROW_COUNT = 300

TEXT_RECORDS = [
    {
        "_id": "rec1",
        "source_text": "Apples are a great source of dietary fiber, which supports digestion and helps maintain a "
        "healthy gut.",
        "category": "digestive system",
    },
    {
        "_id": "rec2",
        "source_text": "Apples originated in Central Asia and have been cultivated for thousands of years, with over "
        "7,500 varieties available today.",
        "category": "cultivation",
    },
    {
        "_id": "rec3",
        "source_text": "Rich in vitamin C and other antioxidants, apples contribute to immune health and may reduce "
        "the risk of chronic diseases.",
        "category": "immune system",
    },
    {
        "_id": "rec4",
        "source_text": "The high fiber content in apples can also help regulate blood sugar levels, making them a "
        "favorable snack for people with diabetes.",
        "category": "endocrine system",
    },
]


def create(kind: str, dimension: int) -> str:
    """Create a cosine index as the page does. Returns its host."""
    pc = rest_client()
    name = f"{PREFIX}-{kind}"
    pc.create_index(
        name=name, dimension=dimension, metric="cosine", spec=ServerlessSpec(cloud="aws", region="us-east-1")
    )
    return pc.describe_index(name).host


def records(index: Any) -> dict[str, Any]:
    """Records with metadata, as dictionaries."""
    index.upsert(
        vectors=[
            {
                "id": "A",
                "values": [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1],
                "metadata": {"genre": "comedy", "year": 2020},
            },
            {
                "id": "B",
                "values": [0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2],
                "metadata": {"genre": "documentary", "year": 2019},
            },
            {
                "id": "C",
                "values": [0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3],
                "metadata": {"genre": "comedy", "year": 2019},
            },
            {
                "id": "D",
                "values": [0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4],
                "metadata": {"genre": "drama"},
            },
        ],
        namespace="example-namespace",
    )
    seen = plain.fetched(index.fetch(ids=["A", "B", "C", "D"], namespace="example-namespace"))
    index.delete(delete_all=True, namespace="example-namespace")
    return seen


def chunks(iterable: Iterable[Any], batch_size: int = 200) -> Iterator[tuple[Any, ...]]:
    """A helper function to break an iterable into chunks of size batch_size."""
    it = iter(iterable)
    chunk = tuple(itertools.islice(it, batch_size))
    while chunk:
        yield chunk
        chunk = tuple(itertools.islice(it, batch_size))


def example_data() -> Iterator[tuple[str, list[float]]]:
    """Many pairs of id and vector."""
    return ((f"id-{i}", [random.random() for _ in range(VECTOR_DIM)]) for i in range(VECTOR_COUNT))


def in_batches(index: Any) -> int:
    """Batches of 200 tuples, one after the other."""
    for ids_vectors_chunk in chunks(example_data(), batch_size=200):
        index.upsert(vectors=ids_vectors_chunk)
    return emptied(index)


def in_parallel(host: str) -> int:
    """Batches of 200 tuples over 30 threads."""
    pc = rest_client(pool_threads=30)
    with pc.Index(host=host, pool_threads=30) as index:
        # Send requests in parallel
        async_results = [
            index.upsert(vectors=ids_vectors_chunk, async_req=True)
            for ids_vectors_chunk in chunks(example_data(), batch_size=200)
        ]
        # Wait for and retrieve responses (this raises in case of error)
        [async_result.get() for async_result in async_results]
    return emptied(open_index("rest", host))


def chunker(seq: Sequence[Any], batch_size: int) -> Iterator[Sequence[Any]]:
    """The page's second helper."""
    return (seq[pos : pos + batch_size] for pos in range(0, len(seq), batch_size))


def grpc_in_parallel(index: Any) -> int:
    """Batches over one gRPC connection, all in flight at once."""
    data = list(example_data())
    async_results = [index.upsert(vectors=chunk, async_req=True) for chunk in chunker(data, batch_size=200)]

    # Wait for and retrieve responses (in case of error)
    [async_result.result() for async_result in async_results]
    return emptied(index)


def grpc_futures(index: Any) -> int:
    """What 9 and 10 have in place of `async_req` over gRPC."""
    data = list(example_data())
    futures = [index.upsert_async(vectors=chunk) for chunk in chunker(data, batch_size=200)]
    for future in futures:
        future.result()
    return emptied(index)


def emptied(index: Any) -> int:
    """How many records the index has; deletes them, so that the next example starts from none."""
    count = index.describe_index_stats().total_vector_count
    index.delete(delete_all=True)
    return count


def frame(metadata: str, *, as_lists: bool = False) -> pd.DataFrame:
    """A data frame like those of pinecone-datasets, whose cells are numpy arrays.

    Args:
        metadata: "dict" or "none", for every row.
        as_lists: plain lists in the cells instead.
    """
    rng = np.random.default_rng(7)
    cell = list if as_lists else np.array
    number = float if as_lists else np.float64
    sparse = [
        {"indices": cell([row, row + 1000]), "values": cell([number(0.5), number(1.5)])} for row in range(ROW_COUNT)
    ]
    return pd.DataFrame(
        {
            "id": [str(row) for row in range(ROW_COUNT)],
            "values": [cell(vector) for vector in rng.random((ROW_COUNT, 384)).tolist()],
            "sparse_values": sparse,
            "metadata": [{"text": f"question {row}"} if metadata == "dict" else None for row in range(ROW_COUNT)],
            "blob": None,
        }
    )


def text_records() -> dict[str, Any]:
    """Texts to sparse vectors, as on the page, and a search for them. 9 and 10 take only keywords, and say so."""
    pc = rest_client()
    name = f"{PREFIX}-texts"
    embed = {"model": "pinecone-sparse-english-v0", "field_map": {"text": "source_text"}}
    pc.create_index_for_model(name=name, cloud="aws", region="us-east-1", embed=embed)
    index = open_index("rest", pc.describe_index(name).host)

    seen: dict[str, Any] = {"positional": plain.failure(index.upsert_records, "example-namespace", TEXT_RECORDS)}
    if VERSION >= (9,):
        index.upsert_records(namespace="example-namespace", records=TEXT_RECORDS)
    query = {"inputs": {"text": "apples for people with diabetes"}, "top_k": 4}
    seen["found"] = text_calls.answer(text_calls.search(index, "example-namespace", {"query": query}))["hits"]
    return seen


def data_frames(index: Any) -> dict[str, Any]:
    """`upsert_from_dataframe` with each kind of cell: records counted afterwards, or what the client raised."""
    frames = {
        "numpy_and_dict": frame("dict"),
        "numpy_and_none": frame("none"),
        "lists": frame("dict", as_lists=True),
    }
    seen: dict[str, Any] = {}
    for name, rows in frames.items():
        failure = plain.failure(index.upsert_from_dataframe, rows.drop(columns=["blob"]))
        seen[name] = failure or plain.outcome(emptied_frame, index)
    return seen


def emptied_frame(index: Any) -> dict[str, Any]:
    """Count of the rows, and the sparse values of one of them: a cosine index stores them as well."""
    row = index.fetch(ids=["7"]).vectors["7"]
    return {"count": emptied(index), "sparse": plain.sparse(row.sparse_values)}


def main() -> None:
    """Run the page from top to bottom."""
    seen: dict[str, Any] = {}
    host = create("records", dimension=8)
    for transport in ("rest", "grpc"):
        seen[f"records_{transport}"] = plain.outcome(records, open_index(transport, host))

    host = create("batches", dimension=VECTOR_DIM)
    grpc_index = open_index("grpc", host)
    seen["batches_grpc"] = plain.outcome(in_batches, grpc_index)
    seen["parallel_rest"] = plain.outcome(in_parallel, host)
    if VERSION >= (9,):
        seen["async_req_grpc"] = plain.failure(grpc_index.upsert, vectors=[("a", [1.0] * VECTOR_DIM)], async_req=True)
    seen["parallel_grpc"] = plain.outcome(grpc_in_parallel if VERSION < (9,) else grpc_futures, grpc_index)

    host = create("frames", dimension=384)
    for transport in ("rest", "grpc"):
        seen[f"frames_{transport}"] = data_frames(open_index(transport, host))
    seen["text_records"] = plain.outcome(text_records)
    print(json.dumps(seen))


main()
