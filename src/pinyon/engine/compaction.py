"""Compaction: segments of similar size become one, without the rows that are dead.

Segments are merged by size: those of one namespace with one another, shared ones with one another. The smallest are
merged as soon as there are enough of similar size; so a row is written again a few times only, and there are few
segments. In idle time fewer are enough. A segment with many dead rows is written anew alone. What must hold:

- only rows that had died at the manifest's LSN are left out: later deaths are not durable yet but by the log, and the
  log may need the row that died, to change a part of it;
- the order of segments has no meaning, since an id is alive in one of them at most.

The order of disk operations is that of `pinyon.engine.segment_store`, with the LSN of the manifest as it was.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pinyon.engine.flush import build_all, discard
from pinyon.engine.index_state import IndexState
from pinyon.engine.part import LiveSegment
from pinyon.engine.publish import forget, hand_down_deaths, publish_compaction
from pinyon.engine.row_groups import RowGroup, alive_rows, group_of
from pinyon.engine.segment_build import BuildOptions, build_bytes
from pinyon.model.record import Int64s, Lsn


@dataclass(frozen=True, slots=True)
class CompactionOptions:
    """When segments are merged.

    Attributes:
        fan_in: how many segments of similar size are merged at once, at least.
        idle_fan_in: … where nothing was written for a while.
        growth: segments are of similar size where the largest has at most so many times the rows of the others.
        idle_growth: … where nothing was written for a while: each segment more is work for every query.
        graphless_growth: … of a dedicated segment that has no graph yet: to build one takes far longer than a merge.
        segment_rows_max: a merge makes no larger segment.
        build_bytes_max: memory that a merge may take, by `pinyon.engine.segment_build.build_bytes`.
        dead_share: the share of dead rows from which on a segment is written anew.
    """

    fan_in: int = 4
    idle_fan_in: int = 2
    growth: int = 2
    idle_growth: int = 4
    graphless_growth: int = 1000
    segment_rows_max: int = 2_000_000
    build_bytes_max: int = 4 * 1024 * 1024 * 1024
    dead_share: float = 0.25


COMPACTION_OPTIONS: Final = CompactionOptions()


def choose(
    segments: Iterable[LiveSegment], lsn: Lsn, options: CompactionOptions, *, is_idle: bool
) -> list[LiveSegment]:
    """The segments to merge next; none where all is well. `lsn` is the manifest's."""
    kinds: dict[str | None, list[LiveSegment]] = {}
    for live in segments:
        kinds.setdefault(_kind(live), []).append(live)
    for kind in sorted(kinds, key=lambda kind: (kind is not None, kind or "")):
        by_size = sorted(kinds[kind], key=lambda live: (live.alive_count, live.number))
        chosen = _similar(by_size, options, is_idle=is_idle)
        chosen = chosen or next(([live] for live in by_size if _has_many_dead(live, lsn, options)), [])
        if chosen:
            return chosen
    return []


def compact(state: IndexState, inputs: Sequence[LiveSegment], options: BuildOptions) -> None:
    """Merge segments.

    Raises:
        UnavailableError: the disk failed, or an earlier commit could not be made visible; nothing has changed.
    """
    lsn = state.store.manifest.lsn
    built = build_all(state, _groups(inputs, lsn, state.check_open), options)
    with state.committing():
        if state.is_closed or any(live.number not in state.store.segments for live in inputs if live.alive_count):
            discard(state, [each.live.number for each in built])
            return
        new = hand_down_deaths(state, built, lsn)
        dropped = state.store.commit(
            lsn=state.store.manifest.lsn,
            namespaces=state.store.manifest.namespaces,
            added=[each.live for each in built],
            removed={live.number for live in inputs},
        )
        publish_compaction(state, new, set(inputs))
        forget(state, dropped)


def _kind(live: LiveSegment) -> str | None:
    """The namespace of a dedicated segment; None for a shared one."""
    return None if live.structures is None else live.segment.namespaces[0].name


def _similar(by_size: Sequence[LiveSegment], options: CompactionOptions, *, is_idle: bool) -> list[LiveSegment]:
    """The smallest segments, as many as are of similar size; none where these are too few."""
    fan_in = options.idle_fan_in if is_idle else options.fan_in
    chosen: list[LiveSegment] = []
    row_count = merge_bytes = 0
    is_similar = False
    for live in by_size:
        is_next_similar = live.alive_count <= _growth(live, options, is_idle=is_idle) * row_count
        row_count += live.alive_count
        merge_bytes += build_bytes(live)
        is_too_large = row_count > options.segment_rows_max or merge_bytes > options.build_bytes_max
        if is_too_large or (len(chosen) >= fan_in and not is_next_similar):
            break
        chosen.append(live)
        is_similar = is_next_similar
    return chosen if len(chosen) >= fan_in and is_similar else []


def _growth(live: LiveSegment, options: CompactionOptions, *, is_idle: bool) -> int:
    if not is_idle:
        return options.growth
    return options.idle_growth if live.has_graph or live.structures is None else options.graphless_growth


def _has_many_dead(live: LiveSegment, lsn: Lsn, options: CompactionOptions) -> bool:
    """True if enough rows are dead at `lsn`: those that died later stay, so writing it anew would not end."""
    enough = max(options.dead_share * live.row_count, 1)
    if live.dead_count < enough:
        return False
    dead = live.dead_at(lsn)
    return dead is not None and bool(np.count_nonzero(dead) >= enough)


def _groups(inputs: Sequence[LiveSegment], lsn: Lsn, check: Callable[[], None]) -> list[RowGroup]:
    """The rows of all inputs that had not died at `lsn`, by namespace."""
    found: dict[str, tuple[list[LiveSegment], list[Int64s]]] = {}
    for live in inputs:
        for rows in live.segment.namespaces:
            alive = alive_rows(live, rows.start, rows.stop, lsn)
            if len(alive):
                sources, chosen = found.setdefault(rows.name, ([], []))
                sources.append(live)
                chosen.append(alive)
    return [group_of(name, *found[name], check) for name in sorted(found)]
