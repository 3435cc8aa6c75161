"""Checking the log of an index as `pinyon.log.recovery` would read it, and every operation in it."""

from collections.abc import Iterator
from functools import partial

from pinyon.engine.findings import Finding, checked, note, problem
from pinyon.engine.operations import Operation, PatchRecords, UpsertRecords, decode
from pinyon.errors import DataLossError, PinyonError
from pinyon.log.recovery import LogFile, Recovery, recover
from pinyon.model.index import IndexDefinition
from pinyon.model.record import Lsn
from pinyon.segment.manifest import Manifest
from pinyon.storage.protocol import Storage


def verify_log(
    storage: Storage, directory: str, definition: IndexDefinition | None, manifest: Manifest | None
) -> Iterator[Finding]:
    """Check every frame that is needed, that no file is missing, and that every operation can be applied.

    Args:
        storage: the data directory.
        directory: the folder of the log.
        definition: of the index; None where it is unknown.
        manifest: tells from which entry on the log is needed; where it is unknown, all of it is taken for needed.
    """
    names = [name for name in storage.list_directory(directory) if _first_lsn(name) is not None]
    for name in storage.list_directory(directory):
        if name not in names:
            yield note(f"{directory}/{name}", "not part of the log; no records depend on it")
    if not names:
        yield problem(directory, "the log has no files")
        return
    lsns = [lsn for lsn in map(_first_lsn, names) if lsn is not None]
    begin = lsns[0] if manifest is None else manifest.lsn + 1
    # A problem in one file must not hide those in later ones: after it, the log is read from each later file on.
    told: set[str] = set()
    for lsn in (begin, *(lsn for lsn in lsns if lsn > begin), lsns[-1]):
        try:
            recovery = recover(storage, directory, lsn)
        except PinyonError as error:
            if error.message not in told:
                told.add(error.message)
                yield problem(directory, error.message)
        else:
            if not told:
                yield from _verify_extent(directory, recovery)
            yield from _verify_files(recovery, definition)
            return


def _first_lsn(name: str) -> Lsn | None:
    digits = name.removesuffix(".log")
    return int(digits) if name.endswith(".log") and len(digits) == 20 and digits.isdecimal() else None


def _verify_extent(directory: str, recovery: Recovery) -> Iterator[Finding]:
    """Which files the log has, and which it needs no more."""
    for path in recovery.leftover_paths:
        yield note(path, "it is not needed any more, and was not read; the next start removes it")
    if not recovery.files:
        yield problem(directory, "the log has no whole file")


def _verify_files(recovery: Recovery, definition: IndexDefinition | None) -> Iterator[Finding]:
    """The files that are needed; their frames are known to be whole."""
    for file in recovery.files:
        yield from checked(file.path, partial(_verify_entries, file, definition))
    if recovery.torn_bytes:
        what = "are no whole write: a stop cut the last one short, or it is damaged; the next start cuts them off"
        yield note(recovery.files[-1].path, f"its last {recovery.torn_bytes} bytes {what}")
    if recovery.unfinished_path is not None:
        yield note(recovery.unfinished_path, "its creation was cut short, or it is damaged; the next start removes it")


def _verify_entries(file: LogFile, definition: IndexDefinition | None) -> str:
    """Check the entries of a file whose frames are whole, and count them."""
    count = 0
    for lsn, entry in file.entries():
        try:
            _check_operation(decode(entry), definition)
        except DataLossError as error:
            raise DataLossError(f"{file.path}, entry {lsn}: {error.message}") from error
        count += 1
    span = f"LSN {file.header.first_lsn} to {file.header.first_lsn + count - 1}, " if count else ""
    return f"{span}{count} entries, {len(file.content)} bytes"


def _check_operation(operation: Operation, definition: IndexDefinition | None) -> None:
    """Raise for one that the service would not have let through."""
    if not isinstance(operation, UpsertRecords | PatchRecords):
        return
    records = operation.records if isinstance(operation, UpsertRecords) else operation.changes
    if len(set(records.ids)) < len(records.ids):
        raise DataLossError("it writes a record twice")
    dimension = None if records.dense is None else records.dense.shape[1]
    is_left_alone = dimension is None and isinstance(operation, PatchRecords)
    if definition is not None and dimension != definition.dimension and not is_left_alone:
        raise DataLossError(f"its vectors have dimension {dimension}, and not {definition.dimension}")
