"""`python -m benchmarks.sparse [rows.npz [queries.npz]]`: sparse and hybrid search, in this process.

What is compared takes turns within one run, on the same data and the same queries; CPU of the process is measured, and
the median of the rounds is printed and kept in `benchmarks/results/sparse.json`. Without arguments the short texts are
made up. A file holds rows in CSR form: `indptr`, `indices` (uint32) and `values` (float32); without a file of queries,
some of its rows are the queries.
"""

import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import scipy.sparse
import threadpoolctl

from benchmarks.__main__ import RESULTS, machine
from pinyon.engine.background import Background
from pinyon.engine.database import Database
from pinyon.engine.operations import UpsertRecords
from pinyon.engine.search_plan import SearchPlan
from pinyon.model.index import Deployment, IndexDefinition
from pinyon.model.metric import Metric, VectorType
from pinyon.model.record import Float32s, RecordBatch, SparseColumn, SparseVector
from pinyon.storage.memory import MemoryStorage

ROUNDS: Final = 7
TOP_K: Final = 10
ROWS_PER_REQUEST: Final = 1000
DIMENSION: Final = 384

Search = Callable[[int], object]


class Filled:
    """An index in memory, filled in requests of a thousand rows, with its runs built or without any."""

    def __init__(self, rows: SparseColumn, dense: Float32s | None = None, *, with_runs: bool = True) -> None:
        salts = itertools.count()
        self._background = Background()
        self._database = Database(
            MemoryStorage(),
            new_salt=lambda: next(salts).to_bytes(16, "little"),
            log_file_bytes_max=2**40,
            run_later=self._background.submit if with_runs else None,
        )
        self.index = self._database.create(_definition(dense))
        started_s = time.process_time()
        for first in range(0, len(rows), ROWS_PER_REQUEST):
            self.index.write(UpsertRecords("n", _batch(rows, dense, first, min(first + ROWS_PER_REQUEST, len(rows)))))
        self.write_us_per_row = 1e6 * (time.process_time() - started_s) / len(rows)
        self._background.drain()

    @property
    def run_values(self) -> list[int]:
        """The number of values in each run."""
        return [len(run.postings) for each in self.index.read("n")[0].memtables for run in each.runs.runs]

    def settle(self) -> None:
        """Wait for the runs that searches asked for."""
        self.index.read("n")
        self._background.drain()

    def searches(self, sparse: Sequence[SparseVector] | None, dense: Float32s | None = None) -> Search:
        """Search number n takes the nth of either."""

        def search(number: int) -> object:
            plan = SearchPlan(
                Metric.DOTPRODUCT,
                TOP_K,
                None if dense is None else dense[number],
                None if sparse is None else sparse[number],
                None,
                include_values=False,
                include_metadata=False,
            )
            return self.index.search(self.index.read("n")[0], plan)

        return search

    def close(self) -> None:
        self._database.close()
        self._background.close()


def short_texts(rows: SparseColumn, queries: Sequence[SparseVector]) -> dict[str, Any]:
    """BM25-like rows against what scipy needs to gather the same columns and to choose the best ten.

    First with the runs that upserts leave, then with those that so many searches have joined.
    """
    filled = Filled(rows)
    ours, baseline = filled.searches(queries), scipy_searches(rows, queries)
    result: dict[str, Any] = {"write_us_per_row": filled.write_us_per_row}
    # So few searches at first that the runs stay as they are.
    for state, count in {"after_upserts": 20, "after_searches": 300}.items():
        result[f"{state}_run_values"] = filled.run_values
        result |= named(state, compared(ours, baseline, "scipy", min(len(queries), count)))
        for number in range(len(queries)):
            ours(number)
        filled.settle()
    filled.close()
    return result


def splade_like(rows: SparseColumn, queries: Mapping[int, Sequence[SparseVector]]) -> dict[str, Any]:
    """Long rows with long posting lists, against a scan of all rows; by the number of terms of a query."""
    filled, scanned = Filled(rows), Filled(rows, with_runs=False)
    result: dict[str, Any] = {"run_values": filled.run_values, "write_us_per_row": filled.write_us_per_row}
    for term_count, vectors in queries.items():
        figures = compared(filled.searches(vectors), scanned.searches(vectors), "scan", len(vectors), rounds=3)
        result |= named(f"{term_count}_terms", figures)
    filled.close()
    scanned.close()
    return result


def hybrid(rows: SparseColumn, queries: Sequence[SparseVector]) -> dict[str, Any]:
    """Records with both parts searched by both, against a dense and a sparse search one after the other."""
    dense = np.random.default_rng(7).standard_normal((len(rows), DIMENSION), np.float32)
    filled, sparse_only = Filled(rows, dense), Filled(rows)
    dense_search, sparse_search = filled.searches(None, dense), sparse_only.searches(queries)

    def both(number: int) -> object:
        return dense_search(number), sparse_search(number)

    figures = compared(filled.searches(queries, dense), both, "sum", len(queries))
    filled.close()
    sparse_only.close()
    return figures


def named(prefix: str, figures: Mapping[str, float]) -> dict[str, float]:
    return {f"{prefix}_{name}": figure for name, figure in figures.items()}


