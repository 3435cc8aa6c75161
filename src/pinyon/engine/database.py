"""A data directory: the catalog and the open indexes.

    catalog.json               which indexes exist; replacing it is the commit point of creating and deleting one
    indexes/<index id>/        the log and the segments of one index

Order of disk operations, and what a stop after each leaves:

- create: the folder of the index is made, then the catalog names it. A stop in between leaves a folder that no index
  owns and that holds no log file; the next start removes it.
- delete: the catalog names the index no longer, then its folder is removed. A stop in between leaves a folder that no
  index owns; the next start removes it.

So whenever there is a log file, there is a catalog; a directory where that is not so was damaged, and nothing is
removed.

An index that cannot be opened is closed: it stays in the catalog, and the others are served; see
`pinyon.engine.opening`.
"""

import logging
import threading
from collections.abc import Callable
from functools import partial

from pinyon.engine.background import RunLater
from pinyon.engine.catalog import CATALOG_PATH, Catalog
from pinyon.engine.data_directory import INDEXES, LOG, index_directory
from pinyon.engine.graph_memory import GraphMemory
from pinyon.engine.index import Index
from pinyon.engine.maintenance_options import MAINTENANCE_OPTIONS, MaintenanceOptions
from pinyon.engine.memory_budget import options_within, selections_bytes_within
from pinyon.engine.opening import Closed, IndexOpener
from pinyon.engine.report import ClosedReport, Report, report_of
from pinyon.engine.runs import RUN_OPTIONS, RunOptions
from pinyon.engine.selections import SELECTION_MEMORY
from pinyon.errors import (
    AlreadyExistsError,
    DataLossError,
    NotFoundError,
    PinyonError,
    UnavailableError,
)
from pinyon.model.index import IndexDefinition
from pinyon.storage.protocol import Storage
from pinyon.telemetry import log_event

log = logging.getLogger(__name__)


