"""A data directory: indexes come, go and are found again; whatever fails leaves nothing half-way."""

from itertools import count

import msgspec
import pytest

from pinyon.engine.catalog import CATALOG_PATH
from pinyon.engine.database import Database
from pinyon.engine.operations import UpsertRecords
from pinyon.errors import AlreadyExistsError, DataLossError, NotFoundError, UnavailableError
from pinyon.model.index import Deployment, IndexDefinition
from pinyon.model.metric import Metric, VectorType
from pinyon.storage.protocol import Storage
from pinyon.testing.engine_model import PlainRecord, batch
from pinyon.testing.simulated_disk import SimulatedDisk

RECORDS = UpsertRecords("n", batch({"a": PlainRecord((1, 2))}))


def definition(name: str) -> IndexDefinition:
    return IndexDefinition(
        name=name,
        index_id=f"id-of-{name}",
        vector_type=VectorType.DENSE,
        dimension=2,
        metric=Metric.COSINE,
        deployment=Deployment(kind="serverless"),
    )


def open_database(storage: Storage) -> Database:
    salts = count(1)
    return Database(storage, new_salt=lambda: next(salts).to_bytes(16, "little"), log_file_bytes_max=10_000)


@pytest.fixture
def disk() -> SimulatedDisk:
    return SimulatedDisk()


def names(database: Database) -> list[str]:
    return [definition.name for definition in database.definitions()]


def test_indexes_are_found_again_with_their_records(disk: SimulatedDisk) -> None:
    database = open_database(disk)
    for name in "ab":
        database.create(definition(name)).write(RECORDS)
    database.close()
    again = open_database(disk)
    assert names(again) == ["a", "b"]
    for name in "ab":
        assert again.get(name) == again.index(name).definition == definition(name)
        assert again.index(name).record_counts() == (1, {"n": 1})


def test_an_index_without_records_is_found_again(disk: SimulatedDisk) -> None:
    open_database(disk).create(definition("a"))
    assert open_database(disk).index("a").record_counts() == (0, {})


def test_unknown_names_are_not_found(disk: SimulatedDisk) -> None:
    database = open_database(disk)
    for call in (database.get, database.index, database.delete, lambda name: database.change(definition(name))):
        with pytest.raises(NotFoundError, match="Resource a not found"):
            call("a")


def test_a_name_is_given_once(disk: SimulatedDisk) -> None:
    database = open_database(disk)
    index = database.create(definition("a"))
    with pytest.raises(AlreadyExistsError, match="Resource already exists"):
        database.create(msgspec.structs.replace(definition("a"), index_id="another"))
    assert database.index("a") is index
    assert disk.list_directory("indexes") == ["id-of-a"]
    index.write(RECORDS)


def test_a_change_reaches_the_open_index_and_the_disk(disk: SimulatedDisk) -> None:
    database = open_database(disk)
    index = database.create(definition("a"))
    changed = msgspec.structs.replace(definition("a"), tags={"team": "search"})
    database.change(changed)
    assert index.definition == database.get("a") == open_database(disk).get("a") == changed


def test_a_deleted_index_is_gone_with_its_files_and_its_name_is_free(disk: SimulatedDisk) -> None:
    database = open_database(disk)
    index = database.create(definition("a"))
    index.write(RECORDS)
    database.delete("a")
    with pytest.raises(UnavailableError):
        index.write(RECORDS)
    assert disk.list_directory("indexes") == names(database) == names(open_database(disk)) == []
    database.create(msgspec.structs.replace(definition("a"), index_id="another"))
    assert open_database(disk).index("a").record_counts() == (0, {})


def test_the_folder_that_a_stop_left_is_removed(disk: SimulatedDisk) -> None:
    open_database(disk).create(definition("a"))
    disk.make_directory("indexes/of-nobody")
    disk.make_directory("indexes/of-nobody/log")
    disk.create("indexes/of-nobody/log/x")
    open_database(disk)
    assert disk.list_directory("indexes") == ["id-of-a"]


