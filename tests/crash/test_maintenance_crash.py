"""Flushes and compactions, stopped or failing at every operation of the disk: nothing is lost, nothing is left over.

What a disk holds before each of its operations is what a stop in it may leave: the operation's own effect is seen
before the next one. Flushes and compactions change nothing that a reader sees, so after a stop the index must be found
as the last acknowledged write left it, or the one that was on its way.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

import pytest

from pinyon.engine.compaction import CompactionOptions
from pinyon.engine.database import Database
from pinyon.engine.flush import freeze
from pinyon.engine.index import Index
from pinyon.engine.maintenance_options import MaintenanceOptions
from pinyon.engine.operations import (
    CreateNamespace,
    DeleteNamespace,
    DeleteRecords,
    Operation,
    PatchRecords,
    UpsertRecords,
)
from pinyon.engine.part import LiveSegment
from pinyon.engine.segment_build import BuildOptions
from pinyon.errors import DataLossError, UnavailableError
from pinyon.log.file_log import FileLog
from pinyon.model.index import Deployment, IndexDefinition
from pinyon.model.metric import Metric, VectorType
from pinyon.segment.manifest import Manifest, files_of, replace_manifest
from pinyon.testing import simulated_disk
from pinyon.testing.engine_model import EngineModel, PlainRecord, batch, plain_record
from pinyon.testing.simulated_disk import CrashError, SimulatedDisk

DEFINITION = IndexDefinition(
    name="i",
    index_id="1",
    vector_type=VectorType.DENSE,
    dimension=2,
    metric=Metric.DOTPRODUCT,
    deployment=Deployment(kind="serverless"),
)
OPTIONS = MaintenanceOptions(
    graph_rows_min=0,
    build=BuildOptions(dedicated_rows_min=3),
    compaction=CompactionOptions(fan_in=2, dead_share=0.4),
)
SEGMENTS = "indexes/1/segments"
Task: TypeAlias = Literal["freeze", "flush", "work", "settle"]
Snapshot: TypeAlias = dict[str, dict[str, PlainRecord]]

_salts = itertools.count()


def some(ids: str, number: float, genre: str = "drama") -> Mapping[str, PlainRecord]:
    return {id_: PlainRecord((number, ord(id_)), {1: number}, {"genre": genre}) for id_ in ids}


def patch(ids: str, genre: str) -> PatchRecords:
    return PatchRecords("n", batch({id_: PlainRecord(None, {}, {"genre": genre}) for id_ in ids}))


WORKLOAD: Sequence[Operation | Task] = [
    UpsertRecords("n", batch(some("abcdef", 1))),
    UpsertRecords("m", batch(some("ab", 2))),
    "flush",
    patch("ab", "comedy"),
    DeleteRecords("n", ["c"]),
    UpsertRecords("m", batch(some("bc", 3))),
    CreateNamespace("declared", ("genre",)),
    "freeze",
    UpsertRecords("n", batch(some("dgh", 4))),
    patch("a", "horror"),
    "flush",
    DeleteRecords("n", ["e"]),
    "work",
    "flush",
    DeleteNamespace("m"),
    UpsertRecords("m", batch(some("xyz", 5))),
    "flush",
    "work",
    patch("fgx", "comedy"),
    "settle",
    DeleteNamespace("m"),
    "settle",
    UpsertRecords("n", batch(some("i", 6))),
]


class WatchedDisk(SimulatedDisk):
    """Says before each operation what it is going to do."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Callable[[simulated_disk.Operation, str], None] = lambda operation, path: None

    def _run(self, operation: Any, path: str, effect: Callable[[], None], *, durable: bool = False) -> None:
        self.before(operation, path)
        super()._run(operation, path, effect, durable=durable)


def test_no_stop_loses_a_write_or_leaves_anything_over() -> None:
    assert check_every_stop(seed_count=2) > 200


def test_the_workload_does_all_that_is_to_be_stopped() -> None:
    disk = WatchedDisk()
    kinds: Counter[str] = Counter()

    def look(operation: str, path: str) -> None:
        kinds[f"{operation} {path.rpartition('.')[2] if '.' in path else path}"] += 1

    disk.before = look
    index = run(disk)
    assert kinds["create seg"] > 5
    assert kinds["create dead"] > 2
    assert kinds["remove seg"] > 3
    assert kinds["remove dead"] > 0
    assert kinds["remove log"] > 3
    segments = index._state.store.segments.values()
    assert {live.structures is not None for live in segments} == {True}
    assert snapshot(index).keys() == {"n", "declared"}


