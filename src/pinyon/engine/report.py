"""Who uses what: the memory and the files of each index, and what is being done in the background.

The numbers are read while everything goes on, so they are of nearly the same moment.
"""

import msgspec

from pinyon.engine.index_state import IndexState
from pinyon.engine.maintenance import Maintenance
from pinyon.engine.selections import SELECTION_MEMORY
from pinyon.storage.machine import process_memory


class ProcessReport(msgspec.Struct, frozen=True):
    """The whole server.

    Attributes:
        rss_anon_bytes: memory that only the process has; what a memory limit is about.
        rss_file_bytes: of the mapped files what is in memory now; the kernel takes it back when it needs room.
        memory_limit_bytes: what is planned with; None where nothing was given and the machine's memory is not known.
        memtables_bytes: records in memory, of all indexes.
        memtables_bytes_max: how many of these there may be before the largest are flushed.
        selections_bytes: rows that filters selected in segments, kept for the next query (about).
        selections_bytes_max: how many of these are kept.
    """

    rss_anon_bytes: int
    rss_file_bytes: int
    memory_limit_bytes: int | None
    memtables_bytes: int
    memtables_bytes_max: int
    selections_bytes: int
    selections_bytes_max: int


class RecallReport(msgspec.Struct, frozen=True):
    """What queries find.

    Attributes:
        target: the share of the true nearest records that is promised.
        measured: the mean share over the last comparisons; None while they are too few.
        comparisons: queries that were searched again, exactly, and count in `measured`.
        loss_factor: 1 as long as tuning was right; less where searches have to try harder than it says.
    """

    target: float
    measured: float | None
    comparisons: int
    loss_factor: float


class IndexReport(msgspec.Struct, frozen=True):
    """One index.

    Attributes:
        name: the index.
        lsn: the newest write.
        flushed_lsn: the newest write that is in segments; the others are in memory and in the log.
        namespaces: how many there are, empty ones too.
        memtable_bytes: memory of records that are in no segment yet (about).
        frozen_bytes: … of those that are on their way into one.
        dead_rows_bytes: memory for which rows of segments are dead.
        segments: how many there are.
        segment_rows: their rows, dead ones too.
        dead_rows: those that are dead.
        segment_bytes: mapped files of segments.
        graphs: segments with a graph.
        graph_bytes: mapped files of open graphs.
        graph_memory_bytes: memory that open graphs take beside these (about).
        log_bytes: files of the log.
        under_way: what is being done in the background now.
        is_behind: whether something is on disk that could not be made visible: writes are refused until a restart.
        is_settled: whether nothing is left to be done in the background: all is flushed that is worth it, merged and
            has its graphs.
        done: how often each thing was done since the start.
        recall: what queries find.
    """

    name: str
    lsn: int
    flushed_lsn: int
    namespaces: int
    memtable_bytes: int
    frozen_bytes: int
    dead_rows_bytes: int
    segments: int
    segment_rows: int
    dead_rows: int
    segment_bytes: int
    graphs: int
    graph_bytes: int
    graph_memory_bytes: int
    log_bytes: int
    under_way: list[str]
    is_behind: bool
    is_settled: bool
    done: dict[str, int]
    recall: RecallReport


class ClosedReport(msgspec.Struct, frozen=True):
    """An index that could not be opened, and is not served.

    Attributes:
        name: the index.
        reason: which file it is, and what to do.
    """

    name: str
    reason: str


class Report(msgspec.Struct, frozen=True):
    """The server and its indexes."""

    process: ProcessReport
    indexes: list[IndexReport]
    closed: list[ClosedReport]


def report_of(
    indexes: list[IndexReport], closed: list[ClosedReport], memory_limit_bytes: int | None, memtables_bytes_max: int
) -> Report:
    """The report of a server with these indexes, and with what it plans with."""
    memory = process_memory()
    return Report(
        ProcessReport(
            rss_anon_bytes=memory.anonymous_bytes,
            rss_file_bytes=memory.file_bytes,
            memory_limit_bytes=memory_limit_bytes,
            memtables_bytes=sum(each.memtable_bytes + each.frozen_bytes for each in indexes),
            memtables_bytes_max=memtables_bytes_max,
            selections_bytes=SELECTION_MEMORY.nbytes,
            selections_bytes_max=SELECTION_MEMORY.bytes_max,
        ),
        indexes,
        closed,
    )


def report_index(state: IndexState, maintenance: Maintenance) -> IndexReport:
    """The report of one index."""
    segments = list(state.store.segments.values())
    structures = [live.structures for live in segments if live.structures is not None]
    graphs = [each.graph for each in structures if each.graph is not None]
    gauge = maintenance.recall.watch.gauge
    under_way = [maintenance.under_way] if maintenance.under_way else []
    return IndexReport(
        name=state.definition().name,
        lsn=state.lsn,
        flushed_lsn=state.store.manifest.lsn,
        namespaces=len(state.namespaces.by_name),
        memtable_bytes=state.namespaces.memory_bytes,
        frozen_bytes=state.frozen_bytes,
        dead_rows_bytes=sum(live.memory_bytes for live in segments),
        segments=len(segments),
        segment_rows=sum(live.row_count for live in segments),
        dead_rows=sum(live.dead_count for live in segments),
        segment_bytes=sum(live.segment.nbytes for live in segments),
        graphs=sum(live.has_graph for live in segments),
        graph_bytes=sum(graph.nbytes for graph in graphs),
        graph_memory_bytes=sum(graph.memory_bytes for graph in graphs),
        log_bytes=state.log.size_bytes,
        under_way=[*under_way, *(["flush"] if maintenance.flusher.is_flushing else [])],
        is_behind=state.is_behind,
        is_settled=maintenance.is_settled,
        done=dict(maintenance.counts),
        recall=RecallReport(maintenance.recall.target_recall, gauge.recall, gauge.comparisons, gauge.loss_factor),
    )
