"""Who gives full blocks their codes, so that a search estimates most of their rows instead of scoring all.

Blocks are encoded in the background when a search first meets them: an index that is only written to pays nothing.
Until then, and while a block is not full, all its rows are scored. A full block gets no more rows, so its codes hold as
long as it does. How many rows they must choose is measured with the first block of a memtable.
"""

from functools import partial
from typing import Final

from pinyon.ann.row_codes import encode_rows
from pinyon.engine.background import RunLater
from pinyon.engine.block import Block, block_rows
from pinyon.engine.view import MemtableView, View
from pinyon.model.metric import Metric

_DIMENSION_MIN: Final = 128
"""Of shorter vectors all are scored in the time that estimates take."""


class BlockEncoder:
    """Has the blocks encoded that are searched. Any thread may call `want`."""

    def __init__(self, metric: Metric, dimension: int | None, run_later: RunLater | None) -> None:
        """Encode by `run_later`; nothing without it, or where it would gain nothing."""
        self._metric = metric
        self._block_rows = block_rows(dimension)
        self._run_later = run_later if dimension is not None and dimension >= _DIMENSION_MIN else None

    def want(self, view: View) -> None:
        """Have the full blocks of a view encoded that are not yet."""
        if self._run_later is None:
            return
        for memtable in view.memtables:
            for part in memtable.blocks:
                # Two threads that ask at once may have a block encoded twice, to the same codes.
                if part.row_count == self._block_rows and not part.block.is_encoded:
                    part.block.is_encoded = True
                    self._run_later(partial(self._encode, part.block, memtable))

    def _encode(self, block: Block, memtable: MemtableView) -> None:
        assert block.dense is not None
        pools = [part.block.codes.pool for part in memtable.blocks if part.block.codes is not None]
        block.codes = encode_rows(
            block.dense.filled, block.squared_norms.filled, self._metric, max(pools) if pools else None
        )
