"""The examples of Pinecone's page "Upsert data", run by the official client against Pinyon.

    make demo

Starts a server on free ports with its data in a temporary folder, does what the page shows, kills the server, starts it
again, and shows that nothing is gone.
"""

import contextlib
import itertools
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pinecone import Pinecone, ServerlessSpec
from pinecone.grpc import PineconeGRPC

FILMS = [
    {"id": "A", "values": [0.1] * 8, "metadata": {"genre": "comedy", "year": 2020}},
    {"id": "B", "values": [0.2] * 8, "metadata": {"genre": "documentary", "year": 2019}},
    {"id": "C", "values": [0.3] * 8, "metadata": {"genre": "comedy", "year": 2019}},
    {"id": "D", "values": [0.4] * 8, "metadata": {"genre": "drama"}},
]
TEXTS = [
    {
        "_id": "rec1",
        "source_text": "Apples are a great source of dietary fiber, which supports digestion and helps "
        "maintain a healthy gut.",
        "category": "digestive system",
    },
    {
        "_id": "rec2",
        "source_text": "Apples originated in Central Asia and have been cultivated for thousands of "
        "years, with over 7,500 varieties available today.",
        "category": "cultivation",
    },
    {
        "_id": "rec3",
        "source_text": "Rich in vitamin C and other antioxidants, apples contribute to immune health "
        "and may reduce the risk of chronic diseases.",
        "category": "immune system",
    },
    {
        "_id": "rec4",
        "source_text": "The high fiber content in apples can also help regulate blood sugar levels, "
        "making them a favorable snack for people with diabetes.",
        "category": "endocrine system",
    },
]
VECTOR_DIM = 128
VECTOR_COUNT = 10_000
START_TIMEOUT_S = 20.0


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="pinyon-demo-") as folder:
        port = free_port()
        server = start_server(Path(folder), port)
        try:
            run_examples(f"http://localhost:{port}")
            say("Kill the server (SIGKILL), and start it again")
            server.kill()
            server.wait()
            server = start_server(Path(folder), port)
            show_what_is_there(f"http://localhost:{port}")
        finally:
            server.terminate()
            server.wait()
    print("\nStart a server of your own with `make serve`, and point your code at it:")
    print('    pc = Pinecone(api_key="any", host="http://localhost:5080")')


def run_examples(host: str) -> None:
    pc = Pinecone(api_key="YOUR_API_KEY", host=host)
    spec = ServerlessSpec(cloud="aws", region="us-east-1")
    for name, dimension in (("films", 8), ("batches", VECTOR_DIM), ("dataframe", 384)):
        pc.create_index(name=name, dimension=dimension, metric="cosine", spec=spec)
    upsert_and_query(pc)
    upsert_in_batches(pc)
    upsert_over_grpc(host)
    upsert_dataframe(pc)
    for model in ("multilingual-e5-large", "pinecone-sparse-english-v0"):
        upsert_and_search_text(pc, model)


def upsert_and_query(pc: Pinecone) -> None:
    say("Upsert records, and find them at once")
    index = pc.Index("films")
    index.upsert(vectors=FILMS, namespace="example-namespace")
    found = index.query(
        vector=[0.1] * 8,
        top_k=3,
        namespace="example-namespace",
        filter={"genre": "comedy", "year": {"$gte": 2019}},
        include_metadata=True,
    )
    for match in found.matches:
        print(f"    {match.id}  score {match.score:.4f}  {match.metadata}")


def upsert_in_batches(pc: Pinecone) -> None:
    say(f"Upsert {VECTOR_COUNT} vectors in batches of 200, one after another and then in parallel")
    with timed("one after another"):
        index = pc.Index("batches")
        for chunk in chunks(random_vectors()):
            index.upsert(vectors=chunk, namespace="sequential")
    with timed("30 threads"), pc.Index("batches", pool_threads=30) as parallel:
        results = [
            parallel.upsert(vectors=chunk, namespace="parallel", async_req=True) for chunk in chunks(random_vectors())
        ]
        for result in results:
            result.get()


