"""An index that cannot be opened stays closed: the others are served, and its files stay as they are."""

import logging
import re
from collections.abc import Callable

import msgspec
import pytest
from crc32c import crc32c

from pinyon.engine.database import Database
from pinyon.engine.operations import UpsertRecords
from pinyon.errors import AlreadyExistsError, NotFoundError, PinyonError, UnavailableError
from pinyon.log.file_log import FileLog
from pinyon.log.frame import FILE_HEADER_BYTES, FileHeader, encode_file_header
from pinyon.segment.manifest import MANIFEST_NAME, Manifest, read_manifest, replace_manifest
from pinyon.storage.memory import MemoryStorage
from pinyon.testing.engine_model import PlainRecord, batch
from tests.opened_log import open_log
from tests.unit.engine.data_directories import (
    FILMS,
    FILMS_PATH,
    LOG,
    SEGMENTS,
    WORDS,
    Files,
    files_of,
    flipped,
    made_files,
    open_database,
    storage_of,
)

FILES = made_files()
LEFT_OVER_LOG = f"{LOG}/{11:020}.log"
"""Behind the manifest: the next start removes it."""
FIRST_LOG, LAST_LOG = sorted(path for path in FILES if path.startswith(LOG) and path > LEFT_OVER_LOG)
MANIFEST = f"{FILMS_PATH}/{MANIFEST_NAME}"
SEGMENT, DEAD = (next(path for path in FILES if path.endswith(end)) for end in (".seg", ".dead"))
TORN = FILES | {LAST_LOG: FILES[LAST_LOG][:-1], f"{SEGMENTS}/{99:020}.seg": b"left over"}
"""With all that the next start would put right: a torn tail, and files that nothing needs."""


def with_log_version(files: Files) -> dict[str, bytes]:
    header = encode_file_header(FileHeader(bytes(16), int(FIRST_LOG[-24:-4]), version=2))
    return {**files, FIRST_LOG: header + files[FIRST_LOG][FILE_HEADER_BYTES:]}


def with_manifest_version(files: Files) -> dict[str, bytes]:
    return {**files, MANIFEST: b'{"format_version":2,"segments":"elsewhere"}'}


def with_segment_version(files: Files) -> dict[str, bytes]:
    header = files[SEGMENT][:24] + b"\2\0\0\0"
    checksum = crc32c(header).to_bytes(4, "little")
    return {**files, SEGMENT: header + checksum + files[SEGMENT][32:]}


def with_an_unknown_operation(files: Files) -> dict[str, bytes]:
    storage = storage_of({**files, LAST_LOG: FILES[LAST_LOG]})
    log = open_log(storage, LOG, begin_lsn=msgspec.json.decode(files[MANIFEST])["manifest"]["lsn"] + 1)
    log.append([[b"not an operation"]])
    log.close()
    return {**files, LAST_LOG: bytes(storage.read(LAST_LOG)) + b"torn"}


def without(files: Files, prefix: str) -> dict[str, bytes]:
    return {path: content for path, content in files.items() if not path.startswith(prefix)}


DAMAGES: dict[str, tuple[Callable[[Files], dict[str, bytes]], str]] = {
    "log": (lambda files: flipped(files, FIRST_LOG, 60, 1), FIRST_LOG),
    "log header": (lambda files: flipped(files, FIRST_LOG, 3, 1), FIRST_LOG),
    "log entry": (with_an_unknown_operation, f"{LAST_LOG}, entry "),
    "no log file": (lambda files: without(files, LOG), LOG),
    "no folder": (lambda files: without(files, FILMS_PATH), LOG),
    "manifest": (lambda files: flipped(files, MANIFEST, 80, 1), MANIFEST),
    "no manifest": (lambda files: without(files, MANIFEST), LOG),
    "segment header": (lambda files: flipped(files, SEGMENT, 3, 1), SEGMENT),
    "segment end": (lambda files: {**files, SEGMENT: files[SEGMENT][:-1]}, SEGMENT),
    "no segment": (lambda files: without(files, SEGMENT), SEGMENT),
    "dead rows": (lambda files: flipped(files, DEAD, 64, 1), DEAD),
}
NEWER: dict[str, tuple[Callable[[Files], dict[str, bytes]], str]] = {
    "newer log": (with_log_version, FIRST_LOG),
    "newer manifest": (with_manifest_version, MANIFEST),
    "newer segment": (with_segment_version, SEGMENT),
}
EACH = pytest.mark.parametrize(("damage", "path"), (DAMAGES | NEWER).values(), ids=(DAMAGES | NEWER))


