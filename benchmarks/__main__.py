"""`make bench`: what one server does on this machine, as ratios to what the machine itself can do.

Pinyon and its baseline alternate within one run, on the same data; the median of the rounds is printed and kept in
`benchmarks/results/`. Rates of a shared machine mean little by themselves: read the ratios.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import psutil

from benchmarks import baselines, clients, workload
from pinyon.inference.catalogue import MINILM
from pinyon.log.frame import FILE_HEADER_BYTES, FRAME_HEADER_BYTES
from tests.server_process import ServerProcess

ROUNDS: Final = 5
REST_RECORDS: Final = 20_000
QUERIES: Final = 3_000
TEXTS: Final = 1_920
RESULTS: Final = Path(__file__).parent / "results"


@dataclass
class Bench:
    """A running server and where its files are."""

    server: ServerProcess
    folder: Path

    def index(self, name: str) -> str:
        """Create an index for the workload's vectors. Returns its host."""
        spec = {"serverless": {"cloud": "aws", "region": "us-east-1"}}
        body = {"name": name, "dimension": workload.DIMENSION, "metric": "cosine", "spec": spec}
        host: str = self.server.request("POST", "/indexes", body)["host"]
        return host.removeprefix("http://")

    def drop(self, name: str) -> None:
        self.server.request("DELETE", f"/indexes/{name}")

    def cpu_s(self) -> float:
        """CPU seconds of the server so far, user and system."""
        times = psutil.Process(self.server.pid).cpu_times()
        return float(times.user + times.system)


def upsert_grpc(bench: Bench) -> dict[str, float]:
    """Upserts over gRPC against a plain loop that appends the same bytes with the same number of fdatasyncs."""
    messages = workload.grpc_messages(workload.vectors(workload.RECORDS))

    def one_round(number: int) -> dict[str, float]:
        host = bench.index(f"grpc-{number}")
        cpu_s = bench.cpu_s()
        elapsed_s = clients.send_grpc(host, "Upsert", messages)
        cpu_s, sync_count = bench.cpu_s() - cpu_s, frames(bench)
        bench.drop(f"grpc-{number}")
        baseline_s = baselines.append_to_file(bench.folder, messages, sync_count)
        return rates(workload.RECORDS, elapsed_s, baseline_s, cpu_s) | {"syncs": sync_count}

    return median_of(one_round)


def upsert_rest(bench: Bench) -> dict[str, float]:
    """Upserts over REST against pysimdjson alone parsing the same bodies into float32, on one core."""
    bodies = workload.json_bodies(workload.vectors(REST_RECORDS))

    def one_round(number: int) -> dict[str, float]:
        host = bench.index(f"rest-{number}")
        cpu_s = bench.cpu_s()
        elapsed_s = clients.send_rest(host, "/vectors/upsert", bodies)
        cpu_s = bench.cpu_s() - cpu_s
        bench.drop(f"rest-{number}")
        return rates(REST_RECORDS, elapsed_s, baselines.parse_vectors(bodies, workload.DIMENSION), cpu_s)

    return median_of(one_round)


def query_overhead(bench: Bench) -> dict[str, float]:
    """Server CPU of a REST query over ten records, top 10: everything but the search, and a search of ten rows."""
    rows = workload.vectors(10)
    host = bench.index("query")
    clients.send_rest(host, "/vectors/upsert", workload.json_bodies(rows))
    queries = [
        orjson.dumps({"vector": vector.tolist(), "topK": 10, "includeMetadata": True})
        for vector in workload.vectors(QUERIES, seed=1)
    ]

    def one_round(_: int) -> dict[str, float]:
        cpu_s = bench.cpu_s()
        elapsed_s = clients.send_rest(host, "/query", queries)
        return {"cpu_ms_per_query": 1e3 * (bench.cpu_s() - cpu_s) / QUERIES, "queries_per_s": QUERIES / elapsed_s}

    measured = median_of(one_round)
    bench.drop("query")
    return measured


def upsert_text(bench: Bench) -> dict[str, float]:
    """Server CPU of upserting text against that of onnxruntime alone on the same texts."""
    texts = workload.texts(TEXTS)
    bodies = workload.record_bodies(texts)
    embed = {"model": MINILM, "field_map": {"text": "source_text"}}

    def one_round(number: int) -> dict[str, float]:
        body = {"name": f"text-{number}", "cloud": "aws", "region": "us-east-1", "embed": embed}
        host = bench.server.request("POST", "/indexes/create-for-model", body)["host"].removeprefix("http://")
        cpu_s = bench.cpu_s()
        elapsed_s = clients.send_rest(host, "/records/namespaces/n/upsert", bodies)
        cpu_s = bench.cpu_s() - cpu_s
        bench.drop(f"text-{number}")
        baseline_s = baselines.embed_texts(texts, workload.TEXTS_PER_REQUEST)
        return {
            "cpu_ratio": cpu_s / baseline_s,
            "texts_per_s": TEXTS / elapsed_s,
            "cpu_ms_per_text": 1e3 * cpu_s / TEXTS,
        }

    return median_of(one_round)


def frames(bench: Bench) -> int:
    """Frames in all logs: the server synced once for each."""
    count = 0
    for path in bench.server.data_dir.glob("indexes/*/log/*.log"):
        content, position = path.read_bytes(), FILE_HEADER_BYTES
        while position < len(content):
            position += FRAME_HEADER_BYTES + int.from_bytes(content[position + 8 : position + 16], "little")
            count += 1
    return count


def rates(records: int, elapsed_s: float, baseline_s: float, cpu_s: float) -> dict[str, float]:
    return {
        "ratio": baseline_s / elapsed_s,
        "records_per_s": records / elapsed_s,
        "baseline_records_per_s": records / baseline_s,
        "cpu_us_per_record": 1e6 * cpu_s / records,
    }


def median_of(one_round: Callable[[int], dict[str, float]]) -> dict[str, float]:
    """The median of each figure over the rounds; the first round warms up and does not count."""
    rounds = [one_round(number) for number in range(ROUNDS + 1)][1:]
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def machine() -> dict[str, Any]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    return {
        "commit": commit.strip(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
    }


def main() -> None:
    benchmarks = {
        "upsert-grpc": upsert_grpc,
        "upsert-rest": upsert_rest,
        "query-overhead": query_overhead,
        "upsert-text": upsert_text,
    }
    chosen = sys.argv[1:] or list(benchmarks)
    results: dict[str, Any] = {"machine": machine()}
    # Beside the checkout, not in a temporary folder: that is often no disk.
    with (
        tempfile.TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as folder,
        ServerProcess(Path(folder) / "data") as server,
    ):
        for name in chosen:
            results[name] = benchmarks[name](Bench(server, Path(folder)))
            print(name, "  ".join(f"{figure}={value:.4g}" for figure, value in results[name].items()), flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "latest.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
