"""Where a record is: a row of a block in memory, or of a segment."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from pinyon.engine.block import Block
from pinyon.engine.part import LiveSegment
from pinyon.model.record import Record

Place: TypeAlias = tuple[Block | LiveSegment, int]


def record_at(place: Place) -> Record:
    """The record. Its arrays may be views of what holds it."""
    source, row = place
    return source.record(row) if isinstance(source, Block) else source.segment.record(row)


def ids_of(places: Sequence[Place]) -> list[str]:
    """The ids of some records."""
    ids = [source.ids[row] if isinstance(source, Block) else "" for source, row in places]
    by_segment: dict[LiveSegment, list[int]] = {}
    for number, (source, _) in enumerate(places):
        if isinstance(source, LiveSegment):
            by_segment.setdefault(source, []).append(number)
    for live, numbers in by_segment.items():
        rows = np.array([places[number][1] for number in numbers], np.int64)
        for number, id_ in zip(numbers, live.segment.ids(rows), strict=True):
            ids[number] = id_
    return ids
