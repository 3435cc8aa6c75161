"""Draws the results of a session: `python -m benchmarks.peers.plots RESULTS.json`. Runs in the environment of tools.

Beside the JSON it writes `-queries.svg` (recall against queries a second and CPU a query) and `-filters.svg`.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib as mpl  # type: ignore[import,unused-ignore]

mpl.use("svg")
# The same results make the same bytes.
mpl.rcParams.update({"svg.hashsalt": "pinyon", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3})

from matplotlib import pyplot as plt  # noqa: E402 # type: ignore[import,unused-ignore]

MARKERS = "os^vDP*X<>hd"
RECALL_TICKS = (0.5, 0.8, 0.9, 0.95, 0.97, 0.99, 0.999)
MISSES_MIN = 0.0005
"""Where a recall of 1 is drawn, on an axis that gives the last percent as much room as the first ninety."""


def draw_queries(results: dict[str, Any], target: Path) -> None:
    clients = sorted({point["clients"] for peer in results["peers"].values() for point in peer["curve"]})
    if not clients:
        return
    figure, all_axes = plt.subplots(2, len(clients), figsize=(6 * len(clients), 9), squeeze=False, layout="constrained")
    figure.suptitle(_title(results), fontsize=8)
    for column, count in enumerate(clients):
        for row, (figure_of, label) in enumerate(
            (("queries_per_s", "queries/s (up is better)"), ("cpu_ms_per_query", "CPU ms/query (down is better)"))
        ):
            axes = all_axes[row][column]
            for number, (name, peer) in enumerate(results["peers"].items()):
                points = sorted((_misses(p["recall"]), p[figure_of]) for p in peer["curve"] if p["clients"] == count)
                if points:
                    axes.plot(*zip(*points, strict=True), marker=MARKERS[number % len(MARKERS)], ms=4, label=name)
            axes.set(title=f"{count} client{'s' * (count > 1)}", ylabel=label, yscale="log")
            _scale_recall(axes, axes.xaxis, axes.set_xlabel)
    all_axes[0][0].legend(fontsize=8)
    _save(figure, target)


def draw_filters(results: dict[str, Any], target: Path) -> None:
    points: dict[str, dict[str, list[tuple[float, float, float]]]] = defaultdict(lambda: defaultdict(list))
    for name, peer in results["peers"].items():
        for point in peer["filters"]:
            point_of = (point["selectivity_percent"], point["recall"], point["cpu_ms_per_query"])
            points[point["filter"]][name].append(point_of)
    if not points:
        return
    figure, all_axes = plt.subplots(2, len(points), figsize=(5 * len(points), 8), squeeze=False, layout="constrained")
    figure.suptitle(f"filters: {_title(results)}", fontsize=8)
    colours = {name: f"C{number}" for number, name in enumerate(results["peers"])}
    for column, (kind, by_peer) in enumerate(points.items()):
        for name, measured in by_peer.items():
            measured.sort()
            marker = MARKERS[list(results["peers"]).index(name) % len(MARKERS)]
            shares = [each[0] for each in measured]
            style = {"marker": marker, "ms": 4, "label": name, "color": colours[name]}
            all_axes[0][column].plot(shares, [_misses(each[1]) for each in measured], **style)
            all_axes[1][column].plot(shares, [each[2] for each in measured], **style)
        all_axes[0][column].set(title=kind, xscale="log")
        _scale_recall(all_axes[0][column], all_axes[0][column].yaxis, all_axes[0][column].set_ylabel)
        all_axes[1][column].set(xscale="log", yscale="log", xlabel="% of records that match", ylabel="CPU ms/query")
    all_axes[0][0].legend(fontsize=8)
    _save(figure, target)


def _misses(recall: float) -> float:
    return max(1 - recall, MISSES_MIN)


def _scale_recall(axes: Any, axis: Any, set_label: Any) -> None:
    """Make an axis of misses one of recall, which grows along it."""
    is_x = axis is axes.xaxis
    (axes.set_xscale if is_x else axes.set_yscale)("log")
    axis.set_ticks([1 - each for each in RECALL_TICKS] + [MISSES_MIN], labels=[*map(str, RECALL_TICKS), "1"])
    axis.set_ticks([], minor=True)
    axis.set_inverted(True)
    set_label("recall@10")


def _title(results: dict[str, Any]) -> str:
    data, machine = results["data"], results["machine"]
    return (
        f"{data['name']}, {data['rows']:,} x {data['dimension']}, {data['metric']}; "
        f"{machine['processors']} processors, commit {machine['commit']}"
    )


def _save(figure: Any, target: Path) -> None:
    figure.savefig(target, metadata={"Date": None})


def main() -> None:
    path = Path(sys.argv[1])
    results = json.loads(path.read_text())
    draw_queries(results, path.with_name(f"{path.stem}-queries.svg"))
    draw_filters(results, path.with_name(f"{path.stem}-filters.svg"))


if __name__ == "__main__":
    main()