def test_records_without_a_catalog_are_data_loss_and_stay(disk: SimulatedDisk) -> None:
    open_database(disk).create(definition("a")).write(RECORDS)
    catalog = bytes(disk.read(CATALOG_PATH))
    disk.remove(CATALOG_PATH)
    with pytest.raises(DataLossError, match=r"catalog\.json is missing, but indexes/id-of-a holds records"):
        open_database(disk)
    disk.replace(CATALOG_PATH, catalog)
    assert open_database(disk).index("a").record_counts() == (1, {"n": 1})


@pytest.mark.parametrize("written", [False, True])
def test_an_index_without_log_files_stays_closed(disk: SimulatedDisk, written: bool) -> None:
    index = open_database(disk).create(definition("a"))
    if written:
        index.write(RECORDS)
    disk.remove_tree("indexes/id-of-a")
    with pytest.raises(UnavailableError, match="indexes/id-of-a/log, the log of the index a, has no files"):
        open_database(disk).index("a")
    assert disk.list_directory("indexes") == []


def test_the_catalog_is_there_before_any_index(disk: SimulatedDisk) -> None:
    open_database(disk)
    assert names(open_database(disk.after_power_cut(0))) == []
    assert CATALOG_PATH in disk.after_power_cut(1).list_directory("")


def test_a_failed_create_leaves_nothing(disk: SimulatedDisk) -> None:
    database = open_database(disk)
    database.create(definition("other"))
    for failing in ("make_directory", "create", "append", "sync", "rename"):
        disk.fail_next(failing)
        with pytest.raises(UnavailableError):
            database.create(definition("a"))
        assert names(database) == names(open_database(disk)) == ["other"]
        assert disk.list_directory("indexes") == ["id-of-other"]
    database.create(definition("a")).write(RECORDS)
    assert names(open_database(disk)) == ["other", "a"]


def test_a_failed_change_changes_nothing(disk: SimulatedDisk) -> None:
    database = open_database(disk)
    database.create(definition("a"))
    disk.fail_next("rename")
    with pytest.raises(UnavailableError):
        database.change(msgspec.structs.replace(definition("a"), tags={"team": "search"}))
    assert database.index("a").definition == database.get("a") == open_database(disk).get("a") == definition("a")


def test_an_index_whose_deletion_failed_goes_on(disk: SimulatedDisk) -> None:
    database = open_database(disk)
    index = database.create(definition("a"))
    for failing in ("create", "append", "sync", "rename"):
        disk.fail_next(failing)
        with pytest.raises(UnavailableError):
            database.delete("a")
        index.write(RECORDS)
    assert open_database(disk).index("a").lsn == 4


def test_an_index_that_may_be_deleted_acknowledges_no_writes(disk: SimulatedDisk) -> None:
    database = open_database(disk)
    index = database.create(definition("a"))
    index.write(RECORDS)
    disk.fail_next("sync_directory")
    with pytest.raises(UnavailableError):
        database.delete("a")
    assert names(open_database(disk.after_kill())) == []
    with pytest.raises(UnavailableError):
        index.write(RECORDS)
    assert database.index("a").record_counts() == (1, {"n": 1})
    database.delete("a")
    assert names(database) == names(open_database(disk)) == []


def test_a_folder_that_cannot_be_removed_is_left_to_the_next_start(disk: SimulatedDisk) -> None:
    database = open_database(disk)
    database.create(definition("a")).write(RECORDS)
    disk.fail_next("remove")
    database.delete("a")
    assert names(database) == []
    assert disk.list_directory("indexes") == ["id-of-a"]
    open_database(disk)
    assert disk.list_directory("indexes") == []


def test_a_damaged_log_names_its_file(disk: SimulatedDisk) -> None:
    database = open_database(disk)
    index = database.create(definition("a"))
    for _ in range(3):
        index.write(RECORDS)
    path = "indexes/id-of-a/log/00000000000000000001.log"
    content = bytearray(disk.read(path))
    content[100] ^= 1
    disk.replace(path, bytes(content))
    with pytest.raises(UnavailableError, match=path):
        open_database(disk).index("a")
