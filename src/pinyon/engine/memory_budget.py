"""How a memory limit is shared out: what an index may keep in memory, and what building may take.

Of what the server does not take without any data, a quarter is for memtables, and a sixteenth for what open graphs take
beside their mapped files, both over all indexes. A quarter of all is for what is built at a time, a graph, or a segment
with the rows that its partitions are made of, and a sixteenth for rows that filters selected. The rest is for requests,
for what small things add up to, and for what the allocator holds back. Mapped files are not counted: the kernel takes
their memory back when it is needed.
"""

from dataclasses import replace
from typing import Final

from pinyon.engine.maintenance_options import MAINTENANCE_OPTIONS, MaintenanceOptions

_SERVER_BYTES: Final = 48 * 1024 * 1024
"""What the server takes without any data (measured, rounded up)."""

_MEMTABLES_SHARE: Final = 4
_INDEX_SHARE: Final = 24
"""One index alone has up to three times what it flushes at: what is being flushed, and twice as much behind it."""

_OPEN_GRAPHS_SHARE: Final = 16
_GRAPH_BUILD_SHARE: Final = 4
_SAMPLE_SHARE: Final = 32
"""The sample is there some four times over while partitions are made of it."""

_SELECTIONS_SHARE: Final = 16
_SELECTIONS_BYTES_MAX: Final = 256 * 1024 * 1024
_MERGE_SHARE: Final = 4


def options_within(limit_bytes: int, options: MaintenanceOptions = MAINTENANCE_OPTIONS) -> MaintenanceOptions:
    """The options, with the bounds that keep a server within its memory; none becomes looser than it was."""
    spare_bytes = max(limit_bytes - _SERVER_BYTES, limit_bytes // 2)
    compaction = options.compaction
    return replace(
        options,
        memtables_bytes_max=spare_bytes // _MEMTABLES_SHARE,
        memtable_bytes_max=min(options.memtable_bytes_max, spare_bytes // _INDEX_SHARE),
        graphs_bytes_max=spare_bytes // _OPEN_GRAPHS_SHARE,
        graph_build_bytes_max=limit_bytes // _GRAPH_BUILD_SHARE,
        build=replace(
            options.build, sample_bytes_max=min(options.build.sample_bytes_max, limit_bytes // _SAMPLE_SHARE)
        ),
        compaction=replace(compaction, build_bytes_max=min(compaction.build_bytes_max, limit_bytes // _MERGE_SHARE)),
    )


def selections_bytes_within(limit_bytes: int) -> int:
    """What rows that filters selected may take, see `pinyon.engine.selections`."""
    return min(limit_bytes // _SELECTIONS_SHARE, _SELECTIONS_BYTES_MAX)
