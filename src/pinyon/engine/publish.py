"""Putting new segments into the place of the rows that they were made of.

Rows may have died while they were on their way: such deaths are handed down to the new segment. A namespace is switched
at once, under the index's lock, a few hundred namespaces each time that it is taken.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Final, TypeVar

import numpy as np

from pinyon.engine.block import NEVER
from pinyon.engine.index_state import IndexState
from pinyon.engine.namespace import Namespace
from pinyon.engine.part import LiveSegment, Part
from pinyon.engine.row_groups import RowGroup
from pinyon.engine.segment_build import Built
from pinyon.segment.segment import NamespaceRows

_NAMESPACES_AT_ONCE: Final = 200

Item = TypeVar("Item")


def hand_down_deaths(built: Built) -> None:
    """Mark as dead in a new segment what has died in the sources of its rows."""
    for group, rows in pieces(built):
        _hand_down(built.live, group, rows)


def publish_flush(state: IndexState, built: Sequence[Built], frozen: Sequence[Namespace]) -> None:
    """Let the namespaces that were frozen find their rows in segments."""
    parts = {group.namespace: (each.live, group, rows) for each in built for group, rows in pieces(each)}
    for some in _batches(frozen):
        with state.lock:
            for namespace in some:
                namespace.frozen = None
                if namespace.name in parts:
                    _add_part(namespace, *parts[namespace.name])


def publish_compaction(state: IndexState, built: Sequence[Built], inputs: Collection[LiveSegment]) -> None:
    """Let namespaces find their rows in new segments instead of in those that these were made of."""
    parts = {group.namespace: (each.live, group, rows) for each in built for group, rows in pieces(each)}
    names = list({rows.name: None for live in inputs for rows in live.segment.namespaces})
    for some in _batches(names):
        with state.lock:
            for name in some:
                if name in parts:
                    _hand_down(*parts[name])
                _replace_parts(state.namespaces.by_name.get(name), inputs, parts.get(name))


def forget(state: IndexState, dropped: Collection[LiveSegment]) -> None:
    """Let no namespace look into segments in which all rows are dead."""
    publish_compaction(state, (), dropped)


def pieces(built: Built) -> Iterator[tuple[RowGroup, NamespaceRows]]:
    """Each group of a segment, and the rows that it became."""
    return zip(built.groups, built.live.segment.namespaces, strict=True)


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + _NAMESPACES_AT_ONCE] for start in range(0, len(items), _NAMESPACES_AT_ONCE))


def _add_part(namespace: Namespace, live: LiveSegment, group: RowGroup, rows: NamespaceRows) -> None:
    if namespace.deleted_lsn is not None:
        live.mark_dead(slice(rows.start, rows.stop), namespace.deleted_lsn)
        return
    dead_count = _hand_down(live, group, rows)
    namespace.parts += (Part(live, rows),)
    namespace.stored_count += len(group) - dead_count


def _replace_parts(
    namespace: Namespace | None,
    inputs: Collection[LiveSegment],
    new: tuple[LiveSegment, RowGroup, NamespaceRows] | None,
) -> None:
    if namespace is None:
        return
    kept = tuple(part for part in namespace.parts if part.live not in inputs)
    if len(kept) == len(namespace.parts):
        return  # Another namespace of the same name, that began after the rows of the new segment died.
    namespace.parts = kept if new is None else (*kept, Part(new[0], new[2]))


def _hand_down(live: LiveSegment, group: RowGroup, rows: NamespaceRows) -> int:
    """Mark as dead in a new segment what has died of a group; how many rows that is."""
    if not group.death_count():
        return 0
    deaths = group.deaths()
    dead = np.flatnonzero(deaths != NEVER)
    if len(dead):
        live.mark_dead(dead + rows.start, deaths[dead])
    return len(dead)