def films_files(storage: MemoryStorage) -> dict[str, bytes]:
    return {path: content for path, content in files_of(storage).items() if path.startswith(FILMS_PATH)}


def write_words(database: Database, id_: str) -> None:
    database.index("words").write(UpsertRecords("n", batch({id_: PlainRecord(None, {1: 2.0}, {})})))


def test_without_damage_all_is_put_right_at_the_start() -> None:
    storage = storage_of(TORN)
    assert open_database(storage).why_closed("films") is None
    found = films_files(storage)
    assert LEFT_OVER_LOG not in found
    assert f"{SEGMENTS}/{99:020}.seg" not in found
    assert len(found[LAST_LOG]) < len(TORN[LAST_LOG])


@EACH
def test_the_others_are_served_and_its_files_stay_as_they_are(
    damage: Callable[[Files], dict[str, bytes]], path: str
) -> None:
    storage = storage_of(damage(TORN))
    folders = storage.list_directory(FILMS_PATH)
    before = films_files(storage)
    database = open_database(storage)
    assert [each.name for each in database.definitions()] == ["films", "words"]
    assert path in (database.why_closed("films") or "")
    with pytest.raises(UnavailableError, match=f"^The index films is closed: .*{path}"):
        database.index("films")
    assert database.why_closed("words") is None
    write_words(database, "b")
    database.create(msgspec.structs.replace(WORDS, name="new", index_id="new", port=1))
    database.tick()
    database.index("words").maintenance.flush()
    database.close()
    assert films_files(storage) == before
    assert storage.list_directory(FILMS_PATH) == folders

    again = open_database(storage)
    assert again.index("words").record_counts()[1] == {"n": 2}
    assert again.index("new").record_counts() == (0, {})
    assert films_files(storage) == before


def test_an_error_is_logged_with_the_file_and_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    damage, path = DAMAGES["manifest"]
    database = open_database(storage_of(damage(FILES)))
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    fields = record.__dict__["pinyon_fields"]
    assert fields == {"index": "films", "reason": database.why_closed("films")}
    assert re.fullmatch(
        f"The index films is closed: {path} cannot be used: .*; restore it from a backup. Its files stay as they are "
        f"until a copy of {FILMS_PATH} is put in its place, for the next start, or the index is deleted; "
        "`pinyon verify` tells what else is damaged.",
        fields["reason"],
    )


@pytest.mark.parametrize(("damage", "path"), NEWER.values(), ids=NEWER)
def test_a_newer_format_is_not_called_damaged(damage: Callable[[Files], dict[str, bytes]], path: str) -> None:
    why_closed = open_database(storage_of(damage(FILES))).why_closed("films") or ""
    assert "open the data directory with the version of Pinyon that wrote it. Nothing is damaged" in why_closed
    assert "pinyon verify" not in why_closed


def test_the_report_names_it_with_the_reason() -> None:
    damage, _ = DAMAGES["log"]
    database = open_database(storage_of(damage(FILES)))
    report = database.report()
    assert [each.name for each in report.indexes] == ["words"]
    assert [(each.name, each.reason) for each in report.closed] == [("films", database.why_closed("films"))]


@EACH
def test_the_files_that_were_put_back_are_opened(damage: Callable[[Files], dict[str, bytes]], path: str) -> None:
    storage = storage_of(damage(TORN))
    open_database(storage).close()
    for folder in ("", "/log", "/segments"):
        storage.make_directory(f"{FILMS_PATH}{folder}")
    for file, content in FILES.items():
        if file.startswith(FILMS_PATH):
            storage.replace(file, content)
    assert open_database(storage).index("films").record_counts()[1]["large"] == 480


@EACH
def test_it_can_be_deleted_and_its_name_is_free(damage: Callable[[Files], dict[str, bytes]], path: str) -> None:
    storage = storage_of(damage(TORN))
    database = open_database(storage)
    with pytest.raises(AlreadyExistsError):
        database.create(msgspec.structs.replace(FILMS, index_id="another"))
    assert "another" not in storage.list_directory("indexes")
    database.delete("films")
    assert storage.list_directory("indexes") == [WORDS.index_id]
    assert (database.why_closed("films"), database.report().closed) == (None, [])
    with pytest.raises(NotFoundError):
        database.index("films")
    database.create(msgspec.structs.replace(FILMS, index_id="another"))
    assert open_database(storage).index("films").record_counts() == (0, {})


