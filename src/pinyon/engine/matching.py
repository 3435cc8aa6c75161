"""The rows of a view that a filter selects: all of them, or a page of them in order of their ids.

A page of a segment takes its selection, which is kept for the next page, and steps over the segment's order of ids as
far as the page reaches. No id is read but those of the page, and the few that a search for its beginning takes.
"""

from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import Final, TypeAlias

import numpy as np

from pinyon.engine import part_search
from pinyon.engine.part import Part
from pinyon.engine.places import Place
from pinyon.engine.view import BlockView, MemtableView, View
from pinyon.filter.ast import Filter
from pinyon.filter.evaluate import evaluate
from pinyon.model.record import Int64s, Lsn, Mask

_ROWS_AT_ONCE: Final = 16_384

_Listed: TypeAlias = tuple[str, Place]


def matching_mask(view: MemtableView, block: BlockView, condition: Filter) -> Mask:
    """Which rows of a block are alive and pass a filter."""
    alive = view.alive(block)
    passed = evaluate(condition, block.block.columns.first_rows(block.row_count))
    return passed if alive is None else passed & alive


def matching_places(view: View, condition: Filter) -> list[Place]:
    """All rows that are alive and pass a filter, in no particular order."""
    places: list[Place] = []
    for memtable in view.memtables:
        for block in memtable.blocks:
            rows = np.flatnonzero(matching_mask(memtable, block, condition))
            places += [(block.block, row) for row in rows.tolist()]
    for part in view.parts:
        places += [(part.live, row) for row in part_search.matching_rows(part, view.lsn, condition).tolist()]
    return places


def matching_page(view: View, condition: Filter, after: str | None, limit: int) -> list[Place]:
    """The first `limit` of `matching_places` in order of their ids, of those that come after the id `after`."""
    runs = [_page_of_memtable(memtable, condition, after, limit) for memtable in view.memtables]
    runs += [_page_of_part(part, view.lsn, condition, after, limit) for part in view.parts]
    return [place for _, place in islice(merge(*runs, key=itemgetter(0)), limit)]


def _page_of_memtable(view: MemtableView, condition: Filter, after: str | None, limit: int) -> list[_Listed]:
    page: list[_Listed] = []
    for block in view.blocks:
        ids = block.block.ids
        rows = np.flatnonzero(matching_mask(view, block, condition)).tolist()
        found = [row for row in rows if after is None or ids[row] > after]
        if len(page) == limit:  # Most rows of later blocks end here, and are never sorted.
            last = page[-1][0]
            found = [row for row in found if ids[row] < last]
        listed = [(ids[row], (block.block, row)) for row in found]
        page = sorted([*page, *listed], key=itemgetter(0))[:limit]
    return page


def _page_of_part(part: Part, lsn: Lsn, condition: Filter, after: str | None, limit: int) -> list[_Listed]:
    rows = part_search.matching_rows(part, lsn, condition)
    if len(rows):
        rows = _first_by_id(part, rows, after, limit)
    return [(id_, (part.live, row)) for id_, row in zip(part.live.segment.ids(rows), rows.tolist(), strict=True)]


def _first_by_id(part: Part, rows: Int64s, after: str | None, limit: int) -> Int64s:
    """The first `limit` of some rows in order of their ids, of those that come after the id `after`."""
    start = part.rows.start
    is_wanted = np.zeros(part.row_count, np.bool_)
    is_wanted[rows - start] = True
    order = part.live.segment.rows_by_id(part.rows, after)
    found = [np.zeros(0, np.int64)]
    missing = limit
    for at in range(0, len(order), _ROWS_AT_ONCE):
        some = order[at : at + _ROWS_AT_ONCE].astype(np.int64)
        found.append(some[is_wanted[some - start]][:missing])
        missing -= len(found[-1])
        if not missing:
            break
    return np.concatenate(found)
