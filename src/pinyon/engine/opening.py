"""Opening an index: all that it needs is read first, and only then is what a stop left put right.

An index that cannot be opened stays closed, and the others are served:

- where files of it are damaged, unreadable or of a newer Pinyon, nothing in its folder changes before it is deleted;
- where they are whole, but the disk does not let what a stop left be put right, some of it may have been. The next
  start goes on with the rest: nothing that it reads depends on how far this one came.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from pinyon.engine.data_directory import INDEXES, LOG, index_directory
from pinyon.engine.index import Index
from pinyon.engine.segment_store import SegmentStore
from pinyon.errors import DataLossError, FailedPreconditionError, NotFoundError, PinyonError, UnavailableError
from pinyon.log.file_log import FileLog
from pinyon.model.index import IndexDefinition
from pinyon.storage.protocol import Storage

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Closed:
    """An index that could not be opened, and why, for clients and the operator."""

    reason: str


class _Files(NamedTuple):
    """What an index has on disk."""

    log: FileLog
    store: SegmentStore


class IndexOpener:
    """Opens the indexes of a data directory, each from the files in its folder."""

    def __init__(
        self,
        storage: Storage,
        new_index: Callable[[IndexDefinition, FileLog, SegmentStore], Index],
        *,
        new_salt: Callable[[], bytes],
        log_file_bytes_max: int,
    ) -> None:
        """Open indexes in `storage`; the other arguments are those of `Index` and `FileLog`."""
        self._storage = storage
        self._new_index = new_index
        self._new_salt = new_salt
        self._log_file_bytes_max = log_file_bytes_max

    def open(self, definition: IndexDefinition) -> Index | Closed:
        """Open an index, or say why it stays closed. A defect is raised."""
        try:
            files = self._read(definition)
            _check_begun(definition, files.log)
            index = self._new_index(definition, *files)
        except (DataLossError, FailedPreconditionError, NotFoundError, UnavailableError) as error:
            return _closed(definition, error, _after_failed_read(definition, error))
        try:
            self._repair(definition, files)
        except (NotFoundError, UnavailableError) as error:
            index.close()
            return _closed(definition, error, _after_failed_repair(definition))
        return index

    def create(self, definition: IndexDefinition) -> Index:
        """Make the folder of a new index and the first file of its log, durably.

        Raises:
            UnavailableError: the disk failed; part of the folder may be there.
        """
        files = self._read(definition)
        self._repair(definition, files)
        files.log.begin()
        return self._new_index(definition, *files)

    def _read(self, definition: IndexDefinition) -> _Files:
        directory = index_directory(definition.index_id)
        store = SegmentStore(self._storage, directory, definition)
        file_log = FileLog(
            self._storage,
            f"{directory}/{LOG}",
            new_salt=self._new_salt,
            file_bytes_max=self._log_file_bytes_max,
            begin_lsn=store.manifest.lsn + 1,
        )
        return _Files(file_log, store)

    def _repair(self, definition: IndexDefinition, files: _Files) -> None:
        """Put right what a stop left, and make the folders that a new index lacks."""
        self._storage.make_directory(index_directory(definition.index_id))
        self._storage.sync_directory(INDEXES)
        files.store.make_folder()
        files.log.repair()
        files.store.remove_leftovers()
        if files.log.torn_bytes:
            log.warning("index %s: cut %d bytes of an unfinished write", definition.name, files.log.torn_bytes)


def _check_begun(definition: IndexDefinition, file_log: FileLog) -> None:
    if not file_log.has_files:
        raise DataLossError(
            f"{index_directory(definition.index_id)}/{LOG}, the log of the index {definition.name}, has no files; "
            "restore it from a backup"
        )


def _closed(definition: IndexDefinition, error: PinyonError, what_follows: str) -> Closed:
    return Closed(f"The index {definition.name} is closed: {error.message}. {what_follows}")


def _after_failed_read(definition: IndexDefinition, error: PinyonError) -> str:
    folder = index_directory(definition.index_id)
    if isinstance(error, FailedPreconditionError):
        return "Nothing is damaged, and its files stay as they are until the index is deleted."
    if isinstance(error, DataLossError):
        return (
            f"Its files stay as they are until a copy of {folder} is put in its place, for the next start, or the "
            "index is deleted; `pinyon verify` tells what else is damaged."
        )
    return (
        f"Let the server read all files in {folder} and start it again; "
        "they stay as they are until then, or until the index is deleted."
    )


def _after_failed_repair(definition: IndexDefinition) -> str:
    folder = index_directory(definition.index_id)
    return (
        "All its files could be read, but what the last stop left in them cannot be put right: "
        f"let the server write in {folder} and start it again."
    )
