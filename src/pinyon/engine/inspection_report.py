"""What an inspection tells of a data directory: its indexes, their logs, segments and namespaces."""

import msgspec

from pinyon.ann.effort import EffortTable
from pinyon.model.index import IndexDefinition
from pinyon.model.record import Lsn


class FileOnDisk(msgspec.Struct, frozen=True):
    """A file by its path below the data directory."""

    path: str
    size_bytes: int


class LogOnDisk(msgspec.Struct, frozen=True):
    """The log of an index.

    Attributes:
        files: all of them, oldest first; also those that wait to be removed.
        size_bytes: of all files.
        last_lsn: the LSN of the newest entry; that of the manifest where the log could not be read.
        waiting_entries: entries that segments do not have yet; a start replays them.
        torn_bytes: at the end, that are no whole frame: a write under way, or one that a stop cut short.
    """

    files: list[FileOnDisk]
    size_bytes: int
    last_lsn: Lsn
    waiting_entries: int
    torn_bytes: int


class SegmentOnDisk(msgspec.Struct, frozen=True):
    """One segment. `size_bytes` and what follows are lengths of files, None where there is no such file.

    Attributes:
        number: names its files.
        kind: "dedicated" to one namespace, "shared" by small ones, or "unreadable".
        namespace_count: namespaces with rows in it, dead ones too.
        row_count: rows, dead ones too.
        dead_count: rows that were overwritten or deleted.
        size_bytes: of the rows.
        dead_rows_bytes: of the list of dead rows.
        graph_bytes: of the graph.
        efforts: what a search by "quantised" or "graph" takes for which recall, as measured; for 100 results by
            "quantised 100" and "graph 100".
    """

    number: int
    kind: str
    namespace_count: int
    row_count: int
    dead_count: int
    size_bytes: int
    dead_rows_bytes: int | None
    graph_bytes: int | None
    efforts: dict[str, EffortTable]


class NamespaceOnDisk(msgspec.Struct):
    """One namespace.

    Attributes:
        name: as shown.
        record_count: records in segments; the log may have more, newer versions, and deletions.
        dead_count: rows in segments that were overwritten or deleted.
        segment_count: segments with rows of it.
        size_bytes: its share of these segments, by rows, graphs aside.
        waiting_entries: writes to it that only the log has.
        waiting_records: records, new ones and new versions, that these upsert.
        waiting_bytes: of these writes.
        declared: True if it was created explicitly, as segments know it.
    """

    name: str
    record_count: int = 0
    dead_count: int = 0
    segment_count: int = 0
    size_bytes: int = 0
    waiting_entries: int = 0
    waiting_records: int = 0
    waiting_bytes: int = 0
    declared: bool = False

    @property
    def total_bytes(self) -> int:
        """In segments and in the log."""
        return self.size_bytes + self.waiting_bytes


class IndexOnDisk(msgspec.Struct, frozen=True):
    """One index.

    Attributes:
        definition: as the catalog has it.
        path: its folder.
        manifest_lsn: the LSN of the state that the segments hold. None where the manifest could not be read: then
            which files are needed, and what the log has beyond them, cannot be told; only their sizes are.
        log: its log.
        segments: oldest first.
        segment_bytes: of all files that the manifest names; without a manifest, of all that are there.
        record_count: records in segments.
        namespace_count: namespaces with records in segments, with writes in the log, or declared.
        namespaces: the largest of them by bytes, as many as were asked for.
        leftovers: files that the manifest does not name: a server is writing them, or the next start removes them.
        problems: what could not be read, one line each.
    """

    definition: IndexDefinition
    path: str
    manifest_lsn: Lsn | None
    log: LogOnDisk
    segments: list[SegmentOnDisk]
    segment_bytes: int
    record_count: int
    namespace_count: int
    namespaces: list[NamespaceOnDisk]
    leftovers: list[FileOnDisk]
    problems: list[str]


class Inspection(msgspec.Struct, frozen=True):
    """A data directory. `leftovers` are folders that no index owns, which the next start removes."""

    indexes: list[IndexOnDisk]
    leftovers: list[str]