def upsert_over_grpc(host: str) -> None:
    say("The same over gRPC")
    os.environ["PINECONE_GRPC_SCHEME"] = "http"
    with timed("gRPC"):
        index = PineconeGRPC(api_key="YOUR_API_KEY", host=host).Index("batches")
        for future in [index.upsert_async(vectors=chunk, namespace="grpc") for chunk in chunks(random_vectors())]:
            future.result()


def upsert_dataframe(pc: Pinecone) -> None:
    say("Upsert a dataframe with dense and sparse values")
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "id": [str(row) for row in range(2000)],
            "values": generator.random((2000, 384), np.float32).tolist(),
            "sparse_values": [
                {
                    "indices": sorted(generator.choice(100_000, 8, False).tolist()),
                    "values": generator.random(8).tolist(),
                }
                for _ in range(2000)
            ],
            "metadata": [{"source": "demo"} for _ in range(2000)],
        }
    )
    with timed("2000 rows"):
        pc.Index("dataframe").upsert_from_dataframe(frame, show_progress=False)


def upsert_and_search_text(pc: Pinecone, model: str) -> None:
    say(f"Upsert text into an index for {model}, search it, and rerank what is found")
    name = f"texts-{model.partition('-')[0]}"
    embed = {"model": model, "field_map": {"text": "source_text"}}
    pc.create_index_for_model(name=name, cloud="aws", region="us-east-1", embed=embed)
    index = pc.Index(name)
    index.upsert_records(namespace="example-namespace", records=TEXTS)
    found = index.search(
        namespace="example-namespace",
        inputs={"text": "How do apples keep blood sugar low?"},
        top_k=3,
        rerank={"model": "bge-reranker-v2-m3", "rank_fields": ["source_text"], "top_n": 2},
    )
    for hit in found.result.hits:
        print(f"    {hit.id}  score {hit.score:.4f}  {hit.fields['source_text'][:70]}…")


def show_what_is_there(host: str) -> None:
    pc = Pinecone(api_key="YOUR_API_KEY", host=host)
    for description in pc.list_indexes():
        stats = pc.Index(description.name).describe_index_stats()
        namespaces = {name or "__default__": summary.vector_count for name, summary in stats.namespaces.items()}
        print(f"    {description.name:10} {stats.total_vector_count:6} records  {namespaces}")


def chunks(iterable: Iterable[Any], batch_size: int = 200) -> Iterator[tuple[Any, ...]]:
    """A helper function to break an iterable into chunks of size batch_size."""
    it = iter(iterable)
    chunk = tuple(itertools.islice(it, batch_size))
    while chunk:
        yield chunk
        chunk = tuple(itertools.islice(it, batch_size))


def random_vectors() -> Iterator[tuple[str, list[float]]]:
    return ((f"id-{i}", [random.random() for _ in range(VECTOR_DIM)]) for i in range(VECTOR_COUNT))


def start_server(data_dir: Path, port: int) -> "subprocess.Popen[bytes]":
    """Start `pinyon serve` and wait until it answers."""
    command = [sys.executable, "-m", "pinyon", "serve", "--data-dir", str(data_dir), "--port", str(port)]
    command += ["--index-ports", f"{port + 1}-{port + 20}", "--models-stand-ins", "--telemetry-level", "warning"]
    started = time.monotonic()
    server = subprocess.Popen(command)
    while server.poll() is None and time.monotonic() - started < START_TIMEOUT_S:
        with contextlib.suppress(urllib.error.URLError):
            urllib.request.urlopen(f"http://localhost:{port}/health").close()
            print(f"Pinyon answers on http://localhost:{port} after {time.monotonic() - started:.2f} s")
            return server
        time.sleep(0.02)
    server.kill()
    raise SystemExit("the server did not start")


def free_port() -> int:
    """A port with twenty free ones behind it, most likely."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return min(port, 60_000)


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    print(f"    {what}: {time.perf_counter() - started:.2f} s")


def say(what: str) -> None:
    print(f"\n{what}", flush=True)


if __name__ == "__main__":
    main()
