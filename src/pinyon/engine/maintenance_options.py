"""When an index is flushed, and what follows: the options of `pinyon.engine.maintenance`."""

from dataclasses import dataclass
from typing import Final

from pinyon.engine.compaction import COMPACTION_OPTIONS, CompactionOptions
from pinyon.engine.segment_build import BUILD_OPTIONS, BuildOptions
from pinyon.model.recall import TARGET_RECALL


@dataclass(frozen=True, slots=True)
class MaintenanceOptions:
    """When an index does what.

    Attributes:
        memtable_bytes_max: memory of memtables from which on they are flushed; writes wait at twice that.
        idle_flush_bytes: … after a pause in writing: what is in segments is searched faster.
        log_bytes_max: bytes of the log from which on it is worth a flush, whatever is in memory.
        idle_ticks: ticks with hardly a write that make a pause.
        quiet_bytes: of the log that a tick's writes may take to count as hardly any.
        graph_rows_min: rows of a dedicated segment from which on it gets a graph; 0 for never.
        build_threads: threads that build a graph, and that measure how broadly to search it.
        graph_build_bytes_max: memory that building a graph may take; larger segments keep to their partitions.
        graphs_bytes_max: memory that the open graphs of all indexes together may take beside their files; segments for
            whose graph that leaves no room keep to their partitions.
        memtables_bytes_max: memory of the memtables of all indexes together, from which on the largest are flushed.
        target_recall: what an index without the tag for it promises.
        build: how segments are cut.
        compaction: when they are merged.
    """

    memtable_bytes_max: int = 32 * 1024 * 1024
    idle_flush_bytes: int = 4 * 1024 * 1024
    log_bytes_max: int = 512 * 1024 * 1024
    idle_ticks: int = 3
    quiet_bytes: int = 1024 * 1024
    graph_rows_min: int = 10_000
    build_threads: int = 1
    graph_build_bytes_max: int = 4 * 1024 * 1024 * 1024
    graphs_bytes_max: int = 1024 * 1024 * 1024
    memtables_bytes_max: int = 512 * 1024 * 1024
    target_recall: float = TARGET_RECALL
    build: BuildOptions = BUILD_OPTIONS
    compaction: CompactionOptions = COMPACTION_OPTIONS


MAINTENANCE_OPTIONS: Final = MaintenanceOptions()
