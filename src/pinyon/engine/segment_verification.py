"""Checking the files of segments that a manifest names: rows, dead rows, graphs, and what they say of one another."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from pinyon.ann.graph import Graph
from pinyon.engine.findings import Finding, Kind, checked, note, problem
from pinyon.engine.structure_verification import verify_structures
from pinyon.engine.structures import Structures
from pinyon.model.index import IndexDefinition
from pinyon.model.record import Int64s, Mask, UInt64s
from pinyon.segment.column_file import ColumnFile
from pinyon.segment.column_format import data_loss
from pinyon.segment.dead_rows import read_dead_rows
from pinyon.segment.manifest import (
    Manifest,
    SegmentEntry,
    dead_rows_name,
    files_of,
    graph_name,
    segment_name,
    segments_directory,
)
from pinyon.segment.segment import NamespaceRows, Segment
from pinyon.storage.protocol import Storage

_DEAD_ROWS: Final = "dead rows"
_GRAPH: Final = "graph"
_GRAPH_ADVICE: Final = "no record is lost: a server builds the graph anew"


class _Checked(NamedTuple):
    """A segment in which nothing was wrong, and which of its rows are dead; None for none."""

    segment: Segment
    dead: Mask | None


def verify_segment_files(
    storage: Storage, directory: str, definition: IndexDefinition | None, manifest: Manifest | None
) -> Iterator[Finding]:
    """Check every file of every segment.

    Args:
        storage: the data directory.
        directory: the folder of the index.
        definition: of the index; None where it is unknown.
        manifest: names the segments; where it is unknown, the files of rows are checked each alone.
    """
    folder = segments_directory(directory)
    names = storage.list_directory(folder)
    if manifest is None:
        for name in names:
            if name.endswith(".seg"):
                yield from checked(f"{folder}/{name}", partial(_verify_file, storage, folder, name, definition))
        return
    whole: list[_Checked] = []
    for entry in manifest.segments:
        yield from _SegmentCheck(storage, folder, definition, entry).findings(whole)
    yield from _verify_ids(whole)
    needed = files_of(manifest)
    for name in names:
        if name not in needed:
            yield note(f"{folder}/{name}", "the manifest does not name it; no records depend on it")


def _open(storage: Storage, folder: str, name: str) -> Segment:
    return Segment.open(storage, f"{folder}/{name}")


def _verify_file(storage: Storage, folder: str, name: str, definition: IndexDefinition | None) -> str:
    return _verify_rows(_open(storage, folder, name), definition)


def _verify_rows(segment: Segment, definition: IndexDefinition | None) -> str:
    segment.verify()
    if definition is not None:
        verify_structures(segment, definition)
    return f"{segment.row_count} rows, {len(segment.namespaces)} namespaces, {segment.nbytes} bytes"


class _SegmentCheck:
    """Checks the files of one segment."""

    def __init__(self, storage: Storage, folder: str, definition: IndexDefinition | None, entry: SegmentEntry) -> None:
        self._storage = storage
        self._folder = folder
        self._definition = definition
        self._entry = entry
        self._segment: Segment | None = None
        self._dead: Mask | None = None

    def findings(self, whole: list[_Checked]) -> Iterator[Finding]:
        """Check them; a segment whose rows can be relied on goes to `whole`."""
        entry, number = self._entry, self._entry.number
        yield from checked(f"{self._folder}/{segment_name(number)}", self._check_rows)
        if entry.dead_lsn is not None:
            yield from checked(f"{self._folder}/{dead_rows_name(number, entry.dead_lsn)}", self._check_dead_rows)
        if entry.has_graph:
            for finding in checked(f"{self._folder}/{graph_name(number)}", self._check_graph):
                yield finding if finding.kind is Kind.OK else finding._replace(text=f"{finding.text}; {_GRAPH_ADVICE}")
        if self._segment is not None and (entry.dead_lsn is None or self._dead is not None):
            whole.append(_Checked(self._segment, self._dead))

    def _check_rows(self) -> str:
        entry = self._entry
        segment = _open(self._storage, self._folder, segment_name(entry.number))
        said = {"rows": (segment.row_count, entry.row_count), "bytes": (segment.nbytes, entry.size_bytes)}
        for what, (found, expected) in said.items():
            if found != expected:
                raise data_loss(segment.path, f"it has {found} {what} where the manifest says {expected}")
        if self._definition is not None and segment.dimension != self._definition.dimension:
            said_dimension = self._definition.dimension
            raise data_loss(segment.path, f"its vectors have dimension {segment.dimension}, and not {said_dimension}")
        text = _verify_rows(segment, self._definition)
        self._segment = segment
        return text

    def _check_dead_rows(self) -> str:
        entry, lsn = self._entry, self._entry.dead_lsn
        assert lsn is not None
        path = f"{self._folder}/{dead_rows_name(entry.number, lsn)}"
        dead = read_dead_rows(self._storage, path, segment_number=entry.number, lsn=lsn, row_count=entry.row_count)
        file = ColumnFile.open(self._storage, path, _DEAD_ROWS)
        file.verify()
        count = int(np.count_nonzero(dead))
        if int(np.unpackbits(file.array("dead")).sum()) != count:
            raise data_loss(path, "bits behind the last row are set")
        if count != entry.dead_count:
            raise data_loss(path, f"it has {count} dead rows where the manifest says {entry.dead_count}")
        self._dead = dead
        return f"{count} dead rows of {entry.row_count}, {file.nbytes} bytes"

    def _check_graph(self) -> str:
        entry = self._entry
        path = f"{self._folder}/{graph_name(entry.number)}"
        file = ColumnFile.open(self._storage, path, _GRAPH)
        file.verify()
        said = {"segment": entry.number, "row_count": entry.row_count}
        for name, expected in said.items():
            if file.properties.get(name) != expected:
                raise data_loss(path, f"it has {name} {file.properties.get(name)} where {expected} must be")
        content = file.array(_GRAPH)
        if self._definition is not None and self._segment is not None:
            if not self._segment.properties.get("dedicated"):
                raise data_loss(path, "it is over the rows of a segment that many namespaces share")
            Graph.view(content.data, Structures(self._segment, self._definition).space, entry.row_count)
        return f"a graph of {entry.row_count} rows, {file.nbytes} bytes"


def _verify_ids(whole: Sequence[_Checked]) -> Iterator[Finding]:
    """No id of a namespace is alive in two segments."""
    places: dict[str, list[tuple[_Checked, NamespaceRows]]] = {}
    for each in whole:
        for rows in each.segment.namespaces:
            places.setdefault(rows.name, []).append((each, rows))
    for name, parts in places.items():
        if len(parts) > 1:
            yield from _verify_ids_of_namespace(name, [_Alive.of(each, rows) for each, rows in parts])


class _Alive(NamedTuple):
    """The rows of a namespace in a segment that are alive, and the hashes of their ids, both `(m,)`."""

    segment: Segment
    rows: Int64s
    hashes: UInt64s

    @classmethod
    def of(cls, checked: _Checked, rows: NamespaceRows) -> "_Alive":
        order = checked.segment.extra("hash_order")[rows.start : rows.stop].astype(np.int64)
        hashes = checked.segment.extra("hashes")[rows.start : rows.stop]
        if checked.dead is None:
            return cls(checked.segment, order, hashes)
        is_alive = ~checked.dead[order]
        return cls(checked.segment, order[is_alive], hashes[is_alive])


def _verify_ids_of_namespace(name: str, parts: Sequence[_Alive]) -> Iterator[Finding]:
    """Ids that are alive twice have equal hashes; only such ones are read."""
    hashes = np.sort(np.concatenate([part.hashes for part in parts]))
    twins = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    if not len(twins):
        return
    found: dict[str, str] = {}
    for part in parts:
        path = part.segment.path
        for id_ in part.segment.ids(part.rows[np.isin(part.hashes, twins)]):
            other = found.setdefault(id_, path)
            if other != path:
                yield problem(path, f"{path}: id {id_!r} of namespace {name!r} is alive in {other} too")
