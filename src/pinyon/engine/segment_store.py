"""The segments of an index on disk: opened at the start, added and removed by commits.

A commit makes a new state of the index durable. The order of its disk operations, and what a stop after each leaves:

1. the files of new segments are written and synced, by whoever built them: leftovers;
2. for each segment of which more rows are dead at the new LSN, a file of dead rows is written and synced: leftovers;
3. the folder is synced: leftovers;
4. the manifest is replaced: the new state; what only the old one needed are leftovers;
5. these are removed.

The next start removes leftovers. What must hold: the state on disk is that of the index at exactly `manifest.lsn`, so
rows that died later are alive in it; their deaths come again when the log is replayed.
"""

import logging
import threading
from collections.abc import Collection, Sequence
from typing import Final

from pinyon.engine.part import LiveSegment
from pinyon.errors import DataLossError, UnavailableError
from pinyon.model.index import IndexDefinition
from pinyon.model.record import Lsn, Mask
from pinyon.segment.dead_rows import read_dead_rows, write_dead_rows
from pinyon.segment.manifest import (
    Manifest,
    NamespaceEntry,
    SegmentEntry,
    dead_rows_name,
    files_of,
    graph_name,
    leftovers,
    read_manifest,
    replace_manifest,
    segment_name,
    segments_directory,
)
from pinyon.segment.segment import Segment
from pinyon.storage.protocol import Storage

_FIRST_NUMBER: Final = 1

log = logging.getLogger(__name__)


class SegmentStore:
    """The segments of one index. `commit` is called by one thread at a time, under `committing`.

    Attributes:
        committing: held by whoever decides what to commit, until it is visible in memory too.
        manifest: the durable state.
        segments: the open segments of the manifest, by number.
    """

    def __init__(self, storage: Storage, directory: str, definition: IndexDefinition) -> None:
        """Open the segments in the folder of an index. Changes nothing on disk: `make_folder` must follow.

        Raises:
            DataLossError: a file is damaged or missing; the message names it.
            UnavailableError: the disk failed.
        """
        self._storage = storage
        self._directory = directory
        self._definition = definition
        self._folder = segments_directory(directory)
        self.committing = threading.Lock()
        self.manifest = read_manifest(storage, directory) or Manifest(0, _FIRST_NUMBER)
        self._files = files_of(self.manifest)
        self._next_number = self.manifest.next_number
        self._numbering = threading.Lock()
        self.segments = {entry.number: self._open(entry) for entry in self.manifest.segments}
        self._leftovers = leftovers(storage, directory, self.manifest)

    def make_folder(self) -> None:
        """Make the folder of the segments if there is none.

        Raises:
            UnavailableError: the disk failed.
        """
        self._storage.make_directory(self._folder)
        self._storage.sync_directory(self._directory)

    def remove_leftovers(self) -> None:
        """Remove what a stop left: once, before anything is written, and after the log was found to fit the manifest.

        Raises:
            UnavailableError: the disk failed.
        """
        for path in self._leftovers:
            self._storage.remove(path)

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments, dead rows too."""
        return sum(entry.size_bytes for entry in self.manifest.segments)

    def new_number(self) -> int:
        """A number for a segment, never given before."""
        with self._numbering:
            self._next_number += 1
            return self._next_number - 1

    def path(self, number: int) -> str:
        """Where the file of a segment is or will be."""
        return f"{self._folder}/{segment_name(number)}"

    def graph_path(self, number: int) -> str:
        """Where the graph of a segment is or will be."""
        return f"{self._folder}/{graph_name(number)}"

    @property
    def storage(self) -> Storage:
        """Where all the files are."""
        return self._storage

    def commit(
        self,
        *,
        lsn: Lsn,
        namespaces: tuple[NamespaceEntry, ...],
        added: Sequence[LiveSegment] = (),
        removed: Collection[int] = (),
    ) -> list[LiveSegment]:
        """Make durable that the index at `lsn` consists of these segments and namespaces.

        Returns:
            Segments that were left out because all their rows are dead by then.

        Raises:
            UnavailableError: the disk failed. `manifest` and `segments` are as before, and another commit may be tried;
                so after whatever else is raised, unless `manifest` is another one.
        """
        remaining = [live for number, live in self.segments.items() if number not in removed]
        self._files |= {segment_name(live.number) for live in added}
        known = {entry.number: entry for entry in self.manifest.segments}
        entries = [(live, self._entry(live, known.get(live.number), lsn)) for live in (*remaining, *added)]
        kept = [(live, entry) for live, entry in entries if entry.dead_count < entry.row_count]
        self._storage.sync_directory(self._folder)
        manifest = Manifest(lsn, self._next_number, tuple(entry for _, entry in kept), namespaces)
        segments = {live.number: live for live, _ in kept}
        replace_manifest(self._storage, self._directory, manifest)
        self.manifest, self.segments = manifest, segments
        self._remove_unneeded()
        return [live for live, entry in entries if entry.dead_count == entry.row_count]

    def _open(self, entry: SegmentEntry) -> LiveSegment:
        path = self.path(entry.number)
        segment = Segment.open(self._storage, path)
        if segment.row_count != entry.row_count:
            raise DataLossError(f"{path} has {segment.row_count} rows where the manifest says {entry.row_count}")
        dead = None
        if entry.dead_lsn is not None:
            dead = read_dead_rows(
                self._storage,
                f"{self._folder}/{dead_rows_name(entry.number, entry.dead_lsn)}",
                segment_number=entry.number,
                lsn=entry.dead_lsn,
                row_count=entry.row_count,
            )
        live = LiveSegment(entry.number, segment, self._definition, dead)
        live.has_graph = entry.has_graph
        live.efforts = dict(entry.efforts)
        return live

    def _entry(self, live: LiveSegment, known: SegmentEntry | None, lsn: Lsn) -> SegmentEntry:
        """What a manifest at `lsn` says of a segment; writes the file of its dead rows where there is none yet."""
        dead = live.dead_at(lsn)
        dead_count = 0 if dead is None else int(dead.sum())
        dead_lsn = None
        if dead is not None and dead_count < live.row_count:
            if known is not None and known.dead_count == dead_count:
                dead_lsn = known.dead_lsn
            else:
                dead_lsn = lsn
                name = dead_rows_name(live.number, lsn)
                self._write_dead_rows(name, live, lsn, dead)
        if live.has_graph:
            self._files.add(graph_name(live.number))
        return SegmentEntry(
            number=live.number,
            row_count=live.row_count,
            size_bytes=live.segment.nbytes,
            dead_lsn=dead_lsn,
            dead_count=dead_count,
            has_graph=live.has_graph,
            efforts=dict(live.efforts),
        )

    def _write_dead_rows(self, name: str, live: LiveSegment, lsn: Lsn, dead: Mask) -> None:
        if name in self._files:
            return  # Of a commit that failed, and that may be on disk all the same. What was dead at an LSN stays so.
        path = f"{self._folder}/{name}"
        self._storage.remove(path)  # Left by an attempt to write it.
        write_dead_rows(self._storage, path, segment_number=live.number, lsn=lsn, row_count=live.row_count, dead=dead)
        self._files.add(name)

    def _remove_unneeded(self) -> None:
        """Remove the files of earlier manifests; who still reads them holds them mapped."""
        needed = files_of(self.manifest)
        for name in sorted(self._files - needed):
            try:
                self._storage.remove(f"{self._folder}/{name}")
            except UnavailableError as error:
                log.warning("a file that is not needed is left over: %s", error.message)
        self._files = needed
