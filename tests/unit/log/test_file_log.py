"""A log gives back what it acknowledged, rolls its files, and knows which failures it can undo."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pinyon.errors import UnavailableError
from pinyon.log.file_log import FILE_BYTES_MAX, FileLog
from pinyon.log.protocol import Log
from pinyon.storage.local import LocalStorage
from pinyon.storage.memory import MemoryStorage
from pinyon.storage.protocol import Storage
from pinyon.testing.simulated_disk import Operation, SimulatedDisk, SimulatedFile
from tests.opened_log import open_log


@pytest.fixture(params=["local", "memory", "simulated"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    kinds: dict[str, Storage] = {
        "local": LocalStorage(tmp_path),
        "memory": MemoryStorage(),
        "simulated": SimulatedDisk(),
    }
    return kinds[request.param]


def test_what_was_appended_is_replayed_with_its_lsns(storage: Storage) -> None:
    log = _open(storage)
    lsns = [log.append([[b"a", b"b"], []]), log.append([[b"c"]]), log.append([[memoryview(b"d")]] * 3)]
    log.close()
    assert lsns == [1, 3, 4]
    assert _replayed(storage) == [(1, b"ab"), (2, b""), (3, b"c"), (4, b"d"), (5, b"d"), (6, b"d")]


def test_an_opened_log_goes_on_after_its_last_entry(storage: Storage) -> None:
    for lsn in range(1, 6):
        log = _open(storage, file_bytes_max=100)
        assert log.last_lsn == lsn - 1
        assert log.append([[str(lsn).encode()]]) == lsn
        assert log.last_lsn == lsn
        log.close()
    assert _replayed(storage) == [(lsn, str(lsn).encode()) for lsn in range(1, 6)]


def test_a_log_without_entries_has_no_file_and_no_lsn(storage: Storage) -> None:
    log: Log = _open(storage)
    assert (log.last_lsn, log.size_bytes, list(log.replay())) == (0, 0, [])
    assert storage.list_directory("log") == []
    log.close()


def test_replay_gives_what_was_there_at_open_again_and_again(storage: Storage) -> None:
    _append(storage, b"a")
    log = _open(storage)
    log.append([[b"b"]])
    assert [[bytes(entry) for _, entry in log.replay()] for _ in range(2)] == [[b"a"], [b"a"]]
    log.close()


def test_a_file_larger_than_the_limit_is_followed_by_one_named_after_its_first_lsn(storage: Storage) -> None:
    log = _open(storage, file_bytes_max=40 + 48)
    for _ in range(5):
        log.append([[b"12345678"]])
    assert storage.list_directory("log") == [f"{lsn:020}.log" for lsn in (1, 3, 5)]
    assert log.size_bytes == sum(len(storage.read(f"log/{lsn:020}.log")) for lsn in (1, 3, 5)) == 3 * 40 + 5 * 48
    log.close()
    reopened = _open(storage)
    assert reopened.size_bytes == 3 * 40 + 5 * 48
    reopened.close()


def test_a_limit_smaller_than_a_file_header_puts_one_frame_in_each_file(storage: Storage) -> None:
    log = _open(storage, file_bytes_max=0)
    for _ in range(3):
        log.append([[b"x"]])
    log.close()
    assert len(storage.list_directory("log")) == 3
    assert len(_replayed(storage)) == 3


def test_views_of_entries_outlive_the_log_and_are_aligned(tmp_path: Path) -> None:
    array = np.arange(5, dtype=np.float32)
    log = _open(LocalStorage(tmp_path))
    log.append([[b"odd"], [array.data.cast("B")], [array.data.cast("B")]])
    log.close()
    log = _open(LocalStorage(tmp_path))
    _, first, second = [entry for _, entry in log.replay()]
    log.close()
    for entry in (first, second):
        found = np.frombuffer(entry, dtype=np.float32)
        assert np.array_equal(found, array)
        assert found.ctypes.data % 8 == 0
        assert not found.flags.writeable


def test_after_a_roll_the_next_append_goes_to_a_file_of_its_own(storage: Storage) -> None:
    log = _open(storage)
    for entry in (b"a", b"b", b"c"):
        log.append([[entry]])
        if entry == b"b":
            log.roll()
            log.roll()
    assert _first_lsns(storage) == [1, 3]
    log.close()
    assert _entries(storage) == [b"a", b"b", b"c"]


def test_a_roll_leaves_a_file_without_entries_alone(storage: Storage) -> None:
    log = _open(storage)
    log.roll()
    log.begin()
    log.roll()
    log.append([[b"a"]])
    assert _first_lsns(storage) == [1]
    log.close()
    assert _entries(storage) == [b"a"]


def test_a_trim_removes_the_files_with_nothing_that_is_needed_and_says_how_much(storage: Storage) -> None:
    log = _open(storage, file_bytes_max=0)
    for lsn in range(1, 6):
        log.append([[str(lsn).encode()]])
    file_bytes = log.size_bytes // 5
    for begin_lsn, first_lsns in ((1, [1, 2, 3, 4, 5]), (3, [3, 4, 5]), (2, [3, 4, 5]), (6, [5])):
        before = log.size_bytes
        assert log.trim(begin_lsn) == before - log.size_bytes
        assert _first_lsns(storage) == first_lsns
        assert log.size_bytes == len(first_lsns) * file_bytes
    assert log.append([[b"6"]]) == 6
    log.close()
    assert _replayed(storage, begin_lsn=6) == [(6, b"6")]


def test_a_trim_keeps_a_file_as_long_as_its_last_entry_is_needed(storage: Storage) -> None:
    log = _open(storage)
    log.append([[b"a"], [b"b"]])
    log.roll()
    log.append([[b"c"]])
    assert log.trim(2) == 0
    assert log.trim(3) > 0
    log.close()
    assert _replayed(storage, begin_lsn=3) == [(3, b"c")]


def test_files_that_were_found_are_trimmed_too(storage: Storage) -> None:
    log = _open(storage, file_bytes_max=0)
    for entry in (b"a", b"b", b"c"):
        log.append([[entry]])
    log.close()
    log = _open(storage)
    log.trim(3)
    assert _first_lsns(storage) == [3]
    assert [bytes(entry) for _, entry in log.replay()] == [b"a", b"b", b"c"]
    log.close()


@pytest.mark.parametrize("operation", ["remove", "sync_directory"])
def test_a_trim_that_fails_does_no_harm_and_may_be_called_again(operation: Operation) -> None:
    disk = SimulatedDisk()
    log = _open(disk, file_bytes_max=0)
    for entry in (b"a", b"b", b"c", b"d"):
        log.append([[entry]])
    disk.fail_next(operation)
    with pytest.raises(UnavailableError, match="Input/output error"):
        log.trim(4)
    assert log.size_bytes == sum(len(disk.read(f"log/{name}")) for name in disk.list_directory("log"))
    assert log.append([[b"e"]]) == 5
    log.trim(4)
    assert _first_lsns(disk) == [4, 5]
    for seed in range(20):
        assert _replayed(disk.after_power_cut(seed), begin_lsn=4) == [(4, b"d"), (5, b"e")]


def test_a_trim_is_one_sync_of_the_folder_and_none_where_nothing_is_to_be_removed() -> None:
    disk = SimulatedDisk()
    log = _open(disk, file_bytes_max=0)
    for entry in (b"a", b"b", b"c"):
        log.append([[entry]])
    before = disk.operation_count
    log.trim(3)
    log.trim(3)
    assert disk.operation_count == before + 3


def test_a_trim_of_entries_that_the_log_never_had_is_a_bug() -> None:
    log = _open(MemoryStorage())
    log.append([[b"a"]])
    log.trim(2)
    with pytest.raises(AssertionError):
        log.trim(3)


def test_threads_may_roll_and_trim_while_another_one_appends() -> None:
    storage = MemoryStorage()
    log = _open(storage, file_bytes_max=200)
    done = threading.Event()

    def trim() -> None:
        while not done.wait(0.0005):
            log.roll()
            log.trim(max(log.last_lsn - 2, 1))

    with ThreadPoolExecutor(2) as pool:
        trimming = [pool.submit(trim) for _ in range(2)]
        lsns = [log.append([[b"%d" % number]]) for number in range(10_000)]
        done.set()
        for future in trimming:
            future.result(timeout=10)
    assert lsns == list(range(1, 10_001))
    log.trim(9999)
    assert log.size_bytes == sum(len(storage.read(f"log/{name}")) for name in storage.list_directory("log"))
    assert len(storage.list_directory("log")) < 10
    log.close()
    assert _replayed(storage, begin_lsn=9999) == [(9999, b"9998"), (10_000, b"9999")]


def test_one_append_is_one_sync() -> None:
    disk = SimulatedDisk()
    log = _open(disk)
    log.append([[b"the first also creates the file"]])
    before = disk.sync_count
    log.append([[b"a"], [b"b"], [b"c"]])
    assert disk.sync_count == before + 1


@pytest.mark.parametrize("free_bytes", [0, 1, 40, 90])
def test_a_full_disk_refuses_the_append_leaves_no_trace_and_the_log_goes_on(free_bytes: int) -> None:
    disk = SimulatedDisk()
    log = _open(disk)
    log.append([[b"before"]])
    disk.free_bytes = free_bytes
    with pytest.raises(UnavailableError, match="no space left on device"):
        log.append([[b"refused" * 20]])
    assert log.last_lsn == 1
    disk.free_bytes = None
    assert log.append([[b"after"]]) == 2
    for seed in range(20):
        assert _entries(disk.after_power_cut(seed)) == [b"before", b"after"]


@pytest.mark.parametrize("free_bytes", [0, 1, 39, 40, 50])
def test_a_disk_that_is_full_when_a_file_is_created_refuses_and_the_log_goes_on(free_bytes: int) -> None:
    disk = SimulatedDisk()
    log = _open(disk, file_bytes_max=0)
    log.append([[b"before"]])
    disk.free_bytes = free_bytes
    for _ in range(2):
        with pytest.raises(UnavailableError, match="no space left on device"):
            log.append([[b"refused"]])
    assert _entries(disk.after_kill()) == [b"before"]
    disk.free_bytes = None
    assert log.append([[b"after"]]) == 2
    for seed in range(20):
        assert _entries(disk.after_power_cut(seed)) == [b"before", b"after"]


@pytest.mark.parametrize("operation", ["create", "append", "sync", "sync_directory"])
def test_a_failure_while_a_file_is_created_refuses_and_the_log_goes_on(operation: Operation) -> None:
    disk = SimulatedDisk()
    log = _open(disk)
    disk.fail_next(operation)
    with pytest.raises(UnavailableError, match="Input/output error"):
        log.append([[b"refused"]])
    assert log.append([[b"after"]]) == 1
    for seed in range(20):
        assert _entries(disk.after_power_cut(seed)) == [b"after"]


def test_after_a_failed_sync_nothing_is_written_until_the_log_is_opened_again() -> None:
    disk = SimulatedDisk()
    log = _open(disk)
    log.append([[b"before"]])
    disk.fail_next("sync")
    with pytest.raises(UnavailableError, match="whether the write is on disk is unknown until Pinyon restarts"):
        log.append([[b"unknown"]])
    operations = disk.operation_count
    with pytest.raises(UnavailableError, match=r"the log takes no more writes: .*restart Pinyon"):
        log.append([[b"refused"]])
    assert disk.operation_count == operations
    assert log.last_lsn == 1


def test_a_log_opened_after_a_failed_sync_does_not_trust_what_the_sync_left() -> None:
    disk = SimulatedDisk()
    log = _open(disk)
    log.append([[b"before"]])
    disk.fail_next("sync")
    with pytest.raises(UnavailableError):
        log.append([[b"unknown" * 100]])
    restarted = disk.after_kill()
    _open(restarted).append([[b"after"]])
    for seed in range(20):
        assert _entries(restarted.after_power_cut(seed)) == [b"before", b"after"]


@pytest.mark.parametrize("failing", [["truncate"], ["sync"]])
def test_when_a_refused_append_cannot_be_undone_nothing_more_is_written(failing: Sequence[Operation]) -> None:
    disk = SimulatedDisk()
    log = _open(disk)
    log.append([[b"before"]])
    disk.free_bytes = 50
    disk.fail_next(*failing)
    with pytest.raises(UnavailableError):
        log.append([[b"refused" * 20]])
    disk.free_bytes = None
    with pytest.raises(UnavailableError, match="the log takes no more writes"):
        log.append([[b"after"]])
    assert _entries(disk.after_kill()) == [b"before"]


def test_an_interrupted_append_leaves_the_log_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SimulatedDisk()
    log = _open(disk)
    log.append([[b"before"]])

    class Interrupt(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupt

    monkeypatch.setattr(SimulatedFile, "append", interrupt)
    with pytest.raises(Interrupt):
        log.append([[b"x"]])
    with pytest.raises(UnavailableError, match="did not finish; restart Pinyon"):
        log.append([[b"x"]])


def test_an_entry_that_cannot_be_encoded_leaves_the_log_usable() -> None:
    disk = SimulatedDisk()
    log = _open(disk, file_bytes_max=0)
    with pytest.raises(BufferError):
        log.append([[memoryview(b"abcd")[::2]]])
    assert log.append([[b"x"]]) == 1
    assert log.size_bytes == len(disk.read("log/00000000000000000001.log"))


@pytest.mark.parametrize("operation", ["sync", "sync_directory"])
def test_a_disk_that_fails_while_the_log_is_opened_is_unavailable(operation: Operation) -> None:
    disk = SimulatedDisk()
    _append(disk, b"a")
    disk.fail_next(operation)
    with pytest.raises(UnavailableError, match="Input/output error"):
        _open(disk)
    assert _entries(disk) == [b"a"]


def test_a_closed_log_takes_nothing(storage: Storage) -> None:
    log = _open(storage)
    log.append([[b"a"]])
    log.close()
    log.close()
    with pytest.raises(UnavailableError, match="the log log is closed"):
        log.append([[b"b"]])


def _open(storage: Storage, *, file_bytes_max: int = FILE_BYTES_MAX) -> FileLog:
    return open_log(storage, "log", file_bytes_max=file_bytes_max)


def _append(storage: Storage, entry: bytes) -> None:
    log = _open(storage)
    log.append([[entry]])
    log.close()


def _first_lsns(storage: Storage) -> list[int]:
    return [int(name.removesuffix(".log")) for name in storage.list_directory("log")]


def _replayed(storage: Storage, *, begin_lsn: int = 1) -> list[tuple[int, bytes]]:
    log = open_log(storage, "log", begin_lsn=begin_lsn)
    found = [(lsn, bytes(entry)) for lsn, entry in log.replay()]
    log.close()
    return found


def _entries(storage: Storage) -> list[bytes]:
    return [entry for _, entry in _replayed(storage)]
