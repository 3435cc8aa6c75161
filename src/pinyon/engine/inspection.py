"""What is on disk, per index and namespace: read without changing anything, also while a server runs.

What must hold:

- nothing is locked, repaired or removed, and no file is read whole but the part of the log that segments do not have;
- numbers of segments and namespaces are those at the LSN of one manifest. A server may replace it, and remove what only
  the old one needed, at any moment: then all is read again;
- what cannot be read is told in `problems`, and the rest is told all the same. That nothing is told there does not mean
  that all is well: see `pinyon.engine.verification`.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, TypeVar

import numpy as np

from pinyon.engine.catalog import Catalog
from pinyon.engine.data_directory import INDEXES, LOG, choose_index, file_bytes, index_directory
from pinyon.engine.inspection_report import (
    FileOnDisk,
    IndexOnDisk,
    Inspection,
    LogOnDisk,
    NamespaceOnDisk,
    SegmentOnDisk,
)
from pinyon.engine.operations import Operation, UpsertRecords, decode
from pinyon.errors import NotFoundError, PinyonError
from pinyon.log.recovery import Recovery, recover
from pinyon.model.index import IndexDefinition
from pinyon.model.record import Int64s, Lsn
from pinyon.segment.dead_rows import read_dead_rows
from pinyon.segment.manifest import (
    Manifest,
    SegmentEntry,
    dead_rows_name,
    files_of,
    graph_name,
    read_manifest,
    segment_name,
    segments_directory,
)
from pinyon.segment.segment import Segment
from pinyon.storage.protocol import Storage

_ATTEMPTS: Final = 5
"""How often an index is read before what a server does meanwhile is taken for a problem."""

_NO_MANIFEST: Final = Manifest(0, 1)

Result = TypeVar("Result")


def inspect(storage: Storage, name: str | None = None, *, namespaces_max: int) -> Inspection:
    """Tell what is in a data directory.

    Args:
        storage: the data directory; a server may be using it.
        name: of the only index to tell of; None for all.
        namespaces_max: how many namespaces of each index to tell of, the largest ones.

    Raises:
        NotFoundError: there is no index of that name.
        DataLossError: the catalog is damaged.
        UnavailableError: the disk failed.
    """
    definitions = Catalog(storage).definitions()
    owned = {definition.index_id for definition in definitions}
    leftovers = [index_directory(folder) for folder in storage.list_directory(INDEXES) if folder not in owned]
    chosen = choose_index(definitions, name)
    return Inspection([_inspect_index(storage, definition, namespaces_max) for definition in chosen], leftovers)


def _inspect_index(storage: Storage, definition: IndexDefinition, namespaces_max: int) -> IndexOnDisk:
    """Read an index, again where a server changed it meanwhile."""
    for _ in range(_ATTEMPTS - 1):
        reader = _Reader(storage, definition)
        report = reader.read(namespaces_max)
        if reader.is_current():
            return report
    return _Reader(storage, definition).read(namespaces_max)


class _Reader:
    """Reads one index once."""

    def __init__(self, storage: Storage, definition: IndexDefinition) -> None:
        self._storage = storage
        self._definition = definition
        self._directory = index_directory(definition.index_id)
        self._folder = segments_directory(self._directory)
        self._namespaces: dict[str, NamespaceOnDisk] = {}
        self._manifest = _NO_MANIFEST
        self._problems: list[str] = []

    def is_current(self) -> bool:
        """True if the manifest is still the one that was read."""
        found = self._tried(partial(read_manifest, self._storage, self._directory))
        return (found or _NO_MANIFEST) == self._manifest

    def read(self, namespaces_max: int) -> IndexOnDisk:
        """Read all that is there."""
        found = self._tried(partial(read_manifest, self._storage, self._directory))
        manifest = self._manifest = found or _NO_MANIFEST
        if self._problems:  # Nothing else was read yet.
            return self._without_manifest()
        for entry in manifest.namespaces:
            self._namespace(entry.name).declared = entry.declared
        segments = [self._segment(entry) for entry in manifest.segments]
        log = self._log(manifest.lsn)
        listed = [item for item in self._namespaces.values() if _is_listed(item)]
        sizes = [(item.size_bytes, item.dead_rows_bytes or 0, item.graph_bytes or 0) for item in segments]
        return IndexOnDisk(
            definition=self._definition,
            path=self._directory,
            manifest_lsn=manifest.lsn,
            log=log,
            segments=segments,
            segment_bytes=sum(map(sum, sizes)),
            record_count=sum(item.record_count for item in listed),
            namespace_count=len(listed),
            namespaces=sorted(listed, key=lambda item: (-item.total_bytes, item.name))[:namespaces_max],
            leftovers=self._files(self._folder, files_of(manifest)),
            problems=list(dict.fromkeys(self._problems)),
        )

    def _without_manifest(self) -> IndexOnDisk:
        files = self._files(self._folder, frozenset())
        log_files = self._files(f"{self._directory}/{LOG}", frozenset())
        return IndexOnDisk(
            definition=self._definition,
            path=self._directory,
            manifest_lsn=None,
            log=LogOnDisk(log_files, _bytes_of(log_files), last_lsn=0, waiting_entries=0, torn_bytes=0),
            segments=[],
            segment_bytes=_bytes_of(files),
            record_count=0,
            namespace_count=0,
            namespaces=[],
            leftovers=[],
            problems=list(dict.fromkeys(self._problems)),
        )

    def _segment(self, entry: SegmentEntry) -> SegmentOnDisk:
        number, folder = entry.number, self._folder
        segment = self._tried(lambda: Segment.open(self._storage, f"{folder}/{segment_name(number)}"))
        dead_path = None if entry.dead_lsn is None else f"{folder}/{dead_rows_name(number, entry.dead_lsn)}"
        if segment is not None:
            self._count_rows(segment, self._dead_before(entry, dead_path))
        return SegmentOnDisk(
            number=number,
            kind=_kind(segment),
            namespace_count=0 if segment is None else len(segment.namespaces),
            row_count=entry.row_count,
            dead_count=entry.dead_count,
            size_bytes=entry.size_bytes,
            dead_rows_bytes=self._size(dead_path),
            graph_bytes=self._size(f"{folder}/{graph_name(number)}" if entry.has_graph else None),
            efforts=entry.efforts,
        )

    def _dead_before(self, entry: SegmentEntry, path: str | None) -> Int64s | None:
        """How many rows are dead before each row and in all, `(row_count + 1,)`; None for none."""
        lsn = entry.dead_lsn
        if path is None or lsn is None:
            return None
        dead = self._tried(
            lambda: read_dead_rows(self._storage, path, segment_number=entry.number, lsn=lsn, row_count=entry.row_count)
        )
        return None if dead is None else np.concatenate((np.zeros(1, np.int64), np.cumsum(dead)))

    def _count_rows(self, segment: Segment, dead_before: Int64s | None) -> None:
        for name, start, stop in segment.namespaces:
            dead_count = 0 if dead_before is None else int(dead_before[stop] - dead_before[start])
            namespace = self._namespace(name)
            namespace.record_count += stop - start - dead_count
            namespace.dead_count += dead_count
            namespace.segment_count += 1
            namespace.size_bytes += segment.nbytes * (stop - start) // max(segment.row_count, 1)

    def _log(self, manifest_lsn: Lsn) -> LogOnDisk:
        directory = f"{self._directory}/{LOG}"
        files = self._files(directory, frozenset())
        recovery = self._tried(partial(recover, self._storage, directory, manifest_lsn + 1))
        waiting_entries = 0
        for operation, size_bytes in () if recovery is None else self._waiting(recovery, manifest_lsn):
            waiting_entries += 1
            namespace = self._namespace(operation.namespace)
            namespace.waiting_entries += 1
            namespace.waiting_bytes += size_bytes
            if isinstance(operation, UpsertRecords):
                namespace.waiting_records += len(operation.records)
        return LogOnDisk(
            files=files,
            size_bytes=_bytes_of(files),
            last_lsn=manifest_lsn if recovery is None else recovery.next_lsn - 1,
            waiting_entries=waiting_entries,
            torn_bytes=0 if recovery is None else recovery.torn_bytes,
        )

    def _waiting(self, recovery: Recovery, manifest_lsn: Lsn) -> Iterator[tuple[Operation, int]]:
        """The operations that segments do not have, and their lengths."""
        try:
            for file in recovery.files:
                for _, entry in file.entries(manifest_lsn + 1):
                    yield decode(entry), len(entry)
        except PinyonError as error:
            self._problems.append(error.message)

    def _files(self, folder: str, needed: set[str] | frozenset[str]) -> list[FileOnDisk]:
        """The files in a folder but for those that are needed."""
        paths = [f"{folder}/{name}" for name in self._storage.list_directory(folder) if name not in needed]
        sizes = [(path, self._size(path)) for path in paths]
        return [FileOnDisk(path, size) for path, size in sizes if size is not None]

    def _size(self, path: str | None) -> int | None:
        try:
            return None if path is None else file_bytes(self._storage, path)
        except NotFoundError:
            return None  # Removed just now, or it is told elsewhere.
        except PinyonError as error:
            self._problems.append(error.message)
            return None

    def _namespace(self, name: str) -> NamespaceOnDisk:
        return self._namespaces.setdefault(name, NamespaceOnDisk(name))

    def _tried(self, read: Callable[[], Result]) -> Result | None:
        try:
            return read()
        except PinyonError as error:
            self._problems.append(error.message)
            return None


def _bytes_of(files: Sequence[FileOnDisk]) -> int:
    return sum(file.size_bytes for file in files)


def _kind(segment: Segment | None) -> str:
    if segment is None:
        return "unreadable"
    return "dedicated" if segment.properties.get("dedicated") else "shared"


def _is_listed(namespace: NamespaceOnDisk) -> bool:
    """True for one of which there is more than that it once had records."""
    return bool(namespace.declared or namespace.record_count or namespace.waiting_entries)