def test_no_stop_of_a_recovery_loses_a_write() -> None:
    for found, states in itertools.islice(stops(seed_count=1), 0, None, 12):
        for stop in itertools.count(1):
            disk = found.after_kill()
            disk.crash_after(stop)
            try:
                open_index(disk)
            except CrashError:
                check(disk.after_power_cut(stop), states)
            else:
                break


def test_no_kill_loses_a_write_even_if_a_power_cut_follows() -> None:
    for number, (disk, states) in enumerate(itertools.islice(stops(cut=False), 0, None, 5)):
        index = check(disk, states)
        assert snapshot(check(disk.after_power_cut(number), states)) == snapshot(index)


@pytest.mark.parametrize("failing", ["sync", "sync_directory", "append", "rename", "create", "remove"])
def test_what_fails_once_changes_nothing_and_succeeds_when_it_is_tried_again(
    failing: simulated_disk.Operation,
) -> None:
    failures = 0
    for place in itertools.count(1):
        disk = WatchedDisk()
        seen = Counter[str]()

        def fail(
            operation: str, path: str, disk: WatchedDisk = disk, seen: Counter[str] = seen, at: int = place
        ) -> None:
            seen[operation] += 1
            if operation == failing and seen[operation] == at:
                disk.fail_next(failing)

        index = run(disk, during_tasks=fail)
        if seen[failing] < place:
            break
        failures += 1
        assert snapshot(index) == final_state()
        if failing != "remove":
            assert disk.list_directory(SEGMENTS) == sorted(files_of(index._state.store.manifest)), "left over"
        for found in (disk.after_power_cut(place), disk.after_kill()):
            check(found, [final_state()])
    assert failures > 4


@pytest.mark.parametrize("free_bytes", [0, 1, 500, 1500, 3000, 6000, 8000, 10_000, 15_000])
def test_a_full_disk_keeps_what_it_has_and_is_not_filled_further(free_bytes: int) -> None:
    refused = 0
    for number, task in enumerate(WORKLOAD):
        if not isinstance(task, str) or task == "freeze":
            continue
        disk = SimulatedDisk()
        state = EngineModel()
        index = open_index(disk)
        for step in WORKLOAD[:number]:
            do(index, step, state)
        before = disk.list_directory(SEGMENTS)
        disk.free_bytes = free_bytes
        for _ in range(3):
            try:
                do(index, task, state)
            except UnavailableError:
                refused += 1
                left = set(disk.list_directory(SEGMENTS)) - set(before)
                assert not [name for name in left if name.endswith(".seg")] or not disk.free_bytes, "left over"
            assert snapshot(index) == plain(state)
        check(disk.after_power_cut(number), [plain(state)])
        disk.free_bytes = None
        do(index, task, state)
        assert snapshot(index) == plain(state)
        assert disk.list_directory(SEGMENTS) == sorted(files_of(index._state.store.manifest)), "left over"
        check(disk.after_power_cut(number), [plain(state)])
    assert refused or free_bytes > 10_000


# Canaries.


def test_the_checker_catches_segments_whose_names_are_not_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    sync_directory = SimulatedDisk.sync_directory

    def forget(disk: SimulatedDisk, path: str) -> None:
        if path != SEGMENTS:
            sync_directory(disk, path)

    monkeypatch.setattr(SimulatedDisk, "sync_directory", forget)
    with pytest.raises(AssertionError, match="not what was acknowledged"):
        check_every_stop()


def test_the_checker_catches_deaths_that_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LiveSegment, "dead_at", lambda live, lsn: None)
    with pytest.raises(AssertionError, match="not what was acknowledged"):
        check_every_stop()


def test_the_checker_catches_a_log_that_is_trimmed_too_far(monkeypatch: pytest.MonkeyPatch) -> None:
    trim = FileLog.trim
    monkeypatch.setattr(FileLog, "trim", lambda log, begin_lsn: trim(log, log.last_lsn + 1))
    with pytest.raises(AssertionError, match="not what was acknowledged"):
        check_every_stop()


