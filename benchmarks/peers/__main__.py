"""`python -m benchmarks.peers`: Pinyon and its peers on the same data, in one session. See `benchmarks/README.md`."""

import argparse
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.peers import dataset, workload
from benchmarks.peers.environments import PEERS, ROOT, ensure_environment, peer_names
from benchmarks.peers.session import Contestant, Plan, run

RESULTS: Final = ROOT / "benchmarks" / "results"
SELECTIVITIES_PERCENT: Final = (10.0, 1.0, 0.1, 0.01)


def main() -> None:
    options = _parse()
    try:
        contestants = [Contestant.parse(text) for text in options.peers]
    except KeyError as error:
        raise SystemExit(error.args[0]) from error
    # Beside the checkout, not in a temporary folder: that is often no disk.
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.work, ignore_cleanup_errors=True) as name:
        work = Path(name)
        # Servers may refuse to run as the user who owns everything, and must reach their folder as another.
        work.chmod(0o755)
        data = _prepare(options, work)
        filters = workload.Workload(work / "workload").filters
        plan = Plan(options.rounds, options.insert_rounds, options.clients, options.target_recall, options.seconds)
        run(contestants, filters, plan, work)
        for each in contestants:
            log = work / f"{each.name}-{each.variant}.log"
            if each.failure and log.exists():
                print(f"--- the end of the log of {each.label}", log.read_text(errors="replace")[-3000:], sep="\n")
    results = {
        "machine": _machine(),
        "data": data,
        "plan": plan._asdict(),
        "peers": {each.label: each.results() for each in contestants},
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"peers-{options.name}.json"
    path.write_text(json.dumps(results, indent=2) + "\n")
    _summarise(contestants, options.target_recall)
    if not options.no_plot:
        interpreter = ensure_environment("tools", PEERS / "tools" / "requirements.txt")
        subprocess.run([interpreter, "-m", "benchmarks.peers.plots", path], check=True, cwd=ROOT)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    dataset.add_options(parser)
    add = parser.add_argument
    add("--metadata", type=Path, metavar="FILE", help="parquet file whose fields the records carry too")
    add("--query-count", type=int, default=1000, metavar="N", help="[%(default)s]")
    add("--metric", default="cosine", choices=["cosine", "euclidean", "dotproduct"], help="[%(default)s]")
    add(
        "--peers", type=_names, default=peer_names(), metavar="A,B:VARIANT",
        help=f"which ones, each in the first variant of its config.toml unless told; default: {','.join(peer_names())}",
    )  # fmt: skip
    add("--rounds", type=int, default=3, metavar="N", help="of queries [%(default)s]")
    add("--insert-rounds", type=int, default=1, metavar="N", help="of inserting everything [%(default)s]")
    add("--clients", type=_counts, default=(1, 8), metavar="N,N", help="at a time [1,8]")
    add("--target-recall", type=float, default=0.97, help="for filters and the summary [%(default)s]")
    add("--seconds", type=float, default=20.0, metavar="S", help="at most for one point of a curve [%(default)s]")
    add(
        "--selectivities", type=_numbers, default=SELECTIVITIES_PERCENT, metavar="P,P",
        help="of filters, in percent [10,1,0.1,0.01]",
    )  # fmt: skip
    add("--filters", type=_names, default=workload.FILTER_KINDS, metavar="A,B", help="[random,near,far]; '' for none")
    add("--work", type=Path, default=Path.cwd(), metavar="FOLDER", help="where the competitors' files go for the while")
    add("--name", default="latest", help="results go to benchmarks/results/peers-NAME.json [%(default)s]")
    add("--no-plot", action="store_true", help="draw nothing")
    return parser.parse_args()


def _names(text: str) -> list[str]:
    return [each for each in text.split(",") if each]


def _counts(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in _names(text))


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(each) for each in _names(text))


def _prepare(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    folder = work / "workload"
    folder.mkdir()
    data = dataset.load(
        options.data,
        options.queries,
        rows=options.rows,
        query_count=options.query_count,
        is_unit=options.metric == "cosine",
        folder=folder,
    )
    if options.metadata is not None:
        dataset.convert_metadata(options.metadata, folder / "metadata.jsonl")
    workload.build(folder, *data, options.metric, options.selectivities, options.filters)
    rows, dimension = data.vectors.shape
    print(f"{rows} x {dimension}, {len(data.queries)} queries, {options.metric}", flush=True)
    # Its name alone: where somebody keeps their data is nobody's business.
    name = Path(options.data).name
    return {"name": name, "rows": rows, "dimension": dimension, "metric": options.metric, "queries": len(data.queries)}


def _machine() -> dict[str, Any]:
    return {
        "commit": _git("rev-parse", "--short", "HEAD"),
        "is_changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "processors": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
    }


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, cwd=ROOT).stdout.strip()


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _summarise(contestants: Sequence[Contestant], target_recall: float) -> None:
    """One line a competitor, at the least effort that reaches the target."""
    print(f"\nat the least effort with recall@{workload.TOP_K} >= {target_recall}, or else the most:")
    print(
        f"{'':20} {'records/s':>10} {'cpu ms/record':>14} {'effort':>7} {'recall':>7} {'cpu ms/query':>13} "
        f"{'queries/s':>10} {'clients':>8}"
    )
    for each in contestants:
        results = each.results()
        if not each.inserts:
            print(f"{each.label:20} failed")
            continue
        insert, effort = results["insert"], each.effort_for(target_recall)
        for point in results["curve"]:
            if point["effort"] == effort:
                print(
                    f"{each.label:20} {insert['records_per_s_acknowledged']:10.0f} "
                    f"{insert['cpu_ms_per_record_indexed']:14.3f} {effort or '-':>7} {point['recall']:7.3f} "
                    f"{point['cpu_ms_per_query']:13.3f} {point['queries_per_s']:10.0f} {point['clients']:8}"
                )


if __name__ == "__main__":
    main()
