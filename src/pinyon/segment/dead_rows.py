"""Which rows of a segment were dead at an LSN: a bitmap in a column file of its own, never changed.

`docs/format/v1.md`, section "Dead rows".
"""

from typing import Final

import numpy as np

from pinyon.model.record import Lsn, Mask
from pinyon.segment.column_file import ColumnFile
from pinyon.segment.column_file_writer import ColumnFileWriter
from pinyon.segment.column_format import data_loss
from pinyon.storage.protocol import Storage

_KIND: Final = "dead rows"


def write_dead_rows(storage: Storage, path: str, *, segment_number: int, lsn: Lsn, row_count: int, dead: Mask) -> None:
    """Write which rows, `(row_count,)`, were dead at `lsn`; the file is durable, its name is not yet.

    Raises:
        UnavailableError: the disk failed; part of the file may be there.
    """
    assert dead.shape == (row_count,)
    file = storage.create(path)
    try:
        writer = ColumnFileWriter(file, _KIND)
        writer.write("dead", [np.packbits(dead, bitorder="little")], np.uint8)
        properties = _properties(segment_number, lsn, row_count)
        writer.finish(properties | {"dead_count": int(np.count_nonzero(dead))})
    finally:
        file.close()


def read_dead_rows(storage: Storage, path: str, *, segment_number: int, lsn: Lsn, row_count: int) -> Mask:
    """Which rows were dead at `lsn`, `(row_count,)`.

    Raises:
        DataLossError: the file is missing, damaged, or that of another segment or LSN; names it.
        FailedPreconditionError: a newer Pinyon wrote it.
    """
    file = ColumnFile.open(storage, path, _KIND)
    for name, expected in _properties(segment_number, lsn, row_count).items():
        if file.properties.get(name) != expected:
            raise data_loss(path, f"it has {name} {file.properties.get(name)} where {expected} must be")
    bits = file.array("dead")
    if bits.dtype != np.uint8 or bits.shape != (-(-row_count // 8),):
        raise data_loss(path, f"it does not have a bit for each of {row_count} rows")
    dead = np.unpackbits(bits, count=row_count, bitorder="little").view(np.bool_)
    if np.count_nonzero(dead) != file.properties.get("dead_count"):
        raise data_loss(path, "its bits are not those that it counts")
    return dead


def _properties(segment_number: int, lsn: Lsn, row_count: int) -> dict[str, int]:
    return {"segment_number": segment_number, "lsn": lsn, "row_count": row_count}
