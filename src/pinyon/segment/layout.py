"""The columns of a segment that every segment has: names, dtypes, and how many rows they have.

`docs/format/v1.md`, section "Segments".
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from pinyon.segment.column_file import ColumnFile
from pinyon.segment.column_format import data_loss

SEGMENT_KIND: Final = "segment"

_DTYPES: Final[Mapping[str, type[np.generic]]] = {
    "namespace_names": np.uint8,
    "namespace_offsets": np.int64,
    "namespace_starts": np.int64,
    "ids": np.uint8,
    "id_offsets": np.int64,
    "id_order": np.uint32,
    "hashes": np.uint64,
    "hash_order": np.uint32,
    "sparse_offsets": np.int64,
    "sparse_indices": np.uint32,
    "sparse_values": np.float32,
    "metadata_offsets": np.int64,
    "metadata": np.uint8,
}
_DENSE_DTYPES: Final[Mapping[str, type[np.generic]]] = {"dense": np.float32, "squared_norms": np.float64}
RESERVED: Final = frozenset({*_DTYPES, *_DENSE_DTYPES})
"""Names that an extra column must not have."""

ROW_COUNT_MAX: Final = 2**32 - 1


class NamespaceRows(NamedTuple):
    """The rows of a segment that belong to a namespace: from `start` to `stop`."""

    name: str
    start: int
    stop: int


def dtype_of(name: str) -> type[np.generic]:
    """The dtype of a column."""
    return _DTYPES[name] if name in _DTYPES else _DENSE_DTYPES[name]


def check_columns(file: ColumnFile) -> tuple[int, int | None, dict[str, Any]]:
    """Row count, dimension and properties of a segment whose columns have the shapes that follow from them.

    Raises:
        DataLossError: they have not.
    """
    row_count, dimension = file.properties.get("row_count"), file.properties.get("dimension")
    properties = file.properties.get("properties")
    if not isinstance(row_count, int) or not isinstance(dimension, int | None) or not isinstance(properties, dict):
        raise data_loss(file.path, "its properties are not those of a segment")
    names = dict(_DTYPES) if dimension is None else {**_DTYPES, **_DENSE_DTYPES}
    lengths = {
        "namespace_offsets": len(file.column("namespace_starts")),
        "id_offsets": row_count + 1,
        "id_order": row_count,
        "hashes": row_count,
        "hash_order": row_count,
        "squared_norms": row_count,
        "sparse_offsets": row_count + 1,
        "sparse_values": len(file.column("sparse_indices")),
        "metadata_offsets": row_count + 1,
    }
    for name, dtype in names.items():
        column = file.column(name)
        shape = (row_count, dimension) if name == "dense" else (lengths.get(name, len(column)),)
        if column.dtype != dtype or column.shape != shape:
            raise data_loss(file.path, f"column {name} is {column.dtype} {column.shape} where {shape} must be")
    return row_count, dimension, properties
