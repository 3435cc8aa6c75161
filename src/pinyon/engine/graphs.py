"""Graphs over large dedicated segments: built in the background, then kept in a file beside the segment.

A graph is a column file of the kind "graph" with one column of bytes. It is written and synced, then a commit names it;
a stop before that leaves a leftover. It is searched where it is mapped, once its checksums were found right.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import numpy as np

from pinyon.ann import graph
from pinyon.ann.effort import EffortTable
from pinyon.ann.graph import Graph
from pinyon.engine.part import LiveSegment
from pinyon.engine.segment_store import SegmentStore
from pinyon.engine.tuning import Tuner
from pinyon.errors import DataLossError, UnavailableError
from pinyon.model.index import IndexDefinition
from pinyon.segment.column_file import ColumnFile
from pinyon.segment.column_file_writer import ColumnFileWriter
from pinyon.storage.protocol import Storage

_KIND: Final = "graph"
_COLUMN: Final = "graph"


def build_graph(
    store: SegmentStore,
    live: LiveSegment,
    should_stop: Callable[[], bool],
    tuner: Tuner,
    target_recall: float,
    threads: int = 1,
) -> dict[str, EffortTable] | None:
    """Build the graph of a segment on some threads, and write its file, which no manifest names yet.

    Returns:
        What efforts it takes, as `LiveSegment.efforts`, measured with the queries of `tuner`; None if it was told to
        stop.
    """
    assert live.structures is not None
    assert live.segment.dense is not None
    measured: dict[str, EffortTable] = {}
    content = graph.build(
        live.segment.dense.rows,
        live.row_count,
        live.structures.space,
        should_stop,
        held_back=tuner.held_back,
        measure=lambda unfinished: measured.update(tuner.graph(target_recall, unfinished)),
        threads=threads,
    )
    if content is None:
        return None
    path = store.graph_path(live.number)
    store.storage.remove(path)  # Left by an attempt that failed.
    try:
        _write(store.storage, path, content, {"segment": live.number, "row_count": live.row_count})
    except BaseException:
        # Else a disk that is full would stay full: no manifest names the file, so none removes it.
        with suppress(UnavailableError):
            store.storage.remove(path)
        raise
    return measured


def graph_build_bytes(row_count: int, definition: IndexDefinition) -> int:
    """About what building the graph of a segment takes in memory: known without its bytes, which may be damaged."""
    assert definition.dimension is not None
    return graph.build_bytes(row_count, definition.dimension, definition.metric)


def open_graph(store: SegmentStore, live: LiveSegment) -> Graph:
    """Map the graph of a segment, and compare it with its checksums.

    Raises:
        DataLossError: the file is damaged.
    """
    assert live.structures is not None
    file = ColumnFile.open(store.storage, store.graph_path(live.number), _KIND)
    try:
        return Graph.view(file.array(_COLUMN).data, live.structures.space, live.row_count)
    except ValueError as error:
        raise DataLossError(f"{file.path} is not the graph of its segment: {error}") from error


def _write(storage: Storage, path: str, content: bytes, properties: dict[str, Any]) -> None:
    file = storage.create(path)
    try:
        writer = ColumnFileWriter(file, _KIND)
        writer.write(_COLUMN, [np.frombuffer(content, np.uint8)], np.uint8)
        writer.finish(properties)
    finally:
        file.close()
