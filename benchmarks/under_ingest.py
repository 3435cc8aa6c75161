"""`python -m benchmarks.under_ingest`: what queries feel while the index is written to at full speed.

One server, one index, four phases that follow one another; two clients ask in all of them, at a slow pace. The writers
are a process of their own, but on the same machine, and take processors from the server: in the last phase they send
nothing, and encode as much as takes the same CPU, which tells what that alone costs. Results go to
`benchmarks/results/under-ingest.json`.
"""

import argparse
import itertools
import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.__main__ import RESULTS, machine
from benchmarks.peers import dataset, processes
from benchmarks.peers.pinyon.module import RestSession
from benchmarks.peers.workload import TOP_K
from benchmarks.workload import RECORDS_PER_REQUEST
from benchmarks.writers import WRITERS, Task, Writers
from tests.server_process import ServerProcess

CLIENTS: Final = 2
PAUSE_S: Final = 0.005
"""Of a client between an answer and its next query: so few queries that they are no load by themselves."""

WARM_UP_S: Final = 2.0
"""Of queries that do not count, before each phase."""

QUERIES: Final = 1000
COMPARED: Final = ("latency_ms_p50", "latency_ms_p90", "latency_ms_p99", "latency_ms_max")


class Bench:
    """A running server with one empty index, and the clients that ask it."""

    def __init__(self, server: ServerProcess, data: dataset.Dataset, seconds: float) -> None:
        self._server = server
        self._seconds = seconds
        spec = {"serverless": {"cloud": "aws", "region": "us-east-1"}}
        body = {"name": "bench", "dimension": data.vectors.shape[1], "metric": "cosine", "spec": spec}
        self.port = int(server.request("POST", "/indexes", body)["host"].rpartition(":")[2])
        self._requests = [RestSession(self.port, {}).encode(query, TOP_K, None) for query in data.queries]

    def wait_until_settled(self) -> None:
        """Until all is flushed, merged and has its graphs, and what the first queries set off is done too."""
        self._ask(WARM_UP_S)
        while not self._server.request("GET", "/pinyon/report")["indexes"][0]["is_settled"]:
            time.sleep(0.2)

    def measure(self, writers: Writers | None = None) -> dict[str, float]:
        """One phase. The server's CPU is that of all it does, writing included."""
        self._ask(WARM_UP_S)
        before = self._counters(writers)
        latencies = self._ask(self._seconds)
        elapsed_s, server_s, writers_s, records = np.subtract(self._counters(writers), before)
        p50, p90, p99 = np.quantile(latencies, (0.5, 0.9, 0.99), method="inverted_cdf")
        return {
            "queries": len(latencies),
            "latency_ms_p50": 1e3 * p50,
            "latency_ms_p90": 1e3 * p90,
            "latency_ms_p99": 1e3 * p99,
            "latency_ms_max": 1e3 * max(latencies),
            "cpu_ms_per_query": 1e3 * server_s / len(latencies),
            "server_processors": server_s / elapsed_s,
            "writers_processors": writers_s / elapsed_s,
            "records_per_s": records / elapsed_s,
        }

    def _counters(self, writers: Writers | None) -> tuple[float, float, float, int]:
        """Seconds on the clock, CPU seconds of the server and of the writers, and what these have done."""
        server_s = processes.cpu_s([self._server.pid])
        return (time.perf_counter(), server_s, *((writers.cpu_s, writers.records) if writers else (0.0, 0)))

    def _ask(self, seconds: float) -> list[float]:
        """Latencies in seconds, of all clients."""
        deadline_s = time.perf_counter() + seconds
        with ThreadPoolExecutor(CLIENTS) as threads:
            return list(itertools.chain(*threads.map(lambda number: self._client(number, deadline_s), range(CLIENTS))))

    def _client(self, number: int, deadline_s: float) -> list[float]:
        latencies: list[float] = []
        session = RestSession(self.port, {})  # Not kept for the next phase: servers close connections that idle.
        session.query(self._requests[0])
        for request in itertools.cycle(self._requests[number::CLIENTS]):
            started_s = time.perf_counter()
            if started_s >= deadline_s:
                break
            session.query(request)
            latencies.append(time.perf_counter() - started_s)
            time.sleep(PAUSE_S)
        session.close()
        return latencies


def run(bench: Bench, vectors: Path, row_count: int) -> dict[str, dict[str, float]]:
    """Fill the index, and measure all phases."""
    Writers(Task(vectors, 0, row_count, bench.port)).wait()
    bench.wait_until_settled()
    idle = bench.measure()
    with Writers(Task(vectors, row_count, None, bench.port)) as writers:
        writing = bench.measure(writers)
    bench.wait_until_settled()
    settled = bench.measure()
    with Writers(Task(vectors, row_count, None, None, writing["writers_processors"])) as writers:
        encoding = bench.measure(writers)
    return {"idle": idle, "writing": writing, "settled": settled, "encoding": encoding}


def ratios(phases: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """How many times as long queries take while the index is written to as they do in other phases."""
    return {
        f"writing / {other}": {name: phases["writing"][name] / phases[other][name] for name in COMPARED}
        for other in ("idle", "encoding")
    }


def show(rows: dict[str, dict[str, float]]) -> None:
    """A line for each row."""
    names = list(next(iter(rows.values())))
    print(" " * 20, *(f"{name:>{len(name)}}" for name in names), sep="  ")
    for label, row in rows.items():
        print(f"{label:20}", *(f"{row[name]:{len(name)}.4g}" for name in names), sep="  ")


def main() -> None:
    options = _parse()
    # Beside the checkout, not in a temporary folder: that is often no disk.
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as name:
        folder = Path(name)
        data = dataset.load(
            options.data, options.queries, rows=options.rows, query_count=QUERIES, is_unit=True, folder=folder
        )
        np.save(folder / "vectors.npy", data.vectors)
        with ServerProcess(folder / "data", index_count=1) as server:
            phases = run(Bench(server, data, options.seconds), folder / "vectors.npy", len(data.vectors))
    rows, dimension = data.vectors.shape
    results: dict[str, Any] = {
        "machine": machine(),
        # Its name alone: where somebody keeps their data is nobody's business.
        "data": {"name": Path(options.data).name, "rows": rows, "dimension": dimension},
        "plan": {
            "seconds": options.seconds, "clients": CLIENTS, "pause_ms": 1e3 * PAUSE_S,
            "writers": WRITERS, "records_per_batch": RECORDS_PER_REQUEST,
        },
        "phases": phases,
        "ratios": ratios(phases),
    }  # fmt: skip
    show(phases)
    show(results["ratios"])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "under-ingest.json").write_text(json.dumps(results, indent=2) + "\n")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.under_ingest", description=__doc__)
    dataset.add_options(parser, rows=100_000)
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="of each phase [%(default)s]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