def scipy_searches(rows: SparseColumn, queries: Sequence[SparseVector]) -> Search:
    """The best ten by scipy: a product of the columns of a query's terms, which are looked up among all terms."""
    terms, numbers = np.unique(rows.indices, return_inverse=True)
    matrix = scipy.sparse.csr_matrix(
        (rows.values, numbers.astype(np.int32), rows.offsets), shape=(len(rows), len(terms))
    ).tocsc()

    def search(number: int) -> object:
        query = queries[number]
        places = np.minimum(np.searchsorted(terms, query.indices), len(terms) - 1)
        known = terms[places] == query.indices
        scores = matrix[:, places[known]] @ query.values[known]
        return np.argpartition(-scores, TOP_K)[:TOP_K]

    return search


def compared(ours: Search, baseline: Search, name: str, count: int, rounds: int = ROUNDS) -> dict[str, float]:
    """CPU-ms a query of either, and how many times the baseline's ours is, by the median over the rounds."""
    cpu_ms(ours, count), cpu_ms(baseline, count)  # Warms up.
    measured = [(cpu_ms(ours, count), cpu_ms(baseline, count)) for _ in range(rounds)]
    return {
        "ratio": statistics.median(mine / other for mine, other in measured),
        "cpu_ms": statistics.median(mine for mine, _ in measured),
        f"{name}_cpu_ms": statistics.median(other for _, other in measured),
    }


def cpu_ms(search: Search, count: int) -> float:
    started_s = time.process_time()
    for number in range(count):
        search(number)
    return 1e3 * (time.process_time() - started_s) / count


def zipf_rows(count: int, draws: int, vocabulary: int, seed: int, *, skipped: int = 0) -> SparseColumn:
    """Rows of as many terms as `draws` draws by Zipf's law give, without the `skipped` most frequent terms.

    Terms are spread over all of uint32.
    """
    rng = np.random.default_rng(seed)
    cumulated = np.cumsum(1 / np.arange(1 + skipped, vocabulary + 1 + skipped))
    drawn = np.searchsorted(cumulated, rng.random((count, draws)) * cumulated[-1])
    drawn.sort(axis=1)
    kept = np.ones(drawn.shape, np.bool_)
    np.not_equal(drawn[:, 1:], drawn[:, :-1], out=kept[:, 1:])
    names = np.random.default_rng(0).choice(2**32, vocabulary, replace=False).astype(np.uint32)
    offsets = np.concatenate(([0], np.cumsum(kept.sum(axis=1))))
    indices = names[drawn[kept]]
    return SparseColumn(offsets, indices, rng.gamma(1.5, 0.5, len(indices)).astype(np.float32))


def vectors_of(rows: SparseColumn) -> list[SparseVector]:
    return [vector for vector in map(rows.__getitem__, range(len(rows))) if len(vector.indices)]


def loaded(path: str) -> SparseColumn:
    with np.load(path) as file:
        return SparseColumn(file["indptr"].astype(np.int64), file["indices"], file["values"])


def _definition(dense: Float32s | None) -> IndexDefinition:
    return IndexDefinition(
        name="bench",
        index_id="bench",
        vector_type=VectorType.SPARSE if dense is None else VectorType.DENSE,
        dimension=None if dense is None else dense.shape[1],
        metric=Metric.DOTPRODUCT,
        deployment=Deployment(kind="serverless"),
    )


def _batch(rows: SparseColumn, dense: Float32s | None, first: int, end: int) -> RecordBatch:
    ids = [f"id-{row}" for row in range(first, end)]
    offsets = rows.offsets[first : end + 1]
    values = slice(offsets[0], offsets[-1])
    part = SparseColumn(offsets - offsets[0], rows.indices[values], rows.values[values])
    return RecordBatch(ids, None if dense is None else dense[first:end], part, None)


def main() -> None:
    if sys.argv[1:]:
        rows = loaded(sys.argv[1])
        queries = vectors_of(loaded(sys.argv[2])) if sys.argv[2:] else vectors_of(rows)[:: len(rows) // 1000]
    else:
        # As of short texts without their stop words: 7 terms a row, and a query shares one with an eighth of the rows.
        rows = zipf_rows(100_000, 7, 60_000, 1, skipped=4)
        queries = vectors_of(zipf_rows(1000, 7, 60_000, 2, skipped=4))
    long_rows = zipf_rows(200_000, 190, 30_522, 3)
    long_queries = {terms: vectors_of(zipf_rows(10, draws, 30_522, 4)) for terms, draws in ((30, 35), (120, 190))}
    results: dict[str, Any] = {"machine": machine()}
    with threadpoolctl.threadpool_limits(1, user_api="blas"):  # As the server does.
        results["short-texts"] = short_texts(rows, queries)
        results["splade-like"] = splade_like(long_rows, long_queries)
        results["hybrid"] = hybrid(rows, queries[:50])
    for name, figures in results.items():
        print(name, "  ".join(f"{figure}={shown(value)}" for figure, value in figures.items()))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "sparse.json").write_text(json.dumps(results, indent=2) + "\n")


def shown(figure: object) -> str:
    return f"{figure:.4g}" if isinstance(figure, float) else str(figure)


if __name__ == "__main__":
    main()
