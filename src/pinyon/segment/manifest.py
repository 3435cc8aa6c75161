"""The manifest: which segments an index consists of, durably.

It is one small JSON file in the folder of the index, written anew for every change. What must hold:

- What the manifest names is the state of the index at exactly `lsn`; the entries of the log with later LSNs are the
  rest. Without a manifest the state is that at LSN 0, without segments: right as long as the log begins at LSN 1, and
  refused by the log where it does not.
- The files that a manifest names, and their names, are durable before it is written, and so are all entries of the log
  up to its `lsn`. Files that only an older manifest names are removed after it is durable.
- Replacing the file is the commit point of a flush and of a compaction. A stop before it leaves the old manifest, a
  stop after it the new one; files that the manifest does not name are leftovers.
- Damage is never read as an answer: the checksum of `pinyon.storage.checked_json` covers every field.
"""

import re
from collections import Counter
from typing import Annotated, Final

import msgspec

from pinyon.ann.effort import EffortTable
from pinyon.errors import DataLossError, FailedPreconditionError, NotFoundError
from pinyon.model.record import Lsn
from pinyon.storage.checked_json import FORMAT_VERSION, CheckedJson, OtherVersionError
from pinyon.storage.protocol import Storage

MANIFEST_NAME: Final = "manifest.json"
SEGMENTS_NAME: Final = "segments"

_GRAPH_SUFFIX: Final = ".graph"
_FILE_NAME: Final = re.compile(r"\d{20}\.(seg|graph|\d{20}\.dead)(\.tmp)?")

_Count = Annotated[int, msgspec.Meta(ge=0)]


class SegmentEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One segment.

    Attributes:
        number: names its files; never given to another segment of the index that a manifest names.
        row_count: rows in the file, dead ones too; at least 1.
        size_bytes: length of the segment's file, without those of its dead rows and its graph.
        dead_lsn: LSN in the name of the file of its dead rows; None if there is no such file.
        dead_count: rows that are dead at the manifest's LSN; 0 without a file of dead rows.
        has_graph: whether there is a graph over its rows, in a file of its own.
        efforts: what a search of a structure takes for which recall, as far as measured: by the structure's name for
            few results, by that name and their number for many.
    """

    number: _Count
    row_count: Annotated[int, msgspec.Meta(ge=1)]
    size_bytes: _Count
    dead_lsn: _Count | None = None
    dead_count: _Count = 0
    has_graph: bool = False
    efforts: dict[str, EffortTable] = {}


class NamespaceEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is known of a namespace beside its rows. One of which there is nothing but rows has no entry.

    Attributes:
        name: the namespace.
        declared: whether it was created explicitly, so that it exists without records.
        filterable_fields: the fields that its filters may name; None means all.
    """

    name: str
    declared: bool = False
    filterable_fields: tuple[str, ...] | None = None


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state of an index outside of its log.

    Attributes:
        lsn: the state is that after the entry of this LSN; 0 before the first one.
        next_number: the number of the next segment; larger than those of all segments here.
        segments: oldest first.
        namespaces: those of which more is known than their rows, each once.
    """

    lsn: _Count
    next_number: _Count
    segments: tuple[SegmentEntry, ...] = ()
    namespaces: tuple[NamespaceEntry, ...] = ()


_FILE: Final = CheckedJson("manifest", "manifest", Manifest)


def segment_name(number: int) -> str:
    """Name of a segment's file, in the folder `SEGMENTS_NAME` of the index."""
    return f"{number:020}.seg"


def dead_rows_name(number: int, lsn: Lsn) -> str:
    """Name of the file of the rows of a segment that are dead at an LSN."""
    return f"{number:020}.{lsn:020}.dead"


def graph_name(number: int) -> str:
    """Name of the file of the graph over a segment's rows."""
    return f"{number:020}{_GRAPH_SUFFIX}"


def segments_directory(directory: str) -> str:
    """The folder of the files that a manifest names, in the folder of an index."""
    return f"{directory}/{SEGMENTS_NAME}"