def test_its_definition_may_change() -> None:
    damage, _ = DAMAGES["log"]
    storage = storage_of(damage(FILES))
    changed = msgspec.structs.replace(FILMS, deletion_protection=True)
    open_database(storage).change(changed)
    assert open_database(storage).get("films") == changed


@pytest.mark.parametrize("error", [NotFoundError, UnavailableError])
@pytest.mark.parametrize("path", [FIRST_LOG, LAST_LOG, MANIFEST, SEGMENT, DEAD])
def test_a_file_that_cannot_be_read_closes_it_and_not_the_others(
    path: str, error: type[PinyonError], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = storage_of(TORN)
    read = storage.read

    def fail(asked: str) -> memoryview:
        if asked == path:
            raise error(f"{path}: what the system says")
        return read(asked)

    monkeypatch.setattr(storage, "read", fail)
    database = open_database(storage)
    write_words(database, "b")
    why_closed = database.why_closed("films") or ""
    assert why_closed.startswith("The index films is closed: ")
    if error is UnavailableError:
        assert f"{path}: what the system says. Let the server read all files in {FILMS_PATH}" in why_closed
    database.close()
    monkeypatch.undo()
    assert films_files(storage) == films_files(storage_of(TORN))
    assert open_database(storage).why_closed("films") is None


def refuse(monkeypatch: pytest.MonkeyPatch, storage: MemoryStorage, operation: str, folder: str) -> None:
    """Let an operation of the storage fail below `folder`."""
    write: Callable[[str], object] = getattr(storage, operation)

    def fail(path: str) -> object:
        if path.startswith(folder):
            raise UnavailableError(f"{path}: no space left on device")
        return write(path)

    monkeypatch.setattr(storage, operation, fail)


@pytest.mark.parametrize(
    ("operation", "folder"),
    [
        ("make_directory", FILMS_PATH),
        ("make_directory", LOG),
        ("make_directory", SEGMENTS),
        ("sync_directory", LOG),
        ("open_append", LOG),
        ("remove", SEGMENTS),
    ],
)
def test_what_cannot_be_put_right_closes_it_and_not_the_others(
    operation: str, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = storage_of(TORN)
    refuse(monkeypatch, storage, operation, folder)
    database = open_database(storage)
    assert re.fullmatch(
        rf"The index films is closed: {folder}\S*: no space left on device\. All its files could be read, but what the "
        rf"last stop left in them cannot be put right: let the server write in {FILMS_PATH} and start it again\.",
        database.why_closed("films") or "",
    )
    with pytest.raises(UnavailableError, match="The index films is closed"):
        database.index("films")
    write_words(database, "b")
    database.close()
    monkeypatch.undo()

    again = open_database(storage)
    assert again.index("films").record_counts() == open_database(storage_of(TORN)).index("films").record_counts()
    again.delete("films")
    assert storage.list_directory("indexes") == [WORDS.index_id]


def test_nothing_of_an_index_that_cannot_be_put_right_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = storage_of(TORN)
    closed: list[FileLog] = []
    monkeypatch.setattr(FileLog, "close", lambda log: closed.append(log))
    refuse(monkeypatch, storage, "remove", SEGMENTS)
    open_database(storage)
    assert len(closed) == 1


@pytest.mark.parametrize("operation", ["make_directory", "sync_directory", "list_directory"])
def test_a_folder_of_indexes_that_cannot_be_used_stops_the_start(
    operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = storage_of(TORN)
    refuse(monkeypatch, storage, operation, "")
    with pytest.raises(UnavailableError, match="no space left on device"):
        open_database(storage)


@pytest.mark.parametrize("error", [AssertionError, ValueError, KeyError])
def test_a_defect_stops_the_start(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error("not damage")

    monkeypatch.setattr("pinyon.engine.index.Namespaces.restore", fail)
    with pytest.raises(error, match="not damage"):
        open_database(storage_of(FILES))


def test_a_manifest_that_contradicts_its_segment_closes_it() -> None:
    storage = storage_of(FILES)
    manifest = read_manifest(storage, FILMS_PATH)
    assert isinstance(manifest, Manifest)
    first, *rest = manifest.segments
    wrong = msgspec.structs.replace(first, row_count=first.row_count + 1)
    replace_manifest(storage, FILMS_PATH, msgspec.structs.replace(manifest, segments=(wrong, *rest)))
    assert "rows where the manifest says" in (open_database(storage).why_closed("films") or "")