def test_the_checker_catches_leftovers_that_a_start_does_not_remove(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinyon.engine.segment_store.SegmentStore.remove_leftovers", lambda store: None)
    with pytest.raises(AssertionError, match="left over"):
        check_every_stop()


def test_the_checker_catches_files_that_are_removed_before_the_manifest_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def remove_first(disk: SimulatedDisk, directory: str, manifest: Manifest) -> None:
        for name in sorted(set(disk.list_directory(SEGMENTS)) - files_of(manifest)):
            disk.remove(f"{SEGMENTS}/{name}")
        replace_manifest(disk, directory, manifest)

    monkeypatch.setattr("pinyon.engine.segment_store.replace_manifest", remove_first)
    with pytest.raises(AssertionError, match="not what was acknowledged"):
        check_every_stop(seed_count=2)


# How it is done.


def check_every_stop(seed_count: int = 1) -> int:
    """Check every stop, and write on after it; how many there were."""
    count = 0
    for disk, states in stops(seed_count):
        count += 1
        index = check(disk, states)
        if count % 4 == 0:
            index.write(UpsertRecords("after", batch(some("ab", 1))))
            index.maintenance.settle()
            index.write(DeleteRecords("after", ["a"]))
            assert snapshot(check(disk.after_power_cut(count), [snapshot(index)])) == snapshot(index)
    return count


def stops(seed_count: int = 1, *, cut: bool = True) -> Iterator[tuple[SimulatedDisk, list[Snapshot]]]:
    """What is found after each stop, and the states that may be found then."""
    disk = WatchedDisk()
    found: list[SimulatedDisk] = []
    numbers = itertools.count()
    states: list[Snapshot] = [{}]

    def look(operation: str, path: str) -> None:
        number = next(numbers)
        seeds = range(number * seed_count, (number + 1) * seed_count)
        found.extend(disk.after_power_cut(seed) if cut else disk.after_kill() for seed in seeds)

    index = open_index(disk)
    disk.before = look
    state = EngineModel()
    for step in WORKLOAD:
        before = plain(state)
        do(index, step, state)
        states.append(plain(state))
        for each in found:
            yield each, [before, states[-1]]
        found.clear()


def run(
    disk: WatchedDisk,
    *,
    during_tasks: Callable[[simulated_disk.Operation, str], None] | None = None,
) -> Index:
    """Do the workload; a task that fails is done again."""
    index = open_index(disk)
    state = EngineModel()
    for step in WORKLOAD:
        with watched(disk, during_tasks if isinstance(step, str) else None):
            try:
                do(index, step, state)
            except UnavailableError:
                assert isinstance(step, str)
                assert snapshot(index) == plain(state)
                do(index, step, state)
        assert snapshot(index) == plain(state)
    return index


@contextmanager
def watched(disk: WatchedDisk, look: Callable[[simulated_disk.Operation, str], None] | None) -> Iterator[None]:
    before = disk.before
    disk.before = look or before
    yield
    disk.before = before


def do(index: Index, step: Operation | Task, state: EngineModel) -> None:
    maintenance = index.maintenance
    match step:
        case "freeze":
            maintenance.flusher._frozen = freeze(index._state)
        case "flush":
            maintenance.flush()
        case "work":
            work = maintenance._next_work(is_idle=False)
            if work is not None:
                work.run()
        case "settle":
            maintenance.settle()
        case operation:
            state.apply(operation)
            index.write(operation)


def final_state() -> Snapshot:
    state = EngineModel()
    for step in WORKLOAD:
        if not isinstance(step, str):
            state.apply(step)
    return plain(state)


def check(disk: SimulatedDisk, states: Iterable[Snapshot]) -> Index:
    try:
        index = open_index(disk)
    except (DataLossError, UnavailableError) as error:  # The latter where it stays closed.
        raise AssertionError(f"not what was acknowledged: {error.message}") from error
    assert snapshot(index) in list(states), "not what was acknowledged"
    manifest = index._state.store.manifest
    assert disk.list_directory(SEGMENTS) == sorted(files_of(manifest)), "left over"
    for live in index._state.store.segments.values():
        live.segment.verify()
    first_lsns = [int(name.removesuffix(".log")) for name in disk.list_directory("indexes/1/log")]
    assert all(lsn > manifest.lsn + 1 for lsn in first_lsns[1:]), "left over"
    return index


def snapshot(index: Index) -> Snapshot:
    """All that a reader can see."""
    found: Snapshot = {}
    for name, record_count in index.record_counts()[1].items():
        ids = index.list_ids(name, "", None, 1000)[1]
        found[name] = {record.id: plain_record(record) for record in index.read(name, ids)[1]}
        counts = {len(found[name]), record_count, index.read(name)[0].record_count}
        assert len(counts) == 1, f"not what was acknowledged: {name} has {counts} records"
    return found


def plain(state: EngineModel) -> Snapshot:
    return {name: dict(state.records(name)) for name in state.record_counts()}


def open_index(disk: SimulatedDisk) -> Index:
    database = Database(
        disk,
        new_salt=lambda: next(_salts).to_bytes(16, "little"),
        log_file_bytes_max=150,
        maintenance_options=OPTIONS,
    )
    if not database.definitions():
        database.create(DEFINITION)
    return database.index("i")
