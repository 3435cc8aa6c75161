"""The records, queries and right answers of a session: arrays in a folder, which every worker maps.

All of it follows from the data and SEED, so that two sessions over the same data ask the same.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.protocol import Batch, Floats, Int64s, Schema, Where

TOP_K: Final = 10
SEED: Final = 7
BLOCK_ROWS: Final = 50_000
SCORE_TOLERANCE: Final = 1e-5
"""Of the score of the last right answer. Ties and float32's rounding must not count as misses."""


class FilterKind(NamedTuple):
    """Filters of one kind and selectivity: each query asks for one of `values` equally common values of a field."""

    kind: str
    values: int

    @property
    def name(self) -> str:
        return f"{self.kind}_{self.values}"

    @property
    def field(self) -> str:
        return f"{'random' if self.kind == 'random' else 'cluster'}_{self.values}"


FILTER_KINDS: Final = ("random", "near", "far")
"""Values that do not depend on vectors; values that name a region of space, asked for by a query that lies in it or
right beside it; the same asked for by a query that lies far away."""


class Workload:
    """What `build` made, opened from its folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        properties = json.loads((folder / "workload.json").read_text())
        self.metric: str = properties["metric"]
        self.filters = [FilterKind(**each) for each in properties["filters"]]
        self.vectors: Floats = np.load(folder / "vectors.npy", mmap_mode="r")
        self.queries: Floats = np.load(folder / "queries.npy")
        self._values = {field: np.load(folder / f"{field}.npy") for field in sorted({f.field for f in self.filters})}
        self._metadata = _read_lines(folder / "metadata.jsonl")

    @property
    def schema(self) -> Schema:
        return Schema(self.vectors.shape[1], self.metric, tuple(self._values), len(self.vectors))

    def batches(self, records_per_batch: int) -> Iterator[Batch]:
        """All records, in order."""
        for start in range(0, len(self.vectors), records_per_batch):
            rows = range(start, min(start + records_per_batch, len(self.vectors)))
            yield Batch(rows, self.vectors[rows.start : rows.stop], [self._record(row) for row in rows])

    def wheres(self, kind: FilterKind | None) -> list[Where | None]:
        """The filter of each query."""
        if kind is None:
            return [None] * len(self.queries)
        asked = np.load(self._folder / f"asked_{kind.name}.npy")
        return [Where(kind.field, str(value)) for value in asked]

    def recalls(self, found: dict[int, list[int]], kind: FilterKind | None) -> list[float]:
        """The share of right answers among the first TOP_K.

        An answer is right if its record matches the filter and scores no less than the last of the exact answers.

        Args:
            found: rows found, by number of the query.
            kind: the filters that were asked for.
        """
        name = "all" if kind is None else kind.name
        last_scores, match_counts = np.load(self._folder / f"truth_{name}.npy")
        asked = None if kind is None else np.load(self._folder / f"asked_{kind.name}.npy")
        recalls = []
        for query, rows in found.items():
            if match_counts[query]:
                distinct = np.array(sorted(set(rows[:TOP_K])), np.int64)
                if asked is not None and kind is not None:
                    distinct = distinct[self._values[kind.field][distinct] == asked[query]]
                scores = score(self.metric, self.queries[query : query + 1], self.vectors[distinct])[0]
                tolerance = SCORE_TOLERANCE * max(1.0, abs(last_scores[query]))
                right = int(np.count_nonzero(scores >= last_scores[query] - tolerance))
                recalls.append(min(1.0, right / min(TOP_K, match_counts[query])))
        return recalls

    def _record(self, row: int) -> dict[str, Any]:
        fields = {field: str(values[row]) for field, values in self._values.items()}
        return self._metadata[row % len(self._metadata)] | fields if self._metadata else fields


def build(
    folder: Path, vectors: Floats, queries: Floats, metric: str, selectivities_percent: list[float], kinds: list[str]
) -> None:
    """Write what a `Workload` reads, but for `metadata.jsonl`.

    Args:
        folder: an existing folder.
        vectors: `(n, dimension)`; of unit length already where the metric is cosine.
        queries: `(m, dimension)`, likewise.
        metric: `cosine`, `euclidean` or `dotproduct`.
        selectivities_percent: how much of the records filters shall match; those that would match none are left out.
        kinds: some of FILTER_KINDS.
    """
    rng = np.random.default_rng(SEED)
    counts = [round(100 / percent) for percent in selectivities_percent if len(vectors) * percent >= 100]
    filters = [FilterKind(kind, values) for kind in kinds for values in counts]
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "queries.npy", queries)
    best_rows, best_scores = _best(metric, queries, vectors, np.arange(len(vectors)), TOP_K)
    np.save(folder / "truth_all.npy", _truth(best_scores, np.full(len(queries), len(vectors))))
    fields: dict[str, Int64s] = {}
    for each in filters:
        if each.field not in fields:
            random = each.field.startswith("random")
            fields[each.field] = (
                rng.permutation(len(vectors)) % each.values if random else regions(vectors, each.values, rng)
            )
            np.save(folder / f"{each.field}.npy", fields[each.field])
        values = fields[each.field]
        if each.kind == "random":
            asked = rng.integers(each.values, size=len(queries))
        elif each.kind == "near":
            asked = values[best_rows[:, 0]]
        else:
            sample = np.sort(rng.choice(len(vectors), min(1000, len(vectors)), replace=False))
            asked = values[sample[np.argmin(score(metric, queries, vectors[sample]), axis=1)]]
        np.save(folder / f"asked_{each.name}.npy", asked)
        np.save(folder / f"truth_{each.name}.npy", _filtered_truth(metric, queries, vectors, values, asked))
    properties = {"metric": metric, "filters": [each._asdict() for each in filters]}
    (folder / "workload.json").write_text(json.dumps(properties))


def score(metric: str, queries: Floats, rows: Floats) -> Floats:
    """`(len(queries), len(rows))`: higher is nearer, in the order of the metric."""
    products: Floats = queries @ rows.T
    if metric == "euclidean":
        products = 2 * products - np.einsum("ij,ij->i", rows, rows)
    return products


def regions(vectors: Floats, count: int, rng: np.random.Generator) -> Int64s:
    """Split space into `count` regions of equally many vectors. Returns the region of each vector.

    Halves again and again, across the direction in which vectors differ most.
    """
    region = np.zeros(len(vectors), np.int64)
    waiting = [(np.arange(len(vectors)), 0, count)]
    while waiting:
        rows, first, parts = waiting.pop()
        if parts == 1:
            region[rows] = first
            continue
        # In order of rows, which a mapped file reads best.
        sample = vectors[np.sort(rng.choice(rows, min(1000, len(rows)), replace=False))]
        along = np.concatenate(
            [vectors[rows[i : i + BLOCK_ROWS]] @ _axis(sample) for i in range(0, len(rows), BLOCK_ROWS)]
        )
        low = len(rows) * (parts // 2) // parts
        order = np.argpartition(along, low)
        waiting.append((np.sort(rows[order[:low]]), first, parts // 2))
        waiting.append((np.sort(rows[order[low:]]), first + parts // 2, parts - parts // 2))
    return region


def _axis(sample: Floats) -> Floats:
    """About the first principal axis, by a few steps of power iteration."""
    centred = sample - sample.mean(axis=0)
    axis: Floats = centred[0] + np.float32(1e-6)
    for _ in range(5):
        axis = centred.T @ (centred @ axis)
        axis = axis / (np.linalg.norm(axis) + np.float32(1e-30))
    return axis


def _filtered_truth(
    metric: str, queries: Floats, vectors: Floats, values: Int64s, asked: Int64s
) -> NDArray[np.float64]:
    last_scores = np.zeros(len(queries), np.float32)
    match_counts = np.zeros(len(queries), np.int64)
    by_value = np.argsort(values, kind="stable")
    sorted_values = values[by_value]
    for value in np.unique(asked):
        rows = by_value[np.searchsorted(sorted_values, value) : np.searchsorted(sorted_values, value, "right")]
        those = np.flatnonzero(asked == value)
        match_counts[those] = len(rows)
        if len(rows):
            last_scores[those] = _best(metric, queries[those], vectors, rows, TOP_K)[1][:, -1]
    return _truth(last_scores[:, None], match_counts)


def _truth(best_scores: Floats, match_counts: Int64s) -> NDArray[np.float64]:
    """`(2, m)`: the score of the last right answer of each query, and how many records match its filter."""
    return np.stack([best_scores[:, -1].astype(np.float64), match_counts.astype(np.float64)])


def _best(metric: str, queries: Floats, vectors: Floats, rows: Int64s, top_k: int) -> tuple[Int64s, Floats]:
    """The best of `rows` for each query, best first, by computing every score, a block of rows at a time."""
    best_rows = np.empty((len(queries), 0), np.int64)
    best_scores = np.empty((len(queries), 0), np.float32)
    for start in range(0, len(rows), BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS]
        scores = score(metric, queries, vectors[block])
        keep = min(top_k, len(block))
        columns = np.argpartition(-scores, keep - 1, axis=1)[:, :keep]
        best_rows = np.hstack([best_rows, block[columns]])
        best_scores = np.hstack([best_scores, np.take_along_axis(scores, columns, axis=1)])
        order = np.argsort(-best_scores, axis=1, kind="stable")[:, :top_k]
        best_rows = np.take_along_axis(best_rows, order, axis=1)
        best_scores = np.take_along_axis(best_scores, order, axis=1)
    return best_rows, best_scores


def _read_lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    with path.open() as lines:
        return [json.loads(line) for line in lines]
