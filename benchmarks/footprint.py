"""`python -m benchmarks.footprint`: many small namespaces in one index, and one large index under a memory limit.

Each part has a server of its own on an empty folder. Memory is what the server has beside the page cache. Results go to
`benchmarks/results/footprint.json`; a part that is run alone leaves what is there of the other.
"""

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import grpc
import numpy as np

from benchmarks.__main__ import RESULTS, machine
from benchmarks.peers import dataset, measure, processes, workload
from benchmarks.peers.pinyon import messages
from benchmarks.peers.pinyon.module import HEADERS, KEY, SERVICE, Pinyon, RestSession
from benchmarks.peers.protocol import Batch, Floats
from benchmarks.peers.rest import TIMEOUT_S, Connection
from tests.server_process import ServerProcess

RECORDS: Final = 10
DIMENSION: Final = 64
CONNECTIONS: Final = 4
ASKED: Final = 200
DELETED: Final = 20
QUERIES: Final = 1000
CLIENTS: Final = 8

Figures = dict[str, float]


def measure_namespaces(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Many namespaces of a few records each: writing them, starting with them, and what asks for one or for all."""
    count: int = options.namespaces
    results: dict[str, Any] = {"plan": {"namespaces": count, "records": RECORDS, "dimension": DIMENSION}}
    with ServerProcess(folder / "data", index_count=1) as server:
        spec = {"serverless": {"cloud": "aws", "region": "us-east-1"}}
        body = {"name": "bench", "dimension": DIMENSION, "metric": "cosine", "spec": spec}
        port = int(server.request("POST", "/indexes", body)["host"].rpartition(":")[2])
        empty_mib = processes.private_bytes([server.pid]) / 2**20
        results["empty"] = {"memory_mib": empty_mib}

        def step(label: str, measured: Callable[[], Figures]) -> None:
            figures = watched(server.pid, measured)
            figures["bytes_per_namespace"] = (figures["memory_mib"] - empty_mib) * 2**20 / count
            results[label] = shown(label, figures)

        step("filled", lambda: fill(server, port, [upsert_request(number) for number in range(count)]))
        for label, end in (("stopped", server.stop), ("killed", server.kill)):
            end()
            server.start(wait=False)
            step(label, lambda: await_start(server, port, count))
        step("requests", lambda: ask_namespaces(port, count))
    return results


def fill(server: ServerProcess, port: int, requests: Sequence[bytes]) -> Figures:
    """Send all upserts over some connections, and let the server settle."""

    def work(number: int) -> None:
        # A pool of its own: channels to one address share a connection otherwise.
        with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
            upsert = channel.unary_unary(f"{SERVICE}/Upsert")
            for request in requests[number::CONNECTIONS]:
                upsert(request, metadata=(("api-key", KEY),), timeout=TIMEOUT_S)

    begun_s, before_cpu_s = time.perf_counter(), processes.cpu_s([server.pid])
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        list(threads.map(work, range(CONNECTIONS)))
    written_s = time.perf_counter() - begun_s
    wait_until_settled(server)
    records = len(requests) * RECORDS
    return {
        "records_per_s": records / written_s,
        "records_per_s_settled": records / (time.perf_counter() - begun_s),
        "cpu_us_per_record": 1e6 * (processes.cpu_s([server.pid]) - before_cpu_s) / records,
    }


def await_start(server: ServerProcess, port: int, count: int) -> Figures:
    """Ask a server that was just started until it has opened everything, and let it settle."""
    control, index = Connection(server.port, HEADERS), Connection(port, HEADERS)
    begun_s = time.perf_counter()

    def seconds_until(is_done: Callable[[], object]) -> float:
        while server.is_running:
            with contextlib.suppress(OSError, RuntimeError):  # It does not answer yet.
                if is_done():
                    return time.perf_counter() - begun_s
            time.sleep(0.005)
        raise RuntimeError(f"the server has ended:\n{server.log[-2000:]}")

    health_s = seconds_until(lambda: control.send("GET", "/health"))
    query_s = seconds_until(lambda: is_right(index.send("POST", "/query", query_body(count - 1)), count - 1))
    wait_until_settled(server)
    return {"health_s": health_s, "query_s": query_s}


def wait_until_settled(server: ServerProcess) -> None:
    while not server.request("GET", "/pinyon/report")["indexes"][0]["is_settled"]:
        time.sleep(0.2)


def ask_namespaces(port: int, count: int) -> Figures:
    """What asks for one namespace that nobody has asked since the start, what asks for all, and deleting some."""
    asked = np.random.default_rng(1).permutation(count - 1)[:ASKED].tolist()  # The last one was asked at the start.
    connection = Connection(port, HEADERS)

    def timed(method: str, path: str, body: bytes | None = None) -> tuple[float, bytes]:
        begun_s = time.perf_counter()
        answer = connection.send(method, path, body)
        return 1e3 * (time.perf_counter() - begun_s), answer

    queries_ms, answers = zip(*(timed("POST", "/query", query_body(number)) for number in asked), strict=True)
    assert all(map(is_right, answers, asked))
    begun_s = time.perf_counter()
    listed = sum(len(page["namespaces"]) for page in pages(connection))
    list_s = time.perf_counter() - begun_s
    stats_ms, stats = zip(*(timed("POST", "/describe_index_stats", b"{}") for _ in range(5)), strict=True)
    assert listed == len(json.loads(stats[0])["namespaces"]) == count, f"{listed} of {count} are listed"
    deletes_ms = [timed("DELETE", f"/namespaces/n{number}")[0] for number in asked[:DELETED]]
    return {
        "first_query_ms_p50": statistics.median(queries_ms),
        "first_query_ms_max": max(queries_ms),
        "list_namespaces_s": list_s,
        "describe_index_stats_ms": statistics.median(stats_ms),
        "delete_namespace_ms_p50": statistics.median(deletes_ms),
        "delete_namespace_ms_max": max(deletes_ms),
    }


def pages(connection: Connection) -> Iterator[Any]:
    """Of the list of all namespaces."""
    token: str | None = ""
    while token is not None:
        page = connection.call("GET", f"/namespaces?paginationToken={quote(token)}")
        token = page.get("pagination", {}).get("next")
        yield page


def vectors_of(number: int) -> Floats:
    return np.random.default_rng(number).standard_normal((RECORDS, DIMENSION), np.float32)


def upsert_request(number: int) -> bytes:
    """All records of one namespace."""
    batch = Batch(range(number * RECORDS, (number + 1) * RECORDS), vectors_of(number), [{}] * RECORDS)
    namespace = f"n{number}".encode()
    return messages.upsert_request(batch) + b"\x12" + bytes([len(namespace)]) + namespace  # As field 2.


def query_body(number: int) -> bytes:
    """Asks a namespace for all its records; its first one is the nearest."""
    return json.dumps({"namespace": f"n{number}", "vector": vectors_of(number)[0].tolist(), "topK": RECORDS}).encode()


def is_right(answer: bytes, number: int) -> bool:
    ids = [match["id"] for match in json.loads(answer)["matches"]]
    return len(ids) == RECORDS and ids[0] == str(number * RECORDS)


class RestClients(Pinyon):
    """Filled over gRPC, since a million records in JSON take a disk, and asked over REST."""

    def session(self, effort: float | None) -> RestSession:
        return RestSession(self._port, {})


def measure_limit(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One large index in a server that plans with little memory: filling it, and asking it."""
    rows, limit = options.rows, options.memory_limit
    data = dataset.load(options.data, options.queries, rows=rows, query_count=QUERIES, is_unit=True, folder=folder)
    workload.build(folder, data.vectors, data.queries, "cosine", [], [])
    del data  # From here on the file is mapped.
    work = workload.Workload(folder)
    # The data's name alone: where somebody keeps it is nobody's business.
    plan = {"data": Path(options.data).name, "rows": rows, "dimension": work.schema.dimension, "memory_limit": limit}
    peer = RestClients(folder, {"protocol": "grpc", "effort_header": "", "arguments": ["--memory-limit", limit]})
    (pid,) = peer.server_pids()
    results: dict[str, Any] = {"plan": plan, "empty": {"memory_mib": processes.private_bytes([pid]) / 2**20}}

    def ask() -> Figures:
        figures = measure.ask(peer, work, None, CLIENTS, None, seconds_max=600.0)
        peer.wait_until_indexed()
        return figures

    # The first queries tune the index, so all are asked twice.
    steps = {"filled": lambda: measure.insert_all(peer, work, folder), "first_queries": ask, "queries": ask}
    try:
        for label, step in steps.items():
            figures = watched(pid, step)
            shares = {
                f"{name}_share": figures[f"{name}_mib"] * 2**20 / work.vectors.nbytes for name in ("peak", "memory")
            }
            results[label] = shown(label, figures | shares)
    finally:
        peer.stop()
    return results


def watched(pid: int, step: Callable[[], Figures]) -> Figures:
    """Take a step. Returns its figures, the most memory that a process had meanwhile, and what it has at the end."""
    seen: list[int] = []
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(step)
        while wait([future], timeout=0.1).not_done:
            seen.append(processes.private_bytes([pid]))
    seen.append(processes.private_bytes([pid]))
    return future.result() | {"peak_mib": max(seen) / 2**20, "memory_mib": seen[-1] / 2**20}


def shown(label: str, figures: Figures) -> Figures:
    """The figures, printed."""
    print(f"{label:14}", *(f"{figure}={value:.4g}" for figure, value in figures.items()), sep="  ", flush=True)
    return figures


PARTS: Final = {"namespaces": measure_namespaces, "limit": measure_limit}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.footprint", description=__doc__)
    add = parser.add_argument
    add("--part", choices=[*PARTS, "both"], default="both")
    add("--namespaces", type=int, default=100_000, metavar="N", help="an index takes no more than [%(default)s]")
    dataset.add_options(parser, data=dataset.SYNTHETIC, rows=1_000_000)
    add("--memory-limit", default="320MB", metavar="SIZE", help="of the server with these rows [%(default)s]")
    options = parser.parse_args()
    path = RESULTS / "footprint.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for part in PARTS if options.part == "both" else [options.part]:
        # Beside the checkout, not in a temporary folder: that is often no disk.
        with tempfile.TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as folder:
            results[part] = {"machine": machine(), **PARTS[part](options, Path(folder))}
        path.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
