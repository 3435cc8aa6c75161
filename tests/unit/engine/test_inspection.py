"""An inspection counts what is on disk, also while a server changes it, and tells what it could not read."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from pinyon.engine.database import Database
from pinyon.engine.inspection import inspect
from pinyon.engine.inspection_report import IndexOnDisk
from pinyon.engine.operations import DeleteNamespace, UpsertRecords
from pinyon.errors import NotFoundError
from pinyon.inspection_text import lines_of
from pinyon.storage.local import LocalStorage
from pinyon.storage.memory import MemoryStorage
from pinyon.storage.protocol import Storage
from pinyon.storage.read_only import ReadOnlyStorage
from tests.unit.engine.data_directories import (
    FILMS,
    FILMS_PATH,
    LOG,
    SEGMENTS,
    WORDS,
    files_of,
    flipped,
    made_files,
    open_database,
    records,
    storage_of,
)

FILES = made_files()
SIZE = {path: len(content) for path, content in FILES.items()}


def films(storage: MemoryStorage, namespaces_max: int = 100) -> IndexOnDisk:
    (index,) = inspect(storage, FILMS.name, namespaces_max=namespaces_max).indexes
    return index


def test_segments_are_told_with_what_belongs_to_them():
    index = films(storage_of(FILES))
    assert (index.definition, index.path, index.manifest_lsn, index.problems) == (FILMS, FILMS_PATH, 11, [])
    told = [(s.number, s.kind, s.namespace_count, s.row_count, s.dead_count) for s in index.segments]
    assert told == [(5, "shared", 3, 30, 2), (6, "dedicated", 1, 480, 10), (7, "shared", 1, 10, 0)]
    files = [(s.size_bytes, s.dead_rows_bytes, s.graph_bytes) for s in index.segments]
    shared, dedicated, last = (f"{SEGMENTS}/{number:020}" for number in (5, 6, 7))
    assert files == [
        (SIZE[f"{shared}.seg"], SIZE[f"{shared}.{11:020}.dead"], None),
        (SIZE[f"{dedicated}.seg"], SIZE[f"{dedicated}.{11:020}.dead"], SIZE[f"{dedicated}.graph"]),
        (SIZE[f"{last}.seg"], None, None),
    ]
    assert index.segment_bytes == sum(size for path, size in SIZE.items() if path.startswith(SEGMENTS))
    assert [sorted(s.efforts) for s in index.segments] == [[], ["graph", "quantised"], []]


def test_records_are_counted_by_namespace_as_the_engine_counts_them():
    storage = storage_of(FILES)
    told = films(storage)
    database = open_database(storage_of(FILES))
    counts = database.index(FILMS.name).record_counts()[1]
    database.close()
    in_segments = {item.name: item.record_count for item in told.namespaces}
    assert in_segments == {**counts, "logged": 0}
    assert told.record_count == sum(in_segments.values())
    assert {item.name: item.dead_count for item in told.namespaces if item.dead_count} == {"large": 10, "small-1": 2}
    assert [item.name for item in told.namespaces if item.declared] == ["declared"]
    assert {item.name: item.segment_count for item in told.namespaces}["large"] == 2


def test_what_only_the_log_has_is_told_apart():
    index = films(storage_of(FILES))
    (logged,) = [item for item in index.namespaces if item.name == "logged"]
    assert (logged.waiting_entries, logged.waiting_records) == (4, 20)
    assert 20 * 8 * 4 < logged.waiting_bytes < index.log.size_bytes
    assert [file.path for file in index.log.files] == [f"{LOG}/{lsn:020}.log" for lsn in (12, 15)]
    assert index.log.size_bytes == sum(size for path, size in SIZE.items() if path.startswith(LOG))
    assert (index.log.last_lsn, index.log.waiting_entries, index.log.torn_bytes) == (15, 4, 0)


def test_the_largest_namespaces_come_first_and_the_others_are_counted():
    index = films(storage_of(FILES), 2)
    assert [item.name for item in index.namespaces] == ["large", "logged"]
    assert index.namespace_count == 6
    assert films(storage_of(FILES), 0).namespaces == []


def test_a_deleted_namespace_is_not_told():
    storage = storage_of(FILES)
    database = open_database(storage)
    database.index(FILMS.name).write(DeleteNamespace("small-0"))
    database.index(FILMS.name).maintenance.flush()
    database.close()
    index = films(storage)
    assert "small-0" not in [item.name for item in index.namespaces]
    assert index.namespace_count == 5


def test_all_indexes_are_told_or_the_one_that_is_asked_for():
    storage = storage_of(FILES)
    assert [index.definition for index in inspect(storage, namespaces_max=1).indexes] == [FILMS, WORDS]
    assert [index.definition for index in inspect(storage, WORDS.name, namespaces_max=1).indexes] == [WORDS]
    with pytest.raises(NotFoundError, match="there is no index none"):
        inspect(storage, "none", namespaces_max=1)


def test_leftovers_are_told():
    storage = storage_of(FILES)
    path = f"{SEGMENTS}/{99:020}.seg"
    storage.replace(path, b"left over")
    storage.make_directory("indexes/nobody")
    assert [(file.path, file.size_bytes) for file in films(storage).leftovers] == [(path, 9)]
    assert inspect(storage, namespaces_max=1).leftovers == ["indexes/nobody"]


@pytest.mark.parametrize(
    "path",
    [
        f"{FILMS_PATH}/manifest.json",
        f"{SEGMENTS}/{6:020}.seg",
        f"{SEGMENTS}/{6:020}.{11:020}.dead",
        f"{LOG}/{12:020}.log",
    ],
)
def test_what_cannot_be_read_is_a_problem_and_the_rest_is_told(path):
    index = films(storage_of(flipped(FILES, path, 9, 0)))
    assert path in index.problems[0]
    assert index.definition == FILMS
    if not path.endswith(".json"):
        assert [segment.row_count for segment in index.segments] == [30, 480, 10]
        assert {item.name: item.record_count for item in index.namespaces}["small-2"] == 12


def test_without_the_manifest_nobody_can_tell_what_is_left_over():
    storage = storage_of(flipped(FILES, f"{FILMS_PATH}/manifest.json", 9, 0))
    index = films(storage)
    assert (index.manifest_lsn, index.segments, index.namespaces, index.leftovers) == (None, [], [], [])
    assert index.segment_bytes == sum(size for path, size in SIZE.items() if path.startswith(SEGMENTS))
    assert [file.path for file in index.log.files] == [f"{LOG}/{lsn:020}.log" for lsn in (12, 15)]
    assert len(index.problems) == 1, "the log is not blamed for what only the manifest tells"
    text = "\n".join(lines_of(inspect(storage, FILMS.name, namespaces_max=1)))
    assert "  manifest    cannot be read; without it, nobody can tell which files are needed or left over\n" in text
    assert "\n  left over " not in text
    assert text.endswith(f"\n  problem     {index.problems[0]}")


def test_an_index_without_a_flush_has_no_manifest_and_no_problem():
    storage = MemoryStorage()
    database = open_database(storage)
    database.create(FILMS)
    database.close()
    index = films(storage)
    assert (index.manifest_lsn, index.segments, index.problems) == (0, [], [])


def test_a_write_that_was_cut_short_is_no_problem():
    path = f"{LOG}/{15:020}.log"
    storage = storage_of({**FILES, path: FILES[path] + b"PYNF"})
    assert films(storage).log.torn_bytes == 4
    assert films(storage).problems == []


def test_nothing_is_changed_on_disk(tmp_path: Path):
    storage = LocalStorage(tmp_path)
    database = open_database(storage)
    database.create(FILMS)
    database.index(FILMS.name).write(UpsertRecords("n", records(0, 9)))
    database.index(FILMS.name).maintenance.flush()
    storage.replace("indexes/7f3c/segments/left", b"over")
    files = files_of(storage)
    (index,) = inspect(ReadOnlyStorage(tmp_path), namespaces_max=9).indexes
    assert (index.record_count, index.problems) == (9, [])
    assert files_of(storage) == files
    database.close()


def test_a_server_may_change_everything_meanwhile(tmp_path: Path):
    storage = LocalStorage(tmp_path)
    with ThreadPoolExecutor(1) as thread, closing(open_database(storage)) as database:
        database.create(FILMS)
        server = Server(database)
        server.work()
        stopping = threading.Event()
        working = thread.submit(server.work_until, stopping)
        lsns: list[int] = []
        try:
            while len(set(lsns)) < 5 and not working.done():
                lsns.append(check_of_server(ReadOnlyStorage(tmp_path)))
        finally:
            stopping.set()
        working.result()
    assert lsns == sorted(lsns)


def test_a_server_may_change_everything_at_any_moment():
    for moment in count(1):
        storage = InterruptedStorage()
        with closing(open_database(storage)) as database:
            database.create(FILMS)
            server = Server(database)
            server.work()
            server.work()
            storage.after(moment, server.work)
            lsn = check_of_server(storage)
            is_interrupted = storage.calls_left <= 0
        assert lsn == 2 + is_interrupted
        if not is_interrupted:
            break
    assert moment > 8


class Server:
    """A database with one namespace, to which each step of work adds ten records and replaces all files."""

    def __init__(self, database: Database) -> None:
        self._index = database.index(FILMS.name)
        self._count = 0

    def work(self) -> None:
        self._index.write(UpsertRecords("n", records(self._count, self._count + 10)))
        self._count += 10
        self._index.maintenance.settle()

    def work_until(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            self.work()


def check_of_server(storage: Storage) -> int:
    """Whether the numbers are of one moment; gives the LSN of the manifest."""
    (index,) = inspect(storage, namespaces_max=9).indexes
    assert index.problems == []
    assert index.manifest_lsn is not None
    (namespace,) = index.namespaces
    assert namespace.record_count == 10 * index.manifest_lsn
    assert namespace.record_count + namespace.waiting_records == 10 * index.log.last_lsn
    assert sum(segment.row_count for segment in index.segments) == namespace.record_count
    return index.manifest_lsn


class InterruptedStorage(MemoryStorage):
    """Does something before a call of `read` or `list_directory`, once, as another process could."""

    def __init__(self) -> None:
        super().__init__()
        self.calls_left = 0
        self._interrupt = lambda: None

    def after(self, calls: int, interrupt: Callable[[], None]) -> None:
        """Do it before the call of that number, counted from 1."""
        self.calls_left, self._interrupt = calls, interrupt

    def read(self, path: str) -> memoryview:
        self._count()
        return super().read(path)

    def list_directory(self, path: str) -> list[str]:
        self._count()
        return super().list_directory(path)

    def _count(self) -> None:
        self.calls_left -= 1
        if self.calls_left == 0:
            self._interrupt()


def test_the_text_names_what_was_found():
    storage = storage_of(FILES)
    storage.replace(f"{SEGMENTS}/{99:020}.seg", b"left over")
    storage.make_directory("indexes/nobody")
    lines = list(lines_of(inspect(storage, namespaces_max=2)))
    assert lines[:5] == [
        f"films in {FILMS_PATH}",
        "  definition  8 dimensions, dotproduct, port 5081, serverless",
        "  manifest    LSN 11",
        f"  log         2 files, {sum(SIZE[f'{LOG}/{lsn:020}.log'] for lsn in (12, 15)) / 1024:.1f} KiB, "
        "up to LSN 15, 4 writes not in segments yet",
        f"  segments    3, {films(storage).segment_bytes / 1024:.1f} KiB",
    ]
    words = [line.split() for line in lines]
    assert ["5", "shared", "3", "30", "2", "6.1", "KiB", "-", "-"] in words
    assert any(line[:5] == ["6", "dedicated", "1", "480", "10"] and "quantised" in line for line in words)
    assert any(line[:4] == ["large", "480", "10", "2"] for line in words)
    assert "    and 4 smaller ones" in lines
    assert f"  left over   {SEGMENTS}/{99:020}.seg, 9 B" in lines
    assert "  left over   indexes/nobody, a folder that no index owns" in lines
    assert "words in indexes/91d0" in lines


def test_the_text_of_a_directory_without_indexes():
    storage = MemoryStorage()
    open_database(storage).close()
    assert list(lines_of(inspect(storage, namespaces_max=2))) == ["no indexes"]


def test_names_that_a_terminal_would_obey_are_quoted():
    storage = storage_of(FILES)
    database = open_database(storage)
    database.index(FILMS.name).write(UpsertRecords("\x1b[2J", records(0, 1)))
    database.close()
    text = "\n".join(lines_of(inspect(storage, namespaces_max=100)))
    assert '"\\u001b[2J"' in text
    assert "\x1b" not in text
    assert np.all([line.isprintable() for line in text.split("\n")])
