"""The database after a stop at every operation of the disk: each request is there whole or not at all, and it goes on.

What a writer was told is kept as a series of states, one after each request. After a stop, the database must be found
in the state after the last acknowledged request, or in the one after the request that was in flight.
"""

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import pytest

from pinyon.engine.database import Database
from pinyon.engine.operations import (
    CreateNamespace,
    DeleteNamespace,
    DeleteRecords,
    Operation,
    PatchRecords,
    UpsertRecords,
)
from pinyon.errors import DataLossError, UnavailableError
from pinyon.filter.parser import parse
from pinyon.log.file_log import FileLog
from pinyon.model.index import Deployment, IndexDefinition
from pinyon.model.metric import Metric, VectorType
from pinyon.storage.protocol import AppendFile, BytesLike
from pinyon.testing.engine_model import EngineModel, PlainNamespace, PlainRecord, batch, plain_record
from pinyon.testing.simulated_disk import CrashError, SimulatedDisk

SEEDS = range(20)
FILE_BYTES_MAX = 300

State: TypeAlias = dict[str, EngineModel]
"""The indexes by name."""

_salts = itertools.count()


# Requests: each is done to the database and to its model.


@dataclass(frozen=True)
class Create:
    name: str
    index_id: str
    dimension: int | None = 2

    def do(self, database: Database) -> None:
        database.create(
            IndexDefinition(
                name=self.name,
                index_id=self.index_id,
                vector_type=VectorType.SPARSE if self.dimension is None else VectorType.DENSE,
                dimension=self.dimension,
                metric=Metric.DOTPRODUCT,
                deployment=Deployment(kind="serverless"),
            )
        )

    def model(self, state: State) -> None:
        state[self.name] = EngineModel()


@dataclass(frozen=True)
class Delete:
    name: str

    def do(self, database: Database) -> None:
        database.delete(self.name)

    def model(self, state: State) -> None:
        del state[self.name]


@dataclass(frozen=True)
class Write:
    name: str
    operation: Operation

    def do(self, database: Database) -> None:
        database.index(self.name).write(self.operation)

    def model(self, state: State) -> None:
        state[self.name].apply(self.operation)


@dataclass(frozen=True)
class DeleteMatching:
    name: str
    namespace: str
    genre: str

    def do(self, database: Database) -> None:
        condition = parse({"genre": self.genre})
        assert condition is not None
        database.index(self.name).write_matching(
            self.namespace, condition, lambda ids: DeleteRecords(self.namespace, ids)
        )

    def model(self, state: State) -> None:
        records = state[self.name].records(self.namespace)
        gone = [id_ for id_, record in records.items() if record.metadata.get("genre") == self.genre]
        state[self.name].apply(DeleteRecords(self.namespace, gone))


Request: TypeAlias = Create | Delete | Write | DeleteMatching


def dense(ids: str, number: float, genre: str = "drama") -> Mapping[str, PlainRecord]:
    return {id_: PlainRecord((number, ord(id_)), {1: number}, {"genre": genre}) for id_ in ids}


WORKLOAD: Sequence[Request] = [
    Create("a", "1"),
    Write("a", UpsertRecords("n", batch(dense("abcdefgh", 1)))),
    Write("a", PatchRecords("n", batch(dense("abx", 2, "comedy")))),
    Create("s", "2", dimension=None),
    Write("a", DeleteRecords("n", ["h", "unknown"])),
    Write("s", UpsertRecords("n", batch({"a": PlainRecord(None, {1: 1.0, 2: 2.0}), "b": PlainRecord(None, {3: 4.0})}))),
    DeleteMatching("a", "n", "comedy"),
    Write("a", CreateNamespace("declared", ("genre",))),
    Write("a", UpsertRecords("m", batch(dense("a", 3)))),
    Write("a", DeleteNamespace("n")),
    Delete("a"),
    Create("a", "3"),
    Write("a", UpsertRecords("n", batch(dense("abcdefgh", 4)))),
    Write("s", PatchRecords("n", batch({"a": PlainRecord(None, {9: 9.0}, {"k": "v"})}))),
    Write("a", UpsertRecords("n", batch(dense("xyz", 5)))),
]


def test_no_stop_loses_an_acknowledged_request_or_half_of_one() -> None:
    check_every_stop()


def test_the_workload_needs_many_operations_and_several_log_files() -> None:
    *_, (disk, states) = stopped_at_each_operation()
    assert disk.operation_count > 70
    assert len(disk.list_directory("indexes/3/log")) > 1
    assert len(states) == 2


