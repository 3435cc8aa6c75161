"""Who gives full blocks their codes, so that a search estimates most of their rows instead of scoring all.

Blocks are encoded in the background when a search first meets them: an index that is only written to pays nothing.
Until then, and while a block is not full, all its rows are scored. A full block gets no more rows, so its codes hold as
long as it does.
"""

from functools import partial
from typing import Final

from pinyon.ann.row_codes import encode_rows
from pinyon.engine.background import RunLater
from pinyon.engine.block import Block, block_rows
from pinyon.engine.part_efforts import may_estimate
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.view import View
from pinyon.model.metric import Metric

_DIMENSION_MIN: Final = 128
"""Of shorter vectors all can be scored in the time that estimates take."""

_ROWS_MIN: Final = 4096
"""Of so few rows in memory all are scored, as in segments."""


class BlockEncoder:
    """Has the blocks encoded that are searched. Any thread may call any method."""

    def __init__(self, metric: Metric, dimension: int | None, run_later: RunLater | None) -> None:
        """Encode by `run_later`; nothing without it, or where it would gain nothing."""
        self._metric = metric
        self._block_rows = block_rows(dimension)
        self._run_later = run_later if dimension is not None and dimension >= _DIMENSION_MIN else None
        self._is_closed = False

    def want(self, view: View, plan: SearchPlan) -> None:
        """Have the full blocks of a view encoded that are not yet, where such a search looks at codes."""
        if self._run_later is None or self._is_closed or not may_estimate(plan):
            return
        for memtable in view.memtables:
            for block in memtable.blocks if memtable.end >= _ROWS_MIN else ():
                # Two threads that ask at once may have a block encoded twice, to the same codes.
                if block.row_count == self._block_rows and not block.block.is_to_be_encoded:
                    block.block.is_to_be_encoded = True
                    self._run_later(partial(self._encode, block.block))

    def close(self) -> None:
        """Encode no more."""
        self._is_closed = True

    def _encode(self, block: Block) -> None:
        assert block.dense is not None
        if not self._is_closed:
            block.codes = encode_rows(block.dense.filled, block.squared_norms.filled, self._metric)
