"""What must hold between the columns of a segment, beside the checksums: `docs/format/v1.md`, section "Segments".

A file whose checksums are right and that breaks one of these was written wrong.
"""

from itertools import pairwise
from typing import Final

import numpy as np

from pinyon.model.batches import squared_norms
from pinyon.model.record import Int64s
from pinyon.segment.column_file import ColumnFile
from pinyon.segment.column_format import data_loss
from pinyon.segment.id_hash import id_hashes
from pinyon.segment.id_order import id_order
from pinyon.segment.layout import NamespaceRows

_ROWS: Final = 65_536
"""Rows whose ids are strings at the same time."""


def read_namespaces(file: ColumnFile, row_count: int) -> list[NamespaceRows]:
    """The namespaces of a segment, in order of rows.

    Raises:
        DataLossError: their rows are not all rows, or their names are no text.
    """
    starts: Int64s = file.array("namespace_starts")
    if not len(starts) or starts[0] != 0 or starts[-1] != row_count or (np.diff(starts) < 0).any():
        raise data_loss(file.path, "the rows of its namespaces are not all rows")
    offsets = _checked_offsets(file, "namespace_offsets", "namespace_names")
    names = file.array("namespace_names").tobytes()
    try:
        texts = [names[begin:end].decode() for begin, end in pairwise(offsets.tolist())]
    except UnicodeDecodeError as error:
        raise data_loss(file.path, f"the name of a namespace is not UTF-8: {error}") from error
    bounds = pairwise(starts.tolist())
    return [NamespaceRows(name, start, stop) for name, (start, stop) in zip(texts, bounds, strict=True)]


def verify_rows(file: ColumnFile, namespaces: list[NamespaceRows]) -> None:
    """Compare the columns of all rows with one another.

    Raises:
        DataLossError: they do not fit.
    """
    if len({each.name for each in namespaces}) < len(namespaces):
        raise data_loss(file.path, "two of its namespaces have the same name")
    starts: Int64s = file.array("namespace_starts")
    offsets = _checked_offsets(file, "id_offsets", "ids")
    _checked_offsets(file, "metadata_offsets", "metadata")
    _checked_offsets(file, "sparse_offsets", "sparse_indices")
    hashes = _id_hashes(file, offsets)
    _verify_id_order(file, offsets, starts)
    _verify_hash_order(file, hashes, starts)
    _verify_norms(file)


def _checked_offsets(file: ColumnFile, name: str, target: str) -> Int64s:
    """Offsets that ascend from 0 to the end of the column into which they point."""
    offsets: Int64s = file.array(name)
    if offsets[0] != 0 or offsets[-1] != len(file.column(target)) or (np.diff(offsets) < 0).any():
        raise data_loss(file.path, f"column {name} does not divide column {target}")
    return offsets


def _id_hashes(file: ColumnFile, offsets: Int64s) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """The hash of each row's id, computed again."""
    content = file.array("ids").tobytes()
    if b"\0" in content or (np.diff(offsets) == 0).any():
        raise data_loss(file.path, "an id is empty or holds NUL")
    hashes = np.zeros(len(offsets) - 1, np.uint64)
    try:
        for start in range(0, len(hashes), _ROWS):
            bounds = offsets[start : start + _ROWS + 1].tolist()
            hashes[start : start + _ROWS] = id_hashes([content[begin:end].decode() for begin, end in pairwise(bounds)])
    except UnicodeDecodeError as error:
        raise data_loss(file.path, f"an id is not UTF-8: {error}") from error
    return hashes


def _verify_id_order(file: ColumnFile, offsets: Int64s, starts: Int64s) -> None:
    data, order = file.array("ids"), file.array("id_order").astype(np.int64)
    if not np.array_equal(order, id_order(data, offsets, starts)):
        raise data_loss(file.path, "column id_order does not order the ids of each namespace")
    content = data.tobytes()
    sorted_ids = [content[offsets[row] : offsets[row + 1]] for row in order.tolist()]
    first_rows = set(starts.tolist())
    for place, (one, other) in enumerate(pairwise(sorted_ids), start=1):
        if one == other and place not in first_rows:
            raise data_loss(file.path, f"two rows of a namespace have the id {one.decode()!r}")


def _verify_hash_order(file: ColumnFile, hashes: np.ndarray[tuple[int], np.dtype[np.uint64]], starts: Int64s) -> None:
    order, stored = file.array("hash_order").astype(np.int64), file.array("hashes")
    namespace = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    is_permutation = np.array_equal(np.sort(order), np.arange(len(order)))
    if not is_permutation or not np.array_equal(namespace[order], namespace):
        raise data_loss(file.path, "column hash_order does not order the rows of each namespace")
    if not np.array_equal(stored, hashes[order]):
        raise data_loss(file.path, "column hashes does not hold the hashes of the ids")
    if ((stored[1:] < stored[:-1]) & (namespace[1:] == namespace[:-1])).any():
        raise data_loss(file.path, "column hashes does not ascend in each namespace")


def _verify_norms(file: ColumnFile) -> None:
    """The stored lengths are about those of the vectors; how they were summed may differ by machine."""
    if "dense" not in file.names:
        return
    dense, stored = file.column("dense"), file.array("squared_norms")
    for start in range(0, len(dense), _ROWS // 8):
        stop = min(start + _ROWS // 8, len(dense))
        if not np.allclose(stored[start:stop], squared_norms(dense.slice(start, stop)), rtol=1e-3, atol=0):
            raise data_loss(file.path, "column squared_norms does not hold the squared lengths of the vectors")
