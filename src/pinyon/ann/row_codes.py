"""Codes of some thousands of rows in memory, to choose those that are worth an exact score.

What was chosen tells by itself whether it is enough: the exact scores of the chosen rows tell how far estimates are
off, and so whether a row that was left could be among the best. Then all rows must be scored: queries that are far from
everything, or rows of which many are nearly the same, take as long as without codes, and lose nothing.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from pinyon.ann.estimates import are_enough
from pinyon.ann.exact import Float64s
from pinyon.ann.quantised import Candidates, Encoder, Quantised, train
from pinyon.ann.space import choose_space
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s

_POOL_MIN: Final = 256
_POOL_TIMES: Final = 8
_POOL_SHARE: Final = 8
"""Rows that are chosen, at least and for each result; where that is more than one row in so many, it saves nothing."""

_SAMPLE_ROWS: Final = 1024
_SEED: Final = 1


@dataclass(frozen=True, slots=True)
class RowCodes:
    """Codes of rows."""

    quantised: Quantised

    @property
    def row_count(self) -> int:
        """Rows that have codes."""
        return self.quantised.row_count

    def pool_for(self, top_k: int) -> int | None:
        """How many rows to choose; None where all are to be scored."""
        pool = max(_POOL_MIN, _POOL_TIMES * top_k)
        return pool if pool * _POOL_SHARE <= self.row_count else None

    def are_enough(self, chosen: Candidates, goodness: Float32s, query: Float32s, top_k: int) -> bool:
        """True if hardly any row that was not chosen is among the best `top_k`; `goodness` is that of the chosen."""
        estimates = self.quantised.space.worth(chosen.estimates, query)
        return are_enough(goodness, estimates, float(estimates.min()), top_k)


def encode_rows(dense: Float32s, squared_norms: Float64s, metric: Metric) -> RowCodes:
    """Codes of rows, `(n, dimension)` float32, at least one, with these squared lengths.

    It takes 4 µs a row of 384 numbers.
    """
    sample = dense[:: max(len(dense) // _SAMPLE_ROWS, 1)]
    model = train(choose_space(metric, sample, squared_norms), sample, 1, _SEED)
    starts = np.array([0, len(dense)])
    encoder = Encoder(model, starts)
    words = encoder.add(dense)
    model = model.with_long_rows(encoder.long_rows(squared_norms))
    return RowCodes(Quantised(model, starts, words, encoder.factors, encoder.constants))