def test_no_stop_of_a_recovery_loses_an_acknowledged_request() -> None:
    for disk, states in itertools.islice(stopped_at_each_operation(), 0, None, 3):
        for stop in itertools.count(1):
            found = disk.after_power_cut(seed=stop)
            found.crash_after(stop)
            try:
                open_database(found)
            except CrashError:
                check_recovers_and_goes_on(found.after_power_cut(seed=stop), states, seed=stop)
            else:
                break


def test_no_kill_followed_by_a_power_cut_loses_what_was_seen_after_the_kill() -> None:
    for disk, states in itertools.islice(stopped_at_each_operation(), 0, None, 2):
        restarted = disk.after_kill()
        check_recovers_and_goes_on(restarted, states, seed=1)


@pytest.mark.parametrize("failing", ["sync", "sync_directory", "append", "rename", "create"])
def test_a_failing_disk_loses_no_acknowledged_request(failing: str) -> None:
    """The operation fails once, at each place of the workload; each request is then acknowledged or refused."""
    for place in range(len(WORKLOAD)):
        disk = SimulatedDisk()
        possible = run_with_failure(disk, place, failing)
        for seed in SEEDS[:3]:
            check(disk.after_power_cut(seed), possible)
        check(disk.after_kill(), possible)


@pytest.mark.parametrize("free_bytes", range(0, 3000, 150))
def test_a_full_disk_refuses_writes_and_loses_nothing(free_bytes: int) -> None:
    disk = SimulatedDisk()
    database = open_database(disk)
    disk.free_bytes = free_bytes
    state: State = {}
    refused = 0
    for request in WORKLOAD:
        if not would_find_its_index(request, state):
            continue
        try:
            request.do(database)
        except UnavailableError:
            refused += 1
        else:
            request.model(state)
        assert snapshot(database) == plain(state)
    assert refused or free_bytes > 2500
    for seed in SEEDS[:2]:
        check(disk.after_power_cut(seed), [state])
    disk.free_bytes = None
    goes_on(database)
    assert all(list(namespaces["after"].records) == ["a"] for namespaces in snapshot(database).values())


def test_parallel_writers_lose_no_acknowledged_request() -> None:
    """Grouping is up to the threads, so a request is judged by itself: acknowledged ⊆ recovered ⊆ attempted."""
    for stop in range(1, 30):
        disk = SimulatedDisk()
        database = open_database(disk)
        Create("a", "1").do(database)
        disk.crash_after(stop)
        acknowledged = write_in_parallel(database)
        for seed in SEEDS[:3]:
            found = open_database(disk.after_power_cut(seed)).index("a").record_counts()[1]
            assert set(found.values()) <= {3}
            assert acknowledged <= found.keys() <= {f"{writer}-{number}" for writer in range(4) for number in range(5)}


# Canaries.


def test_the_checker_catches_a_log_that_acknowledges_before_it_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(log: FileLog, file: AppendFile, frame: Sequence[BytesLike]) -> None:
        file.sync()
        file.append(frame)
        log._stopped_by = None

    monkeypatch.setattr(FileLog, "_write", write)
    with pytest.raises(AssertionError, match="not what was acknowledged"):
        check_every_stop()


def test_the_checker_catches_a_catalog_that_is_not_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedDisk, "sync_directory", lambda disk, path: None)
    with pytest.raises(AssertionError, match="not what was acknowledged"):
        check_every_stop()


def test_the_checker_catches_a_deletion_that_removes_files_first(monkeypatch: pytest.MonkeyPatch) -> None:
    delete = Database.delete

    def delete_files_first(database: Database, name: str) -> None:
        database._remove_folder(database.get(name).index_id)
        delete(database, name)

    monkeypatch.setattr(Database, "delete", delete_files_first)
    with pytest.raises(AssertionError, match="not what was acknowledged"):
        check_every_stop()


# How it is done.


def check_every_stop() -> None:
    for disk, states in stopped_at_each_operation():
        for seed in SEEDS:
            check_recovers_and_goes_on(disk.after_power_cut(seed), states, seed)


def stopped_at_each_operation() -> Iterator[tuple[SimulatedDisk, list[State]]]:
    """The disk and the states in which the database may be found, for a stop at each operation and for none."""
    for stop in itertools.count(1):
        disk, states = SimulatedDisk(), [State()]
        disk.crash_after(stop)
        try:
            run_workload(disk, states)
        except CrashError:
            yield disk, states[-2:]
        else:
            yield disk, states[-2:]
            return


