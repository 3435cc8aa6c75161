"""Columns come back as they were written; every damaged byte is an error that names the file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pinyon.errors import DataLossError, FailedPreconditionError, UnavailableError
from pinyon.segment.column_file import ColumnFile
from pinyon.segment.column_file_writer import ColumnFileWriter
from pinyon.segment.column_format import CHUNK_BYTES, HEADER_BYTES, TRAILER_BYTES
from pinyon.storage.local import LocalStorage
from pinyon.storage.memory import MemoryStorage
from pinyon.storage.protocol import Storage
from pinyon.testing.simulated_disk import SimulatedDisk

PATH = "columns"
COLUMNS: dict[str, NDArray[Any]] = {
    "small": np.arange(5, dtype=np.uint8),
    "none": np.zeros((0, 3), np.float32),
    "wide": np.arange(60_000, dtype=np.float32).reshape(-1, 12),
    "long": np.arange(30_000, dtype=np.int64),
}


@pytest.fixture(params=["local", "memory", "simulated"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    kinds: dict[str, Storage] = {
        "local": LocalStorage(tmp_path),
        "memory": MemoryStorage(),
        "simulated": SimulatedDisk(),
    }
    return kinds[request.param]


def test_columns_and_properties_come_back(storage: Storage) -> None:
    file = _written(storage)
    assert file.properties == {"answer": 42, "list": [None, "é"]}
    assert (file.path, file.names, file.nbytes) == (PATH, list(COLUMNS), len(storage.read(PATH)))
    for name, column in COLUMNS.items():
        array = file.array(name)
        np.testing.assert_array_equal(array, column)
        assert array.dtype == column.dtype
        assert not array.flags.writeable
        assert (file.column(name).shape, file.column(name).dtype) == (column.shape, column.dtype)
    file.verify()


@given(lengths=st.lists(st.integers(0, 40_000), max_size=6))
def test_how_a_column_is_cut_into_parts_does_not_show(lengths: list[int]) -> None:
    whole, cut = MemoryStorage(), MemoryStorage()
    column = np.arange(sum(lengths), dtype=np.uint32)
    _write(whole, {"a": [column]})
    _write(cut, {"a": np.split(column, np.cumsum(lengths)[:-1]) if lengths else []}, dtypes={"a": np.uint32})
    assert whole.read(PATH) == cut.read(PATH)


def test_a_part_may_be_overwritten_when_the_next_is_asked_for() -> None:
    storage, buffer = MemoryStorage(), np.zeros(3, np.int64)

    def parts() -> Any:
        for number in range(4):
            buffer[:] = number
            yield buffer

    file = storage.create(PATH)
    writer = ColumnFileWriter(file, "test")
    writer.write("a", parts(), np.int64)
    writer.finish({})
    assert ColumnFile.open(storage, PATH, "test").array("a").tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3


def test_the_bytes_are_those_of_the_format_page() -> None:
    storage = MemoryStorage()
    _write(storage, {"a": [np.array([1, 2], np.uint16)], "b": [np.array([[3]], np.int8)]})
    content = bytes(storage.read(PATH))
    header = b"PINYNCOL" + b"test".ljust(16, b"\0") + b"\1\0\0\0"
    assert content[:64] == (header + _checksum(header)).ljust(64, b"\0")
    assert content[64:192] == b"\1\0\2\0".ljust(64, b"\0") + b"\3".ljust(64, b"\0")
    table = _checksum(b"\1\0\2\0") + _checksum(b"\3")
    footer = content[200:-TRAILER_BYTES]
    assert content[192:200] == table
    trailer = b"".join(number.to_bytes(8, "little") for number in (192, 200, len(footer)))
    trailer += _checksum(table) + _checksum(footer)
    assert content[-TRAILER_BYTES:] == trailer + _checksum(trailer) + b"PINYNEND"


@given(
    rows=st.lists(st.integers(0, 4_999), max_size=30), bounds=st.lists(st.integers(0, 5_000), min_size=2, max_size=2)
)
def test_rows_slices_and_ranges_are_those_of_the_array(rows: list[int], bounds: list[int]) -> None:
    file, (start, stop) = _written(MemoryStorage()), sorted(bounds)
    at, wide = np.array(rows, np.int64), COLUMNS["wide"]
    for _ in range(2):
        np.testing.assert_array_equal(file.column("wide").rows(at), wide[at])
        np.testing.assert_array_equal(file.column("wide").slice(start, stop), wide[start:stop])
        np.testing.assert_array_equal(file.column("wide").checked(at, at + 1)[at], wide[at])


def test_only_the_touched_chunks_are_checked() -> None:
    storage = MemoryStorage()
    _written(storage)
    row_bytes, offset = 48, _find(storage, COLUMNS["wide"])
    _flip(storage, offset + CHUNK_BYTES + 7)
    damaged = np.arange(CHUNK_BYTES // row_bytes, 2 * CHUNK_BYTES // row_bytes + 1)
    column = ColumnFile.open(storage, PATH, "test").column("wide")
    good = np.setdiff1d(np.arange(5_000), damaged)
    np.testing.assert_array_equal(column.rows(good), COLUMNS["wide"][good])
    assert len(column.slice(0, damaged[0])) == damaged[0]
    assert len(column.slice(damaged[-1] + 1, 5_000)) == 5_000 - damaged[-1] - 1
    for row in damaged[[0, 1, -1]].tolist():
        at = np.array([row])
        with pytest.raises(DataLossError, match=f"^{PATH}: .*damaged"):
            column.rows(at)
        with pytest.raises(DataLossError, match=f"^{PATH}: .*damaged"):
            column.slice(row, row + 1)
        with pytest.raises(DataLossError, match=f"^{PATH}: .*damaged"):
            column.checked(at, at + 1)
    with pytest.raises(DataLossError):
        column.checked(np.array([0]), np.array([5_000]))


def test_verify_checks_what_was_checked_before() -> None:
    storage = MemoryStorage()
    _written(storage)
    content = bytearray(storage.read(PATH))
    storage.read = lambda path: memoryview(content)  # type: ignore[method-assign]
    file = ColumnFile.open(storage, PATH, "test")
    file.verify()
    content[HEADER_BYTES] ^= 1
    with pytest.raises(DataLossError):
        file.verify()


def test_a_row_may_be_longer_than_two_chunks() -> None:
    storage = MemoryStorage()
    wide = np.arange(4 * CHUNK_BYTES, dtype=np.uint8).reshape(2, -1)
    _write(storage, {"a": [wide]}, widths={"a": wide.shape[1]})
    _flip(storage, HEADER_BYTES + CHUNK_BYTES)
    column = ColumnFile.open(storage, PATH, "test").column("a")
    np.testing.assert_array_equal(column.rows(np.array([1])), wide[1:])
    with pytest.raises(DataLossError):
        column.rows(np.array([0]))


def test_every_flipped_byte_is_noticed() -> None:
    storage = MemoryStorage()
    _write(storage, {"a": [np.arange(10, dtype=np.uint16)], "b": [np.arange(40, dtype=np.float64)]})
    for at in range(len(storage.read(PATH))):
        _flip(storage, at)
        with pytest.raises((DataLossError, FailedPreconditionError), match=PATH):
            ColumnFile.open(storage, PATH, "test").verify()
        _flip(storage, at)


def test_every_cut_is_noticed() -> None:
    storage = MemoryStorage()
    _write(storage, {"a": [np.arange(10, dtype=np.uint16)]})
    content = bytes(storage.read(PATH))
    for size in range(len(content)):
        storage.replace(PATH, content[:size])
        with pytest.raises(DataLossError, match=f"^{PATH}: "):
            ColumnFile.open(storage, PATH, "test")


def test_a_file_that_is_missing_or_of_another_kind_is_data_loss() -> None:
    storage = MemoryStorage()
    with pytest.raises(DataLossError, match="columns: the file is missing"):
        ColumnFile.open(storage, PATH, "test")
    _written(storage)
    with pytest.raises(DataLossError, match="columns: it is of kind"):
        ColumnFile.open(storage, PATH, "other")
    with pytest.raises(DataLossError, match="columns: it has no column x"):
        ColumnFile.open(storage, PATH, "test").array("x")


def test_a_newer_version_is_no_damage() -> None:
    storage = MemoryStorage()
    _written(storage)
    content = bytes(storage.read(PATH))
    header = content[:24] + b"\2\0\0\0"
    storage.replace(PATH, header + _checksum(header) + content[32:])
    with pytest.raises(FailedPreconditionError, match="columns has column file format 2; this Pinyon reads format 1"):
        ColumnFile.open(storage, PATH, "test")


def test_what_was_finished_survives_a_power_cut() -> None:
    disk = SimulatedDisk()
    _written(disk)
    disk.sync_directory("")
    for seed in range(10):
        ColumnFile.open(disk.after_power_cut(seed), PATH, "test").verify()


def test_a_disk_that_fails_is_told() -> None:
    for operation in ("append", "sync"):
        disk = SimulatedDisk()
        disk.fail_next(operation)
        with pytest.raises(UnavailableError):
            _written(disk)


def _written(storage: Storage) -> ColumnFile:
    widths = {name: column.shape[1] for name, column in COLUMNS.items() if column.ndim == 2}
    _write(storage, {name: [column] for name, column in COLUMNS.items()}, widths=widths)
    return ColumnFile.open(storage, PATH, "test")


def _write(
    storage: Storage,
    columns: dict[str, Sequence[NDArray[Any]]],
    widths: dict[str, int] | None = None,
    dtypes: dict[str, Any] | None = None,
) -> None:
    file = storage.create(PATH)
    writer = ColumnFileWriter(file, "test")
    for name, parts in columns.items():
        dtype = (dtypes or {}).get(name) or parts[0].dtype
        default = parts[0].shape[1] if parts and parts[0].ndim == 2 else None
        writer.write(name, parts, dtype, (widths or {}).get(name, default))
    writer.finish({"answer": 42, "list": [None, "é"]})
    file.close()


def _find(storage: Storage, column: NDArray[Any]) -> int:
    return bytes(storage.read(PATH)).index(column.tobytes())


def _flip(storage: MemoryStorage, at: int) -> None:
    content = bytearray(storage.read(PATH))
    content[at] ^= 1 << at % 8
    storage.replace(PATH, bytes(content))


def _checksum(content: bytes) -> bytes:
    return crc32c(content).to_bytes(4, "little")
