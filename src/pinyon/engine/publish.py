"""Putting new segments into the place of the rows that they were made of.

Rows may have died while they were on their way: such deaths are handed down to the new segment. A namespace is switched
at once, under the index's lock, a few hundred namespaces each time that it is taken. What must hold:

- what takes memory or time for every row is done by `hand_down_deaths`, before the commit and without the lock: what is
  left for later is in proportion to namespaces, and to the rows that died since, but for a look at which these are;
- a namespace is switched as a whole or, where something is raised, not at all.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from pinyon.engine.index_state import IndexState
from pinyon.engine.namespace import Namespace
from pinyon.engine.part import LiveSegment, Part
from pinyon.engine.row_groups import RowGroup
from pinyon.engine.segment_build import Built
from pinyon.model.record import Lsn

_NAMESPACES_AT_ONCE: Final = 200

Item = TypeVar("Item")


class NewPart:
    """A part on its way into the place of the rows that it was made of.

    Attributes:
        part: what it will be.
        dead_count: its rows whose deaths were handed down to it.
    """

    def __init__(self, part: Part, group: RowGroup, lsn: Lsn) -> None:
        """`group` is what `part` was made of: rows that were alive at `lsn`."""
        self.part = part
        self.dead_count = 0
        self._sources = group.by_source()
        self._lsn = lsn

    def hand_down(self, lsn: Lsn) -> None:
        """Mark as dead what has died by `lsn`, which reads see, and was not marked yet."""
        if lsn == self._lsn:
            return
        for source in self._sources:
            positions, deaths = source.died(self._lsn, lsn)
            if len(positions):
                self.part.live.mark_dead(positions + self.part.rows.start, deaths)
                self.dead_count += len(positions)
        self._lsn = lsn


NewParts = Mapping[str, NewPart]
"""By namespace."""


def hand_down_deaths(state: IndexState, built: Sequence[Built], lsn: Lsn) -> NewParts:
    """The parts that new segments will be, with the deaths so far; they were made of all rows alive at `lsn`."""
    new = {
        group.namespace: NewPart(Part(each.live, rows), group, lsn)
        for each in built
        for group, rows in zip(each.groups, each.live.segment.namespaces, strict=True)
    }
    now = state.lsn
    for part in new.values():
        part.hand_down(now)
    return new


def publish_flush(state: IndexState, new: NewParts, frozen: Sequence[Namespace]) -> None:
    """Let the namespaces that were frozen find their rows in segments."""
    for some in _batches(frozen):
        with state.lock:
            for namespace in some:
                if namespace.name in new:
                    _add_part(namespace, new[namespace.name], state.lsn)
                namespace.frozen = None


def publish_compaction(state: IndexState, new: NewParts, inputs: Collection[LiveSegment]) -> None:
    """Let namespaces find their rows in new segments instead of in those that these were made of."""
    names = list({rows.name: None for live in inputs for rows in live.segment.namespaces})
    for some in _batches(names):
        with state.lock:
            for name in some:
                if name in new:
                    new[name].hand_down(state.lsn)
                _replace_parts(state.namespaces.by_name.get(name), inputs, new.get(name))


def forget(state: IndexState, dropped: Collection[LiveSegment]) -> None:
    """Let no namespace look into segments in which all rows are dead."""
    publish_compaction(state, {}, dropped)


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + _NAMESPACES_AT_ONCE] for start in range(0, len(items), _NAMESPACES_AT_ONCE))


def _add_part(namespace: Namespace, new: NewPart, lsn: Lsn) -> None:
    part = new.part
    if namespace.deleted_lsn is not None:
        part.live.mark_dead(slice(part.rows.start, part.rows.stop), namespace.deleted_lsn)
        return
    new.hand_down(lsn)
    namespace.parts += (part,)
    namespace.stored_count += part.row_count - new.dead_count


def _replace_parts(namespace: Namespace | None, inputs: Collection[LiveSegment], new: NewPart | None) -> None:
    if namespace is None:
        return
    kept = tuple(part for part in namespace.parts if part.live not in inputs)
    if len(kept) == len(namespace.parts):
        return  # Another namespace of the same name, that began after the rows of the new segment died.
    namespace.parts = kept if new is None else (*kept, new.part)