def read_manifest(storage: Storage, directory: str) -> Manifest | None:
    """The manifest in the folder of an index, durable; None if there is none.

    Raises:
        DataLossError: the file is damaged; names it.
        FailedPreconditionError: a newer version of Pinyon wrote the file.
        UnavailableError: the disk failed.
    """
    path = f"{directory}/{MANIFEST_NAME}"
    try:
        content = bytes(storage.read(path))
    except NotFoundError:
        return None
    manifest = _decode(path, content)
    # A process that died may have left the new name in the kernel's cache only; what the old one needs would go next.
    storage.sync_directory(directory)
    return manifest


def replace_manifest(storage: Storage, directory: str, manifest: Manifest) -> None:
    """Make `manifest` the one in the folder of an index, in one durable step.

    Args:
        storage: where the folder is.
        directory: the folder of the index.
        manifest: all that it names is durable.

    Raises:
        UnavailableError: the disk failed. It may hold the old manifest or this one: what either names, and the log
            after the older one's LSN, must stay until another replacement succeeded.
    """
    broken = _broken_invariant(manifest)
    assert broken is None, broken
    storage.replace(f"{directory}/{MANIFEST_NAME}", _FILE.encode(manifest))


def files_of(manifest: Manifest | None) -> set[str]:
    """Names of the files that a manifest names, all of them in the folder `SEGMENTS_NAME` of the index."""
    names: set[str] = set()
    for segment in manifest.segments if manifest is not None else ():
        names.add(segment_name(segment.number))
        if segment.dead_lsn is not None:
            names.add(dead_rows_name(segment.number, segment.dead_lsn))
        if segment.has_graph:
            names.add(graph_name(segment.number))
    return names


def leftovers(storage: Storage, directory: str, manifest: Manifest | None) -> list[str]:
    """Paths of the files of segments that a durable manifest does not name, to be removed; other names are left alone.

    To be asked before anything writes a segment: what is being written is not in the manifest yet. And to be removed
    only when the log was opened with the manifest's LSN: it refuses where a manifest was lost, or an old one put back.

    Raises:
        DataLossError: a file that the manifest names is missing, and is no graph, which can be built anew; names it.
    """
    folder, named = segments_directory(directory), files_of(manifest)
    found = storage.list_directory(folder)
    for name in sorted(named.difference(found)):
        if not name.endswith(_GRAPH_SUFFIX):
            raise DataLossError(f"{folder}/{name} is missing; restore it from a backup")
    return [f"{folder}/{name}" for name in found if _FILE_NAME.fullmatch(name) and name not in named]


def _decode(path: str, content: bytes) -> Manifest:
    try:
        manifest = _FILE.decode(content)
    except OtherVersionError as error:
        if error.version < FORMAT_VERSION:
            raise _unusable(path, str(error)) from error
        raise FailedPreconditionError(
            f"{path} has manifest format {error.version}; this Pinyon reads format {FORMAT_VERSION}: "
            "open the data directory with the version of Pinyon that wrote it"
        ) from error
    except ValueError as error:
        raise _unusable(path, str(error)) from error
    broken = _broken_invariant(manifest)
    if broken is not None:
        raise _unusable(path, broken)
    return manifest


def _broken_invariant(manifest: Manifest) -> str | None:
    """What is wrong with a manifest, whoever wrote it; None if nothing is."""
    numbers = [segment.number for segment in manifest.segments]
    names = [namespace.name for namespace in manifest.namespaces]
    for what, counts in (("segment", Counter[int | str](numbers)), ("namespace", Counter[int | str](names))):
        for item, count in counts.most_common(1):
            if count > 1:
                return f"the {what} {item} is in it twice"
    for segment in manifest.segments:
        if segment.number >= manifest.next_number:
            return f"the segment {segment.number} is not below the next number {manifest.next_number}"
        if segment.dead_lsn is not None and segment.dead_lsn > manifest.lsn:
            return f"dead rows of segment {segment.number} are of LSN {segment.dead_lsn}, after {manifest.lsn}"
        if segment.dead_count > (segment.row_count if segment.dead_lsn is not None else 0):
            return f"the segment {segment.number} has {segment.dead_count} dead rows of {segment.row_count}"
    return None


def _unusable(path: str, reason: str) -> DataLossError:
    return DataLossError(f"{path} cannot be used: {reason}; restore it from a backup")
