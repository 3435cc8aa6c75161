"""The vectors that a session uses: given as files, those of a public package, or made from a seed."""

import argparse
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from benchmarks.peers.environments import PEERS, ROOT, ensure_environment
from benchmarks.peers.protocol import Floats

GLOVE: Final = "glove"
"""400,000 word vectors with 50 dimensions, real and in the public domain: the default."""

SYNTHETIC: Final = "synthetic"
SYNTHETIC_DIMENSION: Final = 384
SYNTHETIC_ROWS_PER_CLUSTER: Final = 200
NOISE: Final = 0.5
"""Of the length of a vector, added to copies where more rows are asked for than there are: enough that a copy is one of
the neighbours of its original, not its double."""

BLOCK_ROWS: Final = 100_000


class Dataset(NamedTuple):
    vectors: Floats
    queries: Floats


def add_options(parser: argparse.ArgumentParser, *, data: str = GLOVE, rows: int | None = None) -> None:
    """Have a command take the arguments `data`, `queries` and `rows` of `load`, with these defaults."""
    add = parser.add_argument
    add("--data", default=data, metavar="FILE", help="npy or parquet file, `glove` or `synthetic` [%(default)s]")
    add("--queries", type=Path, metavar="FILE", help="npy or parquet file; default: some of the vectors, set aside")
    add(
        "--rows", type=int, default=rows, metavar="N",
        help=f"how many vectors; more than there are makes copies with noise [{rows or 'all'}]",
    )  # fmt: skip


def load(
    data: str, queries: Path | None, *, rows: int | None, query_count: int, is_unit: bool, folder: Path
) -> Dataset:
    """Read or make the vectors.

    Args:
        data: GLOVE, SYNTHETIC, or an npy or parquet file.
        queries: another such file; None sets `query_count` of the vectors aside.
        rows: how many vectors to take; more than there are makes copies with noise. None takes all.
        query_count: how many queries to take.
        is_unit: whether to bring them to unit length.
        folder: for files that are needed on the way.
    """
    rng = np.random.default_rng(1)
    if data == SYNTHETIC:
        vectors = _synthetic((rows or 100_000) + query_count, rng)
    else:
        vectors = _read(data, folder / "source.npy")
    if queries is None:
        chosen = np.zeros(len(vectors), np.bool_)
        chosen[rng.choice(len(vectors), min(query_count, len(vectors) // 10), replace=False)] = True
        asked, vectors = vectors[chosen], vectors[~chosen]
    else:
        asked = _read(str(queries), folder / "source_queries.npy")[:query_count]
    vectors = _with_rows(vectors, rows or len(vectors), rng)
    return Dataset(*(_finished(each, is_unit=is_unit) for each in (vectors, asked)))


def convert_metadata(source: Path, target: Path) -> None:
    """Make a parquet file of records into the lines that a `Workload` reads."""
    _run_tables("metadata", str(source), str(target))


def _read(data: str, target: Path) -> Floats:
    if data == GLOVE:
        _run_tables("glove", str(target))
    elif data.endswith(".npy"):
        target = Path(data)
    else:
        _run_tables("vectors", data, str(target))
    array: Floats = np.load(target, mmap_mode="r")
    return array


def _run_tables(*arguments: str) -> None:
    interpreter = ensure_environment("tools", PEERS / "tools" / "requirements.txt")
    subprocess.run([interpreter, "-m", "benchmarks.peers.tables", *arguments], check=True, cwd=ROOT)


def _synthetic(count: int, rng: np.random.Generator) -> Floats:
    """Clusters of very different sizes in space, around centres that are themselves clustered."""
    clusters = max(1, count // SYNTHETIC_ROWS_PER_CLUSTER)
    parents = rng.standard_normal((max(1, clusters // 20), SYNTHETIC_DIMENSION), np.float32)
    centres = parents[rng.integers(len(parents), size=clusters)]
    centres = centres + rng.standard_normal(centres.shape, np.float32)
    widths = rng.uniform(0.3, 1.2, clusters).astype(np.float32)
    belongs = rng.integers(clusters, size=count)
    vectors = centres[belongs]
    for start in range(0, count, BLOCK_ROWS):
        block = vectors[start : start + BLOCK_ROWS]
        block += rng.standard_normal(block.shape, np.float32) * widths[belongs[start : start + BLOCK_ROWS], None]
    return vectors


def _with_rows(vectors: Floats, rows: int, rng: np.random.Generator) -> Floats:
    """The first rows; beyond the last, all of them again with noise."""
    if rows <= len(vectors):
        return vectors[:rows]
    grown = np.empty((rows, vectors.shape[1]), np.float32)
    for start in range(0, rows, BLOCK_ROWS):
        block = vectors[np.arange(start, min(start + BLOCK_ROWS, rows)) % len(vectors)].astype(np.float32)
        copies = np.arange(start, start + len(block)) >= len(vectors)
        lengths = np.linalg.norm(block, axis=1, keepdims=True) / np.float32(block.shape[1] ** 0.5)
        noise = rng.standard_normal(block.shape, np.float32) * lengths * np.float32(NOISE)
        grown[start : start + len(block)] = np.where(copies[:, None], block + noise, block)
    return grown


def _finished(vectors: Floats, *, is_unit: bool) -> Floats:
    finished = np.ascontiguousarray(vectors, np.float32)
    if is_unit:
        finished = finished / np.maximum(np.linalg.norm(finished, axis=1, keepdims=True), np.float32(1e-30))
    return finished
