"""The simulated disk keeps the contract, and forgets exactly what a power cut may take."""

from collections.abc import Callable

import pytest

from pinyon.errors import NotFoundError, UnavailableError
from pinyon.storage.protocol import Storage
from pinyon.testing.simulated_disk import CrashError, Operation, SimulatedDisk
from pinyon.testing.storage_suite import StorageSuite

SEEDS = range(200)


class TestSimulatedDisk(StorageSuite):
    @pytest.fixture
    def storage(self) -> Storage:
        return SimulatedDisk()


def test_a_synced_file_under_a_synced_name_is_always_whole() -> None:
    disk = _disk_with_file(b"a" * 1000)
    assert _found(disk) == {b"a" * 1000}


def test_a_file_under_a_name_not_synced_is_there_or_not() -> None:
    disk = SimulatedDisk()
    file = disk.create("a")
    file.append([b"abc"])
    file.sync()
    assert _found(disk) == {b"abc", None}


def test_bytes_not_synced_are_lost_or_cut_short_or_torn_or_zero_but_synced_ones_stay() -> None:
    disk = _disk_with_file(b"a" * 700)
    disk.open_append("a").append([b"b" * 1500])
    found = _found(disk)
    assert all(content is not None and content.startswith(b"a" * 700) for content in found)
    tails = {content[700:] for content in found if content is not None}
    assert {b"", b"b" * 1500} < tails
    assert any(0 < len(tail) < 1500 and tail == b"b" * len(tail) for tail in tails)
    assert any(b"\0" in tail and tail.endswith(b"b") for tail in tails)


def test_a_truncation_not_synced_may_be_undone_below_later_bytes() -> None:
    disk = _disk_with_file(b"a" * 1000)
    file = disk.open_append("a")
    file.truncate(512)
    file.append([b"b" * 488])
    found = _found(disk)
    assert {b"a" * 1000, b"a" * 512 + b"b" * 488, b"a" * 512} < found
    assert all(content is not None and content.startswith(b"a" * 512) for content in found)


def test_a_replacement_is_the_old_or_the_new_whole_wherever_it_stops() -> None:
    seen = set()
    for stop in range(1, 20):
        disk = _disk_with_file(b"old")
        disk.crash_after(stop)
        try:
            disk.replace("a", b"new" * 400)
        except CrashError:
            seen |= _found(disk)
        else:
            assert _found(disk) == {b"new" * 400}
            break
    assert seen == {b"old", b"new" * 400}


def test_a_removal_not_synced_may_be_undone() -> None:
    disk = _disk_with_file(b"abc")
    disk.remove("a")
    assert _found(disk) == {b"abc", None}
    disk.sync_directory("")
    assert _found(disk) == {None}


def test_a_lost_folder_takes_its_synced_files_along() -> None:
    disk = SimulatedDisk()
    disk.make_directory("d")
    disk.create("d/a").sync()
    disk.sync_directory("d")
    found = {tuple(disk.after_power_cut(seed).list_directory("d")) for seed in SEEDS}
    assert found == {("a",), ()}


def test_the_same_seed_finds_the_same_disk_and_leaves_the_first_as_it_was() -> None:
    disk = _disk_with_file(b"a" * 700)
    disk.open_append("a").append([b"b" * 5000])
    again = [bytes(disk.after_power_cut(7).read("a")) for _ in range(3)]
    assert len(set(again)) == 1
    assert disk.read("a") == b"a" * 700 + b"b" * 5000


def test_what_a_power_cut_left_is_durable() -> None:
    disk = SimulatedDisk()
    disk.create("a").append([b"a" * 3000])
    for seed in SEEDS:
        found = disk.after_power_cut(seed)
        assert len(_found(found)) == 1


