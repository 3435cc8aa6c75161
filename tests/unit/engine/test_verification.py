"""A verification finds what contradicts itself though every checksum is right, tells all of it, and changes nothing.

For damaged bytes see `test_bit_flips.py`.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from pinyon.engine.catalog import CATALOG_PATH, Catalog
from pinyon.engine.findings import Kind
from pinyon.engine.operations import DeleteRecords, PatchRecords, UpsertRecords, encode
from pinyon.engine.verification import verify
from pinyon.errors import NotFoundError
from pinyon.model.index import IndexDefinition
from pinyon.segment.column_file import ColumnFile
from pinyon.segment.column_file_writer import ColumnFileWriter
from pinyon.segment.dead_rows import write_dead_rows
from pinyon.segment.manifest import Manifest, SegmentEntry, read_manifest, replace_manifest
from pinyon.storage.memory import MemoryStorage
from pinyon.testing.engine_model import PlainRecord, batch
from tests.opened_log import open_log
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
    storage_of,
)

FILES = made_files()
MANIFEST = f"{FILMS_PATH}/manifest.json"
DEDICATED = f"{SEGMENTS}/{6:020}.seg"
DEAD_ROWS = f"{SEGMENTS}/{6:020}.{11:020}.dead"
GRAPH = f"{SEGMENTS}/{6:020}.graph"
SHARED = f"{SEGMENTS}/{5:020}.seg"


@pytest.fixture
def storage() -> MemoryStorage:
    return storage_of(FILES)


def lines(storage: MemoryStorage, kind: Kind, name: str | None = None) -> list[str]:
    return [finding.text for finding in verify(storage, name) if finding.kind is kind]


def problems(storage: MemoryStorage, name: str | None = None) -> list[str]:
    return lines(storage, Kind.PROBLEM, name)


def change_manifest(storage: MemoryStorage, change: Callable[[Manifest], Manifest]) -> None:
    manifest = read_manifest(storage, FILMS_PATH)
    assert manifest is not None
    replace_manifest(storage, FILMS_PATH, change(manifest))


def change_segment(storage: MemoryStorage, number: int, **fields: Any) -> None:
    """Make the manifest say something else about a segment."""

    def change(entry: SegmentEntry) -> SegmentEntry:
        return msgspec.structs.replace(entry, **fields) if entry.number == number else entry

    change_manifest(
        storage, lambda manifest: msgspec.structs.replace(manifest, segments=tuple(map(change, manifest.segments)))
    )


def rewrite(
    storage: MemoryStorage,
    path: str,
    kind: str,
    columns: dict[str, Callable[[NDArray[Any]], NDArray[Any]]],
    properties: dict[str, Any] | None = None,
) -> None:
    """Write a column file anew, with right checksums, and with some columns and properties changed."""
    old = ColumnFile.open(storage, path, kind)
    arrays = {name: np.array(old.array(name)) for name in old.names}
    storage.remove(path)
    writer = ColumnFileWriter(storage.create(path), kind)
    for name, array in arrays.items():
        changed = columns[name](array) if name in columns else array
        writer.write(name, [changed], array.dtype, array.shape[1] if array.ndim == 2 else None)
    writer.finish(old.properties | (properties or {}))


def first_changed(array: NDArray[Any]) -> NDArray[Any]:
    array[0] = array[0] + 1
    return array


def test_all_is_well_and_every_file_was_looked_at(storage: MemoryStorage) -> None:
    found = list(verify(storage))
    assert [finding for finding in found if finding.kind is Kind.PROBLEM] == []
    assert set(FILES) <= {finding.path for finding in found}
    texts = [finding.text for finding in found if finding.kind is Kind.OK]
    assert f"{DEDICATED}: 480 rows, 1 namespaces, {len(FILES[DEDICATED])} bytes" in texts
    assert f"{DEAD_ROWS}: 10 dead rows of 480, {len(FILES[DEAD_ROWS])} bytes" in texts
    assert f"{GRAPH}: a graph of 480 rows, {len(FILES[GRAPH])} bytes" in texts
    assert f"{LOG}/{12:020}.log: LSN 12 to 14, 3 entries, {len(FILES[f'{LOG}/{12:020}.log'])} bytes" in texts
    assert f"{MANIFEST}: LSN 11, 3 segments" in texts
    assert f"{FILMS_PATH}: all of index films" in texts


def test_nothing_is_changed(storage: MemoryStorage) -> None:
    storage.replace(f"{SEGMENTS}/{99:020}.seg", b"left over")
    files = files_of(storage)
    list(verify(storage))
    assert files_of(storage) == files


def test_one_index_may_be_asked_for(storage: MemoryStorage) -> None:
    found = {finding.path.split("/log")[0] for finding in verify(storage, WORDS.name)}
    assert found == {CATALOG_PATH, "indexes/91d0"}
    with pytest.raises(NotFoundError, match="there is no index none"):
        list(verify(storage, "none"))


def test_an_empty_directory_with_a_catalog_is_well() -> None:
    storage = MemoryStorage()
    open_database(storage).close()
    assert [finding.kind for finding in verify(storage)] == [Kind.OK]


@pytest.mark.parametrize("path", [DEDICATED, DEAD_ROWS, GRAPH, SHARED, f"{LOG}/{12:020}.log"])
def test_a_missing_file_is_named(storage: MemoryStorage, path: str) -> None:
    storage.remove(path)
    (problem, *others) = problems(storage)
    assert "missing" in problem
    assert path in problem or path.startswith(LOG)
    assert all(path in other for other in others)


def test_a_log_without_files_or_that_ends_too_early_is_a_problem(storage: MemoryStorage) -> None:
    storage.remove(f"{LOG}/{15:020}.log")
    change_manifest(storage, lambda manifest: msgspec.structs.replace(manifest, lsn=20))
    assert "the log ends at LSN 14, but had reached 20" in problems(storage)[0]
    storage.remove(f"{LOG}/{12:020}.log")
    assert problems(storage) == [f"{LOG}: the log has no files"]


def test_a_lost_manifest_is_noticed_by_the_log(storage: MemoryStorage) -> None:
    storage.remove(MANIFEST)
    assert re.search(rf"{LOG}/{12:020}.log, byte 0: .*a file is missing", problems(storage)[0])


def test_a_lost_catalog_does_not_hide_the_rest(storage: MemoryStorage) -> None:
    storage.remove(CATALOG_PATH)
    content = bytearray(storage.read(DEDICATED))
    content[1000] ^= 1
    storage.replace(DEDICATED, bytes(content))
    first, second = problems(storage)
    assert first.startswith(f"{CATALOG_PATH}: it is missing, but indexes/7f3c holds records")
    assert second.startswith(DEDICATED)


def test_a_damaged_manifest_does_not_hide_the_rest() -> None:
    files = flipped(flipped(FILES, MANIFEST, 30, 0), DEDICATED, 1000, 0)
    files = flipped(files, f"{LOG}/{12:020}.log", 50, 0)
    found = problems(storage_of(files))
    assert [any(path in text for text in found) for path in (MANIFEST, DEDICATED, f"{LOG}/{12:020}.log")] == [True] * 3
    assert len(found) == 3


def test_one_problem_does_not_hide_another() -> None:
    files, paths = FILES, [DEDICATED, DEAD_ROWS, GRAPH, SHARED, f"{LOG}/{12:020}.log", f"{LOG}/{15:020}.log"]
    for path in paths:
        files = flipped(files, path, 9, 0)
    storage = storage_of(files)
    assert sorted(found.split(",")[0].split(":")[0] for found in problems(storage)) == sorted(paths)
    assert f"{FILMS_PATH}: all of index films" not in lines(storage, Kind.OK)


def test_left_over_files_are_notes(storage: MemoryStorage) -> None:
    paths = [
        f"{SEGMENTS}/{99:020}.seg",
        f"{SEGMENTS}/{6:020}.{9:020}.dead",
        f"{FILMS_PATH}/manifest.json.tmp",
        f"{LOG}/notes.txt",
        "catalog.json.tmp",
    ]
    for path in paths:
        storage.replace(path, b"anything")
    storage.make_directory("indexes/nobody")
    assert problems(storage) == []
    notes = lines(storage, Kind.NOTE)
    assert all(any(note.startswith(f"{path}: ") for note in notes) for path in [*paths, "indexes/nobody"])
    assert len(notes) == len(paths) + 1


def test_what_a_stop_cut_short_is_a_note(storage: MemoryStorage) -> None:
    torn, unfinished = f"{LOG}/{15:020}.log", f"{LOG}/{16:020}.log"
    storage.replace(torn, bytes(storage.read(torn)) + b"PYNF")
    assert problems(storage) == []
    assert any(note.startswith(f"{torn}: its last 4 bytes are no whole write") for note in lines(storage, Kind.NOTE))
    storage.replace(torn, FILES[torn])
    storage.replace(unfinished, b"PINYN")
    assert problems(storage) == []
    assert any(note.startswith(f"{unfinished}: its creation was cut short") for note in lines(storage, Kind.NOTE))


@pytest.mark.parametrize(
    ("number", "fields", "path", "text"),
    [
        (6, {"row_count": 481}, DEDICATED, "it has 480 rows where the manifest says 481"),
        (6, {"size_bytes": 7}, DEDICATED, "bytes where the manifest says 7"),
        (6, {"dead_count": 9}, DEAD_ROWS, "it has 10 dead rows where the manifest says 9"),
        (6, {"dead_lsn": 3}, f"{SEGMENTS}/{6:020}.{3:020}.dead", "missing"),
        (5, {"has_graph": True}, f"{SEGMENTS}/{5:020}.graph", "missing"),
    ],
)
def test_the_manifest_says_what_the_files_say(
    storage: MemoryStorage, number: int, fields: dict[str, Any], path: str, text: str
) -> None:
    change_segment(storage, number, **fields)
    assert any(found.startswith(path) and text in found for found in problems(storage))


def test_an_id_that_is_alive_twice_is_named(storage: MemoryStorage) -> None:
    change_segment(storage, 6, dead_lsn=None, dead_count=0)
    found = problems(storage)
    assert len(found) == 10
    assert f"{SEGMENTS}/{7:020}.seg: id 'id-15' of namespace 'large' is alive in {DEDICATED} too" in found


def test_vectors_have_the_dimension_of_the_index(storage: MemoryStorage) -> None:
    Catalog(storage).change(msgspec.structs.replace(FILMS, dimension=9))
    found = problems(storage)
    assert f"{SHARED}: its vectors have dimension 8, and not 9" in found[2]
    assert re.match(rf"{LOG}/{12:020}.log, entry 12: its vectors have dimension 8, and not 9", found[0])


@pytest.mark.parametrize("field", ["index_id", "port"])
def test_two_indexes_do_not_share_what_they_must_not(storage: MemoryStorage, field: str) -> None:
    Catalog(storage).add(msgspec.structs.replace(WORDS, name="again", index_id="x", port=1))
    twin: IndexDefinition = msgspec.structs.replace(Catalog(storage).get("again"), **{field: getattr(WORDS, field)})
    Catalog(storage).change(twin)
    assert any(found.startswith(f"{CATALOG_PATH}: two indexes have the ") for found in problems(storage))


def upsert(*rows: tuple[str, PlainRecord]) -> list[Any]:
    """An entry that writes these records, whatever their ids are."""
    records = batch({str(number): record for number, (_, record) in enumerate(rows)})
    records.ids[:] = [id_ for id_, _ in rows]
    return encode(UpsertRecords("n", records))


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (upsert(("a", PlainRecord((1.0,) * 7))), "its vectors have dimension 7, and not 8"),
        (upsert(("a", PlainRecord(None, {1: 1.0}))), "its vectors have dimension None, and not 8"),
        (upsert(("a", PlainRecord((1.0,) * 8)), ("a", PlainRecord((2.0,) * 8))), "it writes a record twice"),
        ([b"nothing."], "a log entry cannot be read"),
    ],
)
def test_an_operation_that_cannot_be_right_is_a_problem(storage: MemoryStorage, entry: list[Any], text: str) -> None:
    log = open_log(storage, LOG, begin_lsn=12)
    log.append([encode(PatchRecords("n", batch({"a": PlainRecord(None, {1: 1.0})})))])
    log.append([entry])
    log.append([encode(DeleteRecords("n", ["a"]))])
    log.close()
    (found,) = problems(storage)
    assert re.match(rf"{LOG}/\d{{20}}.log, entry 17: {text}", found)


@pytest.mark.parametrize(
    "name",
    [
        "partition_starts",
        "filter_term_rows",
        "filter_number_rows",
        "filter_numbers",
        "filter_term_keys",
        "postings_values",
        "postings_rows",
        "id_order",
        "hashes",
        "squared_norms",
    ],
)
def test_a_segment_that_was_written_wrong_is_a_problem(storage: MemoryStorage, name: str) -> None:
    rewrite(storage, DEDICATED, "segment", {name: first_changed})
    change_segment(storage, 6, size_bytes=len(storage.read(DEDICATED)))
    assert [found.split(":")[0] for found in problems(storage)] == [DEDICATED]


@pytest.mark.parametrize(
    "name",
    [
        "code_factors",
        "code_constants",
        "codes",
        "origin",
        "partition_mean",
        "filter_field_names",
        "postings_terms",
    ],
)
def test_a_segment_that_lacks_values_is_a_problem(storage: MemoryStorage, name: str) -> None:
    rewrite(storage, DEDICATED, "segment", {name: lambda array: array[:-1]})
    change_segment(storage, 6, size_bytes=len(storage.read(DEDICATED)))
    assert [found.split(":")[0] for found in problems(storage)] == [DEDICATED]


@pytest.mark.parametrize(
    ("path", "properties", "named"),
    [
        (DEDICATED, {"dedicated": True, "scale": 0.5, "seed": 1}, DEDICATED),
        (DEDICATED, {}, GRAPH),
        (SHARED, {"dedicated": True, "scale": 9.0, "seed": 1}, SHARED),
    ],
)
def test_a_segment_with_wrong_properties_is_a_problem(
    storage: MemoryStorage, path: str, properties: dict[str, Any], named: str
) -> None:
    rewrite(storage, path, "segment", {}, {"properties": properties})
    change_segment(storage, int(path[-24:-4]), size_bytes=len(storage.read(path)))
    assert [found.split(":")[0] for found in problems(storage)] == [named]


def test_long_rows_are_rows(storage: MemoryStorage) -> None:
    rewrite(storage, DEDICATED, "segment", {"long_rows": lambda _: np.array([3, 480])})
    change_segment(storage, 6, size_bytes=len(storage.read(DEDICATED)))
    (found,) = problems(storage)
    assert "column long_rows does not name rows" in found


def test_a_segment_without_what_searches_need_is_not_opened(storage: MemoryStorage) -> None:
    rewrite(storage, DEDICATED, "segment", {}, {"properties": {"dedicated": True, "norm_max": 9.0, "seed": 1}})
    change_segment(storage, 6, size_bytes=len(storage.read(DEDICATED)))
    assert f"{DEDICATED}: it has no scale" in (open_database(storage).why_closed("films") or "")


@pytest.mark.parametrize("properties", [{"row_count": 479}, {"segment": 5}])
def test_a_graph_belongs_to_its_segment(storage: MemoryStorage, properties: dict[str, Any]) -> None:
    rewrite(storage, GRAPH, "graph", {}, properties)
    assert [found.split(":")[0] for found in problems(storage)] == [GRAPH]


def test_a_graph_is_over_the_rows_of_its_segment(storage: MemoryStorage) -> None:
    def shorter(array: NDArray[Any]) -> NDArray[Any]:
        return array[:-500]

    rewrite(storage, GRAPH, "graph", {"graph": shorter})
    assert [found.split(":")[0] for found in problems(storage)] == [GRAPH]


def test_dead_rows_are_rows(storage: MemoryStorage) -> None:
    path = f"{SEGMENTS}/{5:020}.{11:020}.dead"
    storage.remove(path)
    dead = np.zeros(32, np.bool_)
    dead[[0, 31]] = True
    write_dead_rows(storage, path, segment_number=5, lsn=11, row_count=32, dead=dead)
    rewrite(storage, path, "dead rows", {}, {"row_count": 30, "dead_count": 1})
    change_segment(storage, 5, dead_count=1)
    assert problems(storage)[0] == f"{path}: bits behind the last row are set; restore it from a backup"


@pytest.mark.parametrize("path", FILES)
def test_a_file_that_holds_another_is_a_problem(path: str) -> None:
    """Every file in the place of every other: no error that is not a finding."""
    for other, content in FILES.items():
        if other != path:
            found = list(verify(storage_of({**FILES, path: content})))
            assert any(finding.kind is not Kind.OK and path in finding.text for finding in found), other