def run_workload(disk: SimulatedDisk, states: list[State]) -> None:
    """Do all requests; `states` ends with the one before and the one after the request in flight."""
    database = open_database(disk)
    for request in WORKLOAD:
        states[:] = [states[-1], copy.deepcopy(states[-1])]
        request.model(states[-1])
        request.do(database)


def run_with_failure(disk: SimulatedDisk, place: int, failing: str) -> list[State]:
    """Do all requests that still can be done, and return the states that may be found.

    One whose outcome is unknown may be there.
    """
    database = open_database(disk)
    possible: list[State] = [{}]
    for number, request in enumerate(WORKLOAD):
        if not would_find_its_index(request, possible[0]):
            continue
        if number == place:
            disk.fail_next(failing)  # type: ignore[arg-type]
        after = copy.deepcopy(possible)
        for state in after:
            if would_find_its_index(request, state):
                request.model(state)
        try:
            request.do(database)
        except UnavailableError as error:
            if "unknown" in error.message or isinstance(request, (Create, Delete)):
                possible += after[:1]
        else:
            possible = after
        assert snapshot(database) == plain(possible[0])
    return possible


def would_find_its_index(request: Request, state: State) -> bool:
    return (request.name in state) is not isinstance(request, Create)


def write_in_parallel(database: Database) -> set[str]:
    """Four writers, each to namespaces of its own until the machine stops; the namespaces that were acknowledged."""

    def write(writer: int) -> list[str]:
        done = []
        for number in range(5):
            name = f"{writer}-{number}"
            try:
                database.index("a").write(UpsertRecords(name, batch(dense("abc", number))))
            except (CrashError, UnavailableError):
                break
            done.append(name)
        return done

    with ThreadPoolExecutor(4) as pool:
        return set(itertools.chain.from_iterable(pool.map(write, range(4))))


def check_recovers_and_goes_on(disk: SimulatedDisk, states: Sequence[State], seed: int) -> None:
    """Check what is found, then write and cut the power once more: that must not lose anything either."""
    found = check(disk, states)
    goes_on(found)
    assert snapshot(recovered(disk.after_power_cut(seed))) == snapshot(found), "not what was acknowledged"


def goes_on(database: Database) -> None:
    """Write to every index, and create one."""
    Create("after", "after").do(database)
    for definition in database.definitions():
        vectors = PlainRecord(None, {1: 1.0}) if definition.dimension is None else PlainRecord((1, 2))
        database.index(definition.name).write(UpsertRecords("after", batch({"a": vectors})))


def check(disk: SimulatedDisk, states: Sequence[State]) -> Database:
    database = recovered(disk)
    assert snapshot(database) in [plain(state) for state in states], "not what was acknowledged"
    owned = {definition.index_id for definition in database.definitions()}
    assert set(disk.list_directory("indexes")) <= owned, "folders are left over"
    return database


def recovered(disk: SimulatedDisk) -> Database:
    try:
        database = open_database(disk)
    except DataLossError as error:
        raise AssertionError(f"not what was acknowledged: {error.message}") from error
    closed = [database.why_closed(definition.name) for definition in database.definitions()]
    assert not any(closed), f"not what was acknowledged: {closed}"
    return database


Plain: TypeAlias = dict[str, dict[str, PlainNamespace]]


def snapshot(database: Database) -> Plain:
    """All that a reader can see: indexes by name, namespaces, records."""
    found: Plain = {}
    for definition in database.definitions():
        index = database.index(definition.name)
        namespaces = found[definition.name] = {}
        for name, record_count in index.record_counts()[1].items():
            ids = index.list_ids(name, "", None, 1000)[1]
            records = {record.id: plain_record(record) for record in index.read(name, ids)[1]}
            assert len(records) == record_count
            namespaces[name] = PlainNamespace(records, declared=not records)
    return found


def plain(state: State) -> Plain:
    """A model as `snapshot` sees it: only an empty namespace shows that it was declared."""
    return {
        index_name: {
            name: PlainNamespace(model.by_name[name].records, declared=not model.by_name[name].records)
            for name in model.record_counts()
        }
        for index_name, model in state.items()
    }


def open_database(disk: SimulatedDisk) -> Database:
    return Database(disk, new_salt=lambda: next(_salts).to_bytes(16, "little"), log_file_bytes_max=FILE_BYTES_MAX)
