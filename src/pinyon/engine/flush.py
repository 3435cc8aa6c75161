"""Flush: memtables become segments, and the log before them is given back.

The order, and what a stop after each step leaves (see also `pinyon.engine.segment_store`):

1. all memtables are frozen, at LSN L; the log goes on in another file;
2. segments are written of the rows that were alive at L: leftovers;
3. a commit says that the state at L is that of the segments: the new state, and a log that begins too early;
4. reads find the rows in segments;
5. the log goes on in a new file even if nothing was written since, and the files that end at or before L are removed:
   as after 3, with fewer of them.

A flush that failed is tried again with the same memtables, or for step 5 only if it came so far. Meanwhile the others
grow. One that failed between 3 and 4 is not tried again: see `IndexState.committing`.
"""

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pinyon.engine.index_state import IndexState
from pinyon.engine.memtable import Memtable
from pinyon.engine.namespace import Namespace
from pinyon.engine.publish import forget, hand_down_deaths, publish_flush
from pinyon.engine.row_groups import RowGroup, alive_rows, group_of
from pinyon.engine.segment_build import BuildOptions, Built, build
from pinyon.errors import UnavailableError
from pinyon.model.record import Lsn
from pinyon.segment.manifest import NamespaceEntry

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Frozen:
    """What is to be flushed: the state of the index at `lsn`."""

    lsn: Lsn
    namespaces: Sequence[Namespace]
    entries: tuple[NamespaceEntry, ...]


def freeze(state: IndexState) -> Frozen | None:
    """Freeze all memtables; None if nothing was written since the last flush."""
    with state.lock:
        if state.lsn == state.store.manifest.lsn:
            return None
        state.frozen_bytes = state.namespaces.memory_bytes
        frozen = Frozen(state.lsn, state.namespaces.freeze(), state.namespaces.entries())
    state.log.roll()
    return frozen


def flush(state: IndexState, frozen: Frozen, options: BuildOptions) -> None:
    """Write what was frozen into segments, and give back the log before it.

    Raises:
        UnavailableError: the disk failed, or an earlier commit could not be made visible; nothing has changed.
    """
    if state.store.manifest.lsn < frozen.lsn:
        _write_segments(state, frozen, options)
    try:
        if state.log.last_lsn == frozen.lsn:  # Else the next write, which is there, began the file.
            state.while_no_write(state.log.begin)
        state.log.trim(frozen.lsn + 1)
    except UnavailableError as error:
        log.warning("a file of the log that is not needed is left over: %s", error.message)


def _write_segments(state: IndexState, frozen: Frozen, options: BuildOptions) -> None:
    groups = [group for group in (_group(namespace, frozen.lsn) for namespace in frozen.namespaces) if len(group)]
    built = build_all(state, groups, options)
    with state.committing():
        new = hand_down_deaths(state, built, frozen.lsn)
        dropped = state.store.commit(lsn=frozen.lsn, namespaces=frozen.entries, added=[each.live for each in built])
        publish_flush(state, new, frozen.namespaces)
        forget(state, dropped)
        state.frozen_bytes = 0


def build_all(state: IndexState, groups: Sequence[RowGroup], options: BuildOptions) -> list[Built]:
    """A dedicated segment for each large group, and one for all others together; not committed yet."""
    small = [group for group in groups if len(group) < options.dedicated_rows_min]
    cuts = [[group] for group in groups if len(group) >= options.dedicated_rows_min] + ([small] if small else [])
    built: list[Built] = []
    numbers: list[int] = []
    try:
        for cut in cuts:
            number = state.store.new_number()
            numbers.append(number)
            namespace = state.namespaces.by_name.get(cut[0].namespace)
            fields = None if namespace is None else namespace.filterable_fields
            built.append(
                build(state.store.storage, state.store.path(number), number, cut, state.definition(), options, fields)
            )
    except BaseException:
        # Else a disk that is full would be filled further by each attempt.
        discard(state, numbers)
        raise
    return built


def discard(state: IndexState, numbers: Iterable[int]) -> None:
    """Remove the files of segments that are not committed."""
    for number in numbers:
        with suppress(UnavailableError):
            state.store.storage.remove(state.store.path(number))


def _group(namespace: Namespace, lsn: Lsn) -> RowGroup:
    memtable: Memtable | None = namespace.frozen
    assert memtable is not None
    blocks = list(memtable.blocks.values())
    rows = [alive_rows(block, 0, block.row_count, lsn) for block in blocks]
    filled = [(block, these) for block, these in zip(blocks, rows, strict=True) if len(these)]
    return group_of(namespace.name, [block for block, _ in filled], [these for _, these in filled])
