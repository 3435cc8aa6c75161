"""The log after a stop at every operation of the disk: acknowledged ⊆ recovered ⊆ attempted, and it goes on.

A canary, a log that acknowledges before it syncs, shows that the checker sees what it is for.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from pinyon.errors import DataLossError, UnavailableError
from pinyon.log.file_log import FileLog
from pinyon.storage.protocol import AppendFile, BytesLike
from pinyon.testing.simulated_disk import CrashError, SimulatedDisk, SimulatedFile
from tests.opened_log import open_log

SEEDS = range(20)
FILE_BYTES_MAX = 1500

Group = list[bytes]

GROUPS: list[Group] = [
    [b"small"],
    [b"a", b"", b"group of three"],
    [b"many sectors" * 100],
    [b"large, and then a file is full" * 40, b"x"],
    [b"in the second file"],
    [b"y" * 2000, b"z"],
    [b"in the third file", b"last"],
]


@dataclass
class History:
    """What a writer was told: entries acknowledged, and the group whose outcome it does not know."""

    acknowledged: list[bytes] = field(default_factory=list)
    in_flight: Group = field(default_factory=list)


def test_no_stop_loses_an_acknowledged_entry() -> None:
    _check_every_stop(FileLog)


def test_the_workload_fills_three_files_and_stops_at_each_operation() -> None:
    runs = list(_stopped_at_each_operation(FileLog))
    opening, files, groups = 3, 3 * 4, len(GROUPS) * 2
    assert len(runs) == opening + files + groups + 1
    assert [len(disk.list_directory("log")) for disk, _ in runs][-1] == 3


def test_no_stop_of_a_recovery_loses_an_acknowledged_entry() -> None:
    for disk, history in _stopped_at_each_operation(FileLog):
        for seed in SEEDS[:3]:
            for stop in itertools.count(1):
                found = disk.after_power_cut(seed)
                found.crash_after(stop)
                try:
                    _open(FileLog, found)
                except CrashError:
                    _check_recovers_and_goes_on(found.after_power_cut(seed), history, seed)
                else:
                    break


def test_no_kill_followed_by_a_power_cut_loses_an_acknowledged_entry() -> None:
    for disk, history in _stopped_at_each_operation(FileLog):
        restarted = disk.after_kill()
        recovered = _recovered(restarted)
        _check(recovered, history)
        _append(restarted, b"after the kill")
        for seed in SEEDS:
            _check_recovers_and_goes_on(restarted.after_power_cut(seed), History([*recovered, b"after the kill"]), seed)


@pytest.mark.parametrize("free_bytes", [10, 300, 2000, 3000])
def test_no_stop_after_a_full_disk_loses_an_acknowledged_entry_or_shows_a_refused_one(free_bytes: int) -> None:
    def fill_for_five_groups(disk: SimulatedDisk, group_index: int) -> None:
        disk.free_bytes = free_bytes if group_index < 5 else None

    _check_every_stop(FileLog, before_group=fill_for_five_groups)


@pytest.mark.parametrize("failing_group", range(len(GROUPS)))
def test_no_stop_after_a_failed_sync_loses_an_acknowledged_entry(failing_group: int) -> None:
    def fail_sync(disk: SimulatedDisk, group_index: int) -> None:
        if group_index == failing_group:
            disk.fail_next("sync")

    _check_every_stop(FileLog, before_group=fail_sync)


class CanaryLog(FileLog):
    """Acknowledges as soon as the bytes are in the cache, and syncs before the next write."""

    def _write(self, file: AppendFile, frame: Sequence[BytesLike]) -> None:
        file.sync()
        file.append(frame)
        self._stopped_by = None


def test_the_checker_catches_a_log_that_acknowledges_before_it_syncs() -> None:
    with pytest.raises(AssertionError, match="acknowledged entries are lost"):
        _check_every_stop(CanaryLog)


def test_the_checker_catches_a_log_that_does_not_sync_its_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedDisk, "sync_directory", lambda disk, path: None)
    with pytest.raises(AssertionError, match="acknowledged entries are lost"):
        _check_every_stop(FileLog)


def test_the_checker_catches_a_log_that_does_not_undo_a_refused_append(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedFile, "truncate", lambda file, size: None)
    with pytest.raises(AssertionError):
        test_no_stop_after_a_full_disk_loses_an_acknowledged_entry_or_shows_a_refused_one(2000)


BeforeGroup = Callable[[SimulatedDisk, int], None]


def _do_nothing(disk: SimulatedDisk, group_index: int) -> None:
    """The disk behaves."""


def _check_every_stop(kind: type[FileLog], *, before_group: BeforeGroup = _do_nothing) -> None:
    for disk, history in _stopped_at_each_operation(kind, before_group=before_group):
        for seed in SEEDS:
            _check_recovers_and_goes_on(disk.after_power_cut(seed), history, seed)


def _stopped_at_each_operation(
    kind: type[FileLog], *, before_group: BeforeGroup = _do_nothing
) -> Iterator[tuple[SimulatedDisk, History]]:
    """The disk and what the writer knew, for a stop at each operation of the workload and for none."""
    for stop in itertools.count(1):
        disk, history = SimulatedDisk(), History()
        disk.crash_after(stop)
        try:
            _write_all(kind, disk, history, before_group)
        except CrashError:
            yield disk, history
        else:
            yield disk, history
            return


def _write_all(kind: type[FileLog], disk: SimulatedDisk, history: History, before_group: BeforeGroup) -> None:
    log = _open(kind, disk)
    for group_index, group in enumerate(GROUPS):
        before_group(disk, group_index)
        history.in_flight = group
        try:
            log.append([[entry] for entry in group])
        except UnavailableError as error:
            if "unknown until Pinyon restarts" in error.message:
                return
        else:
            history.acknowledged += group
        history.in_flight = []


def _check_recovers_and_goes_on(disk: SimulatedDisk, history: History, seed: int) -> None:
    """Check what is found, then write and cut the power once more: that must not lose anything either."""
    recovered = _recovered(disk)
    _check(recovered, history)
    _append(disk, b"after")
    _check(_recovered(disk.after_power_cut(seed)), History([*recovered, b"after"]))


def _check(recovered: list[bytes], history: History) -> None:
    """A group in flight may have survived, but whole; a refused one may not."""
    known = len(history.acknowledged)
    assert recovered[:known] == history.acknowledged, "acknowledged entries are lost or changed"
    assert recovered[known:] in ([], history.in_flight), "there are entries that no one may have written"


def _recovered(disk: SimulatedDisk) -> list[bytes]:
    try:
        return [bytes(entry) for _, entry in _open(FileLog, disk).replay()]
    except DataLossError as error:
        raise AssertionError(f"acknowledged entries are lost: {error.message}") from error


def _append(disk: SimulatedDisk, entry: bytes) -> None:
    _open(FileLog, disk).append([[entry]])


def _open(kind: type[FileLog], disk: SimulatedDisk) -> FileLog:
    return open_log(disk, "log", file_bytes_max=FILE_BYTES_MAX, kind=kind)
