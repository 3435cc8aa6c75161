"""A view: what one read sees of a namespace.

Taken under the index's lock, read without it. It never changes: rows written later are beyond the row counts that it
remembers, and rows that died later died at an LSN that is newer than its own.
"""

from dataclasses import dataclass
from typing import NamedTuple

from pinyon.engine.block import Block
from pinyon.model.record import Lsn, Mask


class BlockView(NamedTuple):
    """The first `row_count` rows of a block."""

    block: Block
    row_count: int


@dataclass(frozen=True, slots=True)
class View:
    """The blocks of a namespace at one LSN."""

    lsn: Lsn
    blocks: tuple[BlockView, ...]

    def alive(self, part: BlockView) -> Mask | None:
        """Rows of a block that this view sees, `(row_count,)`; None for all of them."""
        return part.block.alive(part.row_count, self.lsn)