def test_a_killed_process_leaves_all_but_nothing_more_durable() -> None:
    disk = SimulatedDisk()
    disk.create("a").append([b"abc"])
    killed = disk.after_kill()
    assert bytes(killed.read("a")) == b"abc"
    assert {None, b"", b"abc"} < _found(killed)
    killed.open_append("a").sync()
    killed.sync_directory("")
    assert _found(killed) == {b"abc"}
    assert None in _found(disk)


def test_the_machine_stops_at_the_chosen_operation_and_stays_off() -> None:
    disk = SimulatedDisk()
    disk.crash_after(3)
    file = disk.create("a")
    file.append([b"abc"])
    with pytest.raises(CrashError, match="stopped in operation 3: sync a"):
        file.sync()
    for operation in (file.sync, lambda: disk.remove("a"), lambda: disk.create("b")):
        with pytest.raises(CrashError, match="the machine is off"):
            operation()
    assert None in _found(disk)


def test_a_full_disk_takes_what_fits_and_gives_back_what_is_cut() -> None:
    disk = SimulatedDisk()
    file = disk.create("a")
    disk.free_bytes = 5
    with pytest.raises(UnavailableError, match=r"^a: no space left on device$"):
        file.append([b"abc", b"defg"])
    assert bytes(disk.read("a")) == b"abcde"
    file.truncate(2)
    file.append([b"XYZ"])
    assert bytes(disk.read("a")) == b"abXYZ"


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("create", lambda disk: disk.create("b")),
        ("append", lambda disk: disk.open_append("a").append([b"x"])),
        ("sync", lambda disk: disk.open_append("a").sync()),
        ("truncate", lambda disk: disk.open_append("a").truncate(0)),
        ("remove", lambda disk: disk.remove("a")),
        ("rename", lambda disk: disk.replace("a", b"x")),
        ("make_directory", lambda disk: disk.make_directory("d")),
        ("sync_directory", lambda disk: disk.sync_directory("")),
    ],
)
def test_a_chosen_operation_fails_once(operation: Operation, call: Callable[[SimulatedDisk], object]) -> None:
    disk = _disk_with_file(b"abc")
    disk.fail_next(operation)
    with pytest.raises(UnavailableError, match="Input/output error"):
        call(disk)
    assert bytes(disk.read("a")) == b"abc"
    call(disk)


def test_bytes_of_a_failed_sync_are_not_written_by_the_next_one() -> None:
    disk = _disk_with_file(b"a" * 600)
    file = disk.open_append("a")
    file.append([b"b" * 600])
    disk.fail_next("sync")
    with pytest.raises(UnavailableError):
        file.sync()
    file.append([b"c" * 600])
    file.sync()
    found = _found(disk)
    assert all(
        content is not None and content[:600] == b"a" * 600 and content[1536:] == b"c" * 264 for content in found
    )
    assert any(content is not None and b"\0" in content for content in found)


def test_bytes_written_anew_after_a_failed_sync_are_durable_at_the_next_one() -> None:
    disk = _disk_with_file(b"a")
    file = disk.open_append("a")
    file.append([b"bbb"])
    disk.fail_next("sync")
    with pytest.raises(UnavailableError):
        file.sync()
    file.truncate(1)
    file.append([b"ccc"])
    file.sync()
    assert _found(disk) == {b"accc"}


def test_operations_and_syncs_are_counted() -> None:
    disk = _disk_with_file(b"abc")
    assert (disk.operation_count, disk.sync_count) == (4, 1)


def _disk_with_file(content: bytes) -> SimulatedDisk:
    disk = SimulatedDisk()
    file = disk.create("a")
    file.append([content])
    file.sync()
    disk.sync_directory("")
    return disk


def _found(disk: SimulatedDisk) -> set[bytes | None]:
    """The contents of file "a" that power cuts leave, None where the name is gone."""
    return {_content(disk.after_power_cut(seed)) for seed in SEEDS}


def _content(disk: SimulatedDisk) -> bytes | None:
    try:
        return bytes(disk.read("a"))
    except NotFoundError:
        return None
