"""What `pinyon inspect` prints for people, made of what `pinyon.engine.inspection` found."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from pinyon.ann.effort import EffortTable
from pinyon.engine.inspection_report import IndexOnDisk, Inspection, LogOnDisk, NamespaceOnDisk, SegmentOnDisk
from pinyon.model.index import IndexDefinition

_UNITS: Final = ("KiB", "MiB", "GiB", "TiB")
_LABEL_WIDTH: Final = 12


def lines_of(report: Inspection) -> Iterator[str]:
    """The lines of a report, without ends of lines."""
    for number, index in enumerate(report.indexes):
        if number:
            yield ""
        yield from _index(index)
    if not report.indexes:
        yield "no indexes"
    for path in report.leftovers:
        yield _labelled("left over", f"{path}, a folder that no index owns")


def _index(index: IndexOnDisk) -> Iterator[str]:
    yield f"{index.definition.name} in {index.path}"
    yield _labelled("definition", _definition(index.definition))
    if index.manifest_lsn is None:
        yield from _unknown(index)
    else:
        yield from _known(index)
    for problem in index.problems:
        yield _labelled("problem", problem)


def _unknown(index: IndexOnDisk) -> Iterator[str]:
    """The lines of an index whose manifest cannot be read."""
    yield _labelled("manifest", "cannot be read; without it, nobody can tell which files are needed or left over")
    yield _labelled("log", f"{len(index.log.files)} files, {_size(index.log.size_bytes)}")
    yield _labelled("segments", f"unknown; their folder holds {_size(index.segment_bytes)}")
    yield _labelled("namespaces", "unknown")


def _known(index: IndexOnDisk) -> Iterator[str]:
    yield _labelled("manifest", f"LSN {index.manifest_lsn}")
    yield _labelled("log", _log(index.log))
    yield _labelled("segments", f"{len(index.segments)}, {_size(index.segment_bytes)}")
    yield from _table(_SEGMENT_TITLES, [_segment(segment) for segment in index.segments])
    yield _labelled("namespaces", f"{index.namespace_count:,}, {index.record_count:,} records in segments")
    yield from _table(_NAMESPACE_TITLES, [_namespace(namespace) for namespace in index.namespaces])
    if len(index.namespaces) < index.namespace_count:
        yield f"    and {index.namespace_count - len(index.namespaces):,} smaller ones"
    for file in index.leftovers:
        yield _labelled("left over", f"{file.path}, {_size(file.size_bytes)}")


def _definition(definition: IndexDefinition) -> str:
    parts = [
        str(definition.vector_type) if definition.dimension is None else f"{definition.dimension} dimensions",
        str(definition.metric),
        f"port {definition.port}",
        definition.deployment.kind,
    ]
    if definition.created_at_s:
        parts.append(f"created {datetime.fromtimestamp(definition.created_at_s, UTC):%Y-%m-%dT%H:%M:%SZ}")
    if definition.filterable_fields is not None:
        parts.append(f"filterable: {' '.join(map(_shown, definition.filterable_fields)) or 'nothing'}")
    if definition.embed is not None:
        parts.append(f"text by {_shown(definition.embed.model)}")
    if definition.deletion_protection:
        parts.append("protected from deletion")
    parts += [f"{_shown(key)}={_shown(value)}" for key, value in definition.tags.items()]
    return ", ".join(parts)


def _log(log: LogOnDisk) -> str:
    text = f"{len(log.files)} files, {_size(log.size_bytes)}, up to LSN {log.last_lsn}, "
    text += f"{log.waiting_entries:,} writes not in segments yet"
    return f"{text}, {log.torn_bytes} bytes unfinished" if log.torn_bytes else text


_SEGMENT_TITLES: Final = ("number", "kind", "namespaces", "rows", "dead", "bytes", "graph", "measured")


def _segment(segment: SegmentOnDisk) -> Sequence[str]:
    return (
        str(segment.number),
        segment.kind,
        f"{segment.namespace_count:,}",
        f"{segment.row_count:,}",
        f"{segment.dead_count:,}",
        _size(segment.size_bytes),
        "-" if segment.graph_bytes is None else _size(segment.graph_bytes),
        "; ".join(f"{name} {_efforts(table)}" for name, table in segment.efforts.items()) or "-",
    )


def _efforts(table: EffortTable) -> str:
    """Each measured recall and the effort that it takes."""
    parts = []
    for measured in table.measurements:
        effort = measured.effort
        probes = "" if effort.probes is None else f"/{effort.probes}"
        parts.append(f"{measured.recall:.3f}@{effort.pool}{probes}")
    return " ".join(parts)


_NAMESPACE_TITLES: Final = ("name", "records", "dead", "segments", "bytes", "writes in log", "bytes in log")


def _namespace(namespace: NamespaceOnDisk) -> Sequence[str]:
    return (
        _shown(namespace.name),
        f"{namespace.record_count:,}",
        f"{namespace.dead_count:,}",
        f"{namespace.segment_count:,}",
        _size(namespace.size_bytes),
        f"{namespace.waiting_entries:,}",
        _size(namespace.waiting_bytes),
    )


def _labelled(label: str, text: str) -> str:
    return f"  {label:<{_LABEL_WIDTH}}{text}"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as they need to be; nothing where there are no rows."""
    if not rows:
        return
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        yield ("    " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))).rstrip()


def _size(size_bytes: int) -> str:
    """Bytes for people: the largest unit of which there is at least one."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    number = float(size_bytes)
    for unit in _UNITS:
        number /= 1024
        if number < 1024 or unit == _UNITS[-1]:
            return f"{number:,.1f} {unit}"
    raise AssertionError("the last unit takes all")


def _shown(name: str) -> str:
    """A name as it is; with characters that a terminal would obey, in JSON quotes."""
    return name if name.isprintable() and name else json.dumps(name)
