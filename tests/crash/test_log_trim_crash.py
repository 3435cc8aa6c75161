"""A log that is trimmed behind a manifest, after a stop at every operation of the disk: nothing that is needed is lost.

What is needed is what the manifest does not cover. A writer appends, writes a manifest for all that it appended, lets
the log go on in a new file and trims it, again and again. Canaries show that the checker sees what it is for.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from pinyon.errors import DataLossError, UnavailableError
from pinyon.log.file_log import FileLog
from pinyon.model.record import Lsn
from pinyon.segment.manifest import Manifest, read_manifest, replace_manifest
from pinyon.testing.simulated_disk import CrashError, Operation, SimulatedDisk
from tests.opened_log import open_log

POWER_CUTS = 10
"""How many for each stop. Seeds are not used again: the same one picks the same for disks that are alike."""

FILE_BYTES_MAX = 120
GROUP_COUNT = 9
GROUPS_A_FLUSH = 3


class InterruptingDisk(SimulatedDisk):
    """Calls `interrupt` within the operation `countdown` from now, 0 for the next one, as another thread might."""

    def __init__(self) -> None:
        super().__init__()
        self.countdown = -1
        self.interrupt: Callable[[], object] = lambda: None
        self.make_directory("index")
        self.sync_directory("")

    def _run(self, operation: Operation, path: str, effect: Callable[[], None], *, durable: bool = False) -> None:
        self.countdown -= 1
        if self.countdown == -1:
            self.interrupt()
        super()._run(operation, path, effect, durable=durable)


@dataclass
class History:
    """What a writer knows: entries acknowledged or in flight, and the LSNs that the manifest may have."""

    acknowledged: list[bytes] = field(default_factory=list)
    in_flight: list[bytes] = field(default_factory=list)
    manifest_lsns: set[Lsn] = field(default_factory=lambda: {0})


Workload = Callable[[InterruptingDisk, History], None]


def flush_and_trim(disk: InterruptingDisk, history: History) -> None:
    """Append, and now and then write a manifest and trim."""
    log = _open(disk)
    for number in range(1, GROUP_COUNT + 1):
        _append(log, history, number)
        if number % GROUPS_A_FLUSH == 0:
            _write_manifest(disk, history, log.last_lsn)
            log.roll()
            log.trim(log.last_lsn + 1)


def flush_less_than_all(disk: InterruptingDisk, history: History) -> None:
    """As a flush does while others write: the manifest is older than the log."""
    log = _open(disk)
    for number in range(1, GROUP_COUNT + 1):
        _append(log, history, number)
        if number % GROUPS_A_FLUSH == 0:
            frozen_lsn = log.last_lsn - 1
            _write_manifest(disk, history, frozen_lsn)
            log.trim(frozen_lsn + 1)


def trim_while_appending(operation: int) -> Workload:
    """Trim within an operation of each append, as another thread may."""

    def workload(disk: InterruptingDisk, history: History) -> None:
        log = _open(disk)
        for number in range(1, GROUP_COUNT + 1):
            flushed_lsn = log.last_lsn
            _write_manifest(disk, history, flushed_lsn)
            if number % 2:
                log.roll()
            disk.interrupt = lambda begin_lsn=flushed_lsn + 1: log.trim(begin_lsn)  # type: ignore[misc]
            disk.countdown = operation
            _append(log, history, number)

    return workload


def trim_on_a_failing_disk(failing: Operation) -> Workload:
    """A trim that fails is tried again after the next flush."""

    def workload(disk: InterruptingDisk, history: History) -> None:
        log = _open(disk)
        for number in range(1, GROUP_COUNT + 1):
            _append(log, history, number)
            _write_manifest(disk, history, log.last_lsn)
            log.roll()
            if number % GROUPS_A_FLUSH == 0 and number < GROUP_COUNT:
                disk.fail_next(failing)
                with pytest.raises(UnavailableError):
                    log.trim(log.last_lsn + 1)
            elif number > GROUPS_A_FLUSH:
                log.trim(log.last_lsn + 1)

    return workload


WORKLOADS: dict[str, Workload] = {
    "flush_and_trim": flush_and_trim,
    "flush_less_than_all": flush_less_than_all,
    **{f"trim_in_operation_{operation}_of_append": trim_while_appending(operation) for operation in range(6)},
    "remove_fails": trim_on_a_failing_disk("remove"),
    "sync_directory_fails": trim_on_a_failing_disk("sync_directory"),
}


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_no_stop_loses_an_entry_that_is_needed(workload: Workload) -> None:
    _check_every_stop(workload)


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_each_workload_leaves_few_files(workload: Workload) -> None:
    disk = InterruptingDisk()
    workload(disk, History())
    assert len(disk.list_directory("index/log")) <= GROUPS_A_FLUSH
    assert "00000000000000000001.log" not in disk.list_directory("index/log")


@pytest.mark.parametrize("workload", [flush_and_trim, flush_less_than_all])
def test_no_stop_of_a_recovery_loses_an_entry_that_is_needed(workload: Workload) -> None:
    """Neither after a power cut, nor after a kill that left the newest names and bytes in the kernel's cache."""
    seeds = itertools.count()
    for disk, history in _stopped_at_each_operation(workload):
        for restarted in (disk.after_power_cut(next(seeds)), disk.after_kill()):
            for stop in itertools.count(1):
                found = restarted.after_kill()
                found.crash_after(stop)
                try:
                    _open(found)
                except CrashError:
                    stopped = True
                else:
                    stopped = False
                for _ in range(POWER_CUTS):
                    _check(found.after_power_cut(next(seeds)), history)
                if not stopped:
                    break


