"""Which rows are dead comes back bit by bit, and only for the segment and the LSN that it was written for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinyon.errors import DataLossError, FailedPreconditionError
from pinyon.segment.column_file_writer import ColumnFileWriter
from pinyon.segment.dead_rows import read_dead_rows, write_dead_rows
from pinyon.storage.memory import MemoryStorage

PATH = "dead"


@given(dead=st.lists(st.booleans(), max_size=40))
def test_dead_rows_come_back(dead: list[bool]) -> None:
    storage = MemoryStorage()
    _write(storage, dead)
    found = _read(storage, len(dead))
    assert found.dtype == np.bool_
    assert found.tolist() == dead


@pytest.mark.parametrize("wrong", [{"segment_number": 8}, {"lsn": 10}, {"row_count": 4}])
def test_those_of_another_segment_or_lsn_are_data_loss(wrong: dict[str, int]) -> None:
    storage = MemoryStorage()
    _write(storage, [True, False, True])
    with pytest.raises(DataLossError, match=f"{PATH}: it has {next(iter(wrong))}"):
        read_dead_rows(storage, PATH, **{"segment_number": 7, "lsn": 9, "row_count": 3, **wrong})


def test_a_missing_file_is_data_loss() -> None:
    with pytest.raises(DataLossError, match="dead: the file is missing"):
        _read(MemoryStorage(), 3)


def test_damage_is_noticed() -> None:
    storage = MemoryStorage()
    dead = [True, False, True] * 5
    _write(storage, dead)
    content = bytes(storage.read(PATH))
    noticed = 0
    for at in range(len(content)):
        storage.replace(PATH, content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        try:
            assert _read(storage, len(dead)).tolist() == dead
        except (DataLossError, FailedPreconditionError) as error:
            assert error.message.startswith(PATH)  # noqa: PT017
            noticed += 1
    assert noticed > len(content) // 2  # The rest is zeros between the parts of the file.


@pytest.mark.parametrize(("bits", "what"), [([0b101, 0], "a bit for each"), ([0b111], "not those that it counts")])
def test_what_was_written_wrong_is_found(bits: list[int], what: str) -> None:
    storage = MemoryStorage()
    writer = ColumnFileWriter(storage.create(PATH), "dead rows")
    writer.write("dead", [np.array(bits, np.uint8)], np.uint8)
    writer.finish({"segment_number": 7, "lsn": 9, "row_count": 3, "dead_count": 2})
    with pytest.raises(DataLossError, match=what):
        _read(storage, 3)


def _write(storage: MemoryStorage, dead: list[bool]) -> None:
    mask = np.array(dead, np.bool_)
    write_dead_rows(storage, PATH, segment_number=7, lsn=9, row_count=len(dead), dead=mask)


def _read(storage: MemoryStorage, row_count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return read_dead_rows(storage, PATH, segment_number=7, lsn=9, row_count=row_count)