class Database:
    """All indexes of a data directory. Any thread may call any method; changes to the catalog come one at a time."""

    def __init__(
        self,
        storage: Storage,
        *,
        new_salt: Callable[[], bytes],
        log_file_bytes_max: int,
        run_later: RunLater | None = None,
        flush_later: RunLater | None = None,
        work_later: RunLater | None = None,
        run_options: RunOptions = RUN_OPTIONS,
        maintenance_options: MaintenanceOptions = MAINTENANCE_OPTIONS,
        memory_limit_bytes: int | None = None,
    ) -> None:
        """Open every index: read the catalog, remove what a stop left over, map the segments, replay the logs.

        An index that cannot be opened stays closed; see `why_closed`.

        Args:
            storage: the data directory, locked by the caller.
            new_salt: gives 16 bytes that are new each time, for log files.
            log_file_bytes_max: size from which on a log goes on in another file.
            run_later: does what no request should wait for, see `pinyon.engine.background`; it must outlive this
                object. Without it, sparse values in memory are scanned by every query.
            flush_later: likewise for flushes; without it, an index is flushed only when that is asked for.
            work_later: likewise for what may take minutes.
            run_options: when runs of sparse values are built.
            maintenance_options: when an index is flushed, and what follows.
            memory_limit_bytes: memory beside mapped files to plan with: what `maintenance_options` allow is bounded by
                it too.

        Raises:
            DataLossError: the catalog is damaged, missing, or that of another version of Pinyon.
            UnavailableError: the disk failed, outside of the folders of indexes.
        """
        self._storage = storage
        self._memory_limit_bytes = memory_limit_bytes
        if memory_limit_bytes is not None:
            maintenance_options = options_within(memory_limit_bytes, maintenance_options)
            SELECTION_MEMORY.bytes_max = selections_bytes_within(memory_limit_bytes)
        self._memtables_bytes_max = maintenance_options.memtables_bytes_max
        new_index = partial(
            Index,
            run_later=run_later,
            flush_later=flush_later,
            work_later=work_later,
            run_options=run_options,
            maintenance_options=maintenance_options,
            graph_memory=GraphMemory(maintenance_options.graphs_bytes_max),
        )
        self._opener = IndexOpener(storage, new_index, new_salt=new_salt, log_file_bytes_max=log_file_bytes_max)
        self._catalog = Catalog(storage)
        self._indexes: dict[str, Index] = {}
        self._why_closed: dict[str, str] = {}
        self._lock = threading.Lock()
        storage.make_directory(INDEXES)
        storage.sync_directory("")
        self._remove_leftovers()
        self._catalog.begin()
        for definition in self._catalog.definitions():
            self._open(definition)

    def definitions(self) -> list[IndexDefinition]:
        """All indexes, oldest first."""
        return self._catalog.definitions()

    def get(self, name: str) -> IndexDefinition:
        """The definition of an index.

        Raises:
            NotFoundError: no index has that name.
        """
        return self._catalog.get(name)

    def index(self, name: str) -> Index:
        """An open index.

        Raises:
            NotFoundError: no index has that name.
            UnavailableError: it is closed.
        """
        index = self._indexes.get(name)
        if index is not None:
            return index
        why_closed = self._why_closed.get(name)
        raise NotFoundError(f"Resource {name} not found") if why_closed is None else UnavailableError(why_closed)

    def why_closed(self, name: str) -> str | None:
        """Why an index is closed, with the file and what to do; None if it is open, or if there is none."""
        return self._why_closed.get(name)

    def create(self, definition: IndexDefinition) -> Index:
        """Create an index, durably, and open it.

        Raises:
            AlreadyExistsError: the name is taken.
            UnavailableError: the disk failed; the index does not exist.
        """
        with self._lock:
            if definition.name in self._indexes or definition.name in self._why_closed:
                raise AlreadyExistsError("Resource already exists")
            try:
                index = self._opener.create(definition)
            except UnavailableError:
                self._remove_folder(definition.index_id)
                raise
            # If this fails, the disk may have the catalog with the index in it after all. So the folder stays: it is
            # an index without records, or the next start removes it.
            try:
                self._catalog.add(definition)
            except UnavailableError:
                index.close()
                raise
            self._indexes[definition.name] = index
            return index

    def change(self, definition: IndexDefinition) -> None:
        """Replace the definition of an index; name, id and vectors stay as they are."""
        with self._lock:
            self._catalog.change(definition)
            if definition.name in self._indexes:
                self._indexes[definition.name].definition = definition

    def delete(self, name: str) -> None:
        """Delete an index with all its records.

        Raises:
            NotFoundError: no index has that name.
            UnavailableError: the disk failed. The index is still there; where it is unknown whether the next start
                finds it, it takes no more writes.
        """
        with self._lock:
            try:
                definition = self._catalog.remove(name)
            except UnavailableError:
                if self._catalog.in_doubt and name in self._indexes:
                    self._indexes[name].close()
                raise
            if self._why_closed.pop(name, None) is None:
                self._indexes.pop(name).close()
            self._remove_folder(definition.index_id)

    def tick(self) -> None:
        """Begin the maintenance that is due; to be called every second or so."""
        indexes = list(self._indexes.values())
        for index in indexes:
            try:
                index.tick()
            except PinyonError as error:
                # The others have their turn all the same.
                log.warning("index %s: maintenance cannot begin: %s", index.definition.name, error.message)
        excess = sum(index.maintenance.memory_bytes for index in indexes) - self._memtables_bytes_max
        for index in sorted(indexes, key=lambda index: -index.maintenance.growing_bytes):
            if excess <= 0:
                break
            excess -= index.maintenance.growing_bytes
            index.maintenance.flush_soon()

    def report(self) -> Report:
        """Who uses what."""
        indexes = [index.report() for index in list(self._indexes.values())]
        closed = [ClosedReport(name, reason) for name, reason in list(self._why_closed.items())]
        return report_of(indexes, closed, self._memory_limit_bytes, self._memtables_bytes_max)

    def close(self) -> None:
        """Finish the writes under way and close all indexes."""
        with self._lock:
            for index in self._indexes.values():
                index.close()
            self._indexes.clear()

    def _open(self, definition: IndexDefinition) -> None:
        """Open an index, or keep why it stays closed."""
        found = self._opener.open(definition)
        if isinstance(found, Closed):
            self._why_closed[definition.name] = found.reason
            log_event(log, logging.ERROR, "an index stays closed", index=definition.name, reason=found.reason)
        else:
            self._indexes[definition.name] = found

    def _remove_leftovers(self) -> None:
        owned = {definition.index_id for definition in self._catalog.definitions()}
        leftovers = [name for name in self._storage.list_directory(INDEXES) if name not in owned]
        if CATALOG_PATH not in self._storage.list_directory(""):
            self._check_empty(leftovers)
        for name in leftovers:
            log.warning("removing the folder %s/%s that no index owns", INDEXES, name)
            self._remove_folder(name)

    def _check_empty(self, folders: list[str]) -> None:
        for name in folders:
            if self._storage.list_directory(f"{index_directory(name)}/{LOG}"):
                raise DataLossError(
                    f"{CATALOG_PATH} is missing, but {index_directory(name)} holds records; "
                    "restore the data directory from a backup"
                )

    def _remove_folder(self, index_id: str) -> None:
        """Remove the folder of an index that is no longer in the catalog; the next start tries again."""
        try:
            self._storage.remove_tree(index_directory(index_id))
        except UnavailableError as error:
            log.warning("the folder %s/%s is left over: %s", INDEXES, index_id, error.message)