def test_the_checker_catches_a_trim_before_the_manifest_is_written() -> None:
    def workload(disk: InterruptingDisk, history: History) -> None:
        log = _open(disk)
        for number in range(1, GROUP_COUNT + 1):
            _append(log, history, number)
            log.roll()
            log.trim(log.last_lsn + 1)
            if number % GROUPS_A_FLUSH == 0:
                _write_manifest(disk, history, log.last_lsn)

    with pytest.raises(AssertionError, match="entries are lost"):
        _check_every_stop(workload)


def test_the_checker_catches_a_manifest_of_entries_that_are_not_in_the_log() -> None:
    def workload(disk: InterruptingDisk, history: History) -> None:
        log = _open(disk)
        for number in range(1, GROUP_COUNT + 1):
            _write_manifest(disk, history, log.last_lsn + 1)
            _append(log, history, number)

    with pytest.raises(AssertionError, match="entries are lost"):
        _check_every_stop(workload)


def test_the_checker_catches_a_file_whose_name_is_not_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    sync = SimulatedDisk.sync_directory
    monkeypatch.setattr(
        SimulatedDisk, "sync_directory", lambda disk, path: None if path == "index/log" else sync(disk, path)
    )
    with pytest.raises(AssertionError, match="entries are lost"):
        _check_every_stop(flush_and_trim)


def _append(log: FileLog, history: History, number: int) -> None:
    history.in_flight = [b"%d" % number, b"entry" * (number % 4)]
    log.append([[entry] for entry in history.in_flight])
    history.acknowledged += history.in_flight
    history.in_flight = []


def _write_manifest(disk: SimulatedDisk, history: History, lsn: Lsn) -> None:
    history.manifest_lsns.add(lsn)
    replace_manifest(disk, "index", Manifest(lsn, next_number=0))
    history.manifest_lsns = {lsn}


def _check_every_stop(workload: Workload) -> None:
    seeds = itertools.count()
    for disk, history in _stopped_at_each_operation(workload):
        for _ in range(POWER_CUTS):
            _check(disk.after_power_cut(next(seeds)), history)


def _stopped_at_each_operation(workload: Workload) -> Iterator[tuple[SimulatedDisk, History]]:
    """The disk and what the writer knew, for a stop at each operation of the workload and for none."""
    for stop in itertools.count(1):
        disk, history = InterruptingDisk(), History()
        disk.crash_after(stop)
        try:
            workload(disk, history)
        except CrashError:
            yield disk, history
        else:
            yield disk, history
            return


def _check(disk: SimulatedDisk, history: History) -> None:
    """Check what is found, then write, trim, and open once more."""
    found, manifest_lsn = _recovered(disk)
    assert manifest_lsn in history.manifest_lsns
    attempted = [history.acknowledged, history.acknowledged + history.in_flight]
    assert found in [list(enumerate(entries, 1))[manifest_lsn:] for entries in attempted], "entries are lost or changed"
    log = _open(disk)
    log.roll()
    log.append([[b"after"]])
    log.trim(manifest_lsn + 1)
    assert _recovered(disk) == ([*found, (log.last_lsn, b"after")], manifest_lsn)


def _recovered(disk: SimulatedDisk) -> tuple[list[tuple[Lsn, bytes]], Lsn]:
    """The entries after the manifest's LSN, and that LSN. Checks that nothing more is on the disk than is needed."""
    try:
        log = _open(disk)
        found = [(lsn, bytes(entry)) for lsn, entry in log.replay()]
    except DataLossError as error:
        raise AssertionError(f"entries are lost: {error.message}") from error
    manifest = read_manifest(disk, "index")
    lsn = manifest.lsn if manifest is not None else 0
    names = disk.list_directory("index/log")
    assert log.size_bytes == sum(len(disk.read(f"index/log/{name}")) for name in names)
    assert sum(int(name[:20]) <= lsn + 1 for name in names) <= 1
    return found, lsn


def _open(disk: SimulatedDisk) -> FileLog:
    manifest = read_manifest(disk, "index")
    begin_lsn = manifest.lsn + 1 if manifest is not None else 1
    return open_log(disk, "index/log", file_bytes_max=FILE_BYTES_MAX, begin_lsn=begin_lsn)
