"""Codes of some thousands of rows in memory, to choose those that are worth an exact score.

What was chosen tells by itself whether it is enough (`pinyon.ann.estimates`). If it is not, all rows must be scored:
queries that are far from everything, or rows of which many are nearly the same, take as long as without codes, and lose
nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from pinyon.ann.estimates import Rest, score_needed, scored_min
from pinyon.ann.quantised import Encoder, Quantised, train
from pinyon.ann.space import choose_space
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s, Float64s, Int64s, Mask

_SCORED_AT_ONCE: Final = 256
_POOL_SHARE: Final = 8
"""To score more than one row in so many, wherever they lie, takes longer than to score all in their order."""

_SAMPLE_ROWS: Final = 1024
_SEED: Final = 1


class Best(NamedTuple):
    """Rows, `(m,)` int64 ascending, that hold the best, and the goodness of each, float32."""

    rows: Int64s
    goodness: Float32s


@dataclass(frozen=True, slots=True)
class RowCodes:
    """Codes of rows.

    Attributes:
        least_sure_row: of `quantised`.
    """

    quantised: Quantised
    least_sure_row: int

    @property
    def row_count(self) -> int:
        """Rows that have codes."""
        return self.quantised.row_count

    def scored_min(self, top_k: int) -> int | None:
        """How many rows are scored at least; None where codes save nothing, and all are to be scored."""
        least = scored_min(top_k)
        return least if least * _POOL_SHARE <= self.row_count else None

    def best(
        self, query: Float32s, top_k: int, least: int, alive: Mask | None, score: Callable[[Int64s], Float32s]
    ) -> Best | None:
        """Rows that hold the best `top_k` of those that are alive; None where all are to be scored.

        Args:
            query: `(dimension,)` float32, as it came.
            top_k: how many rows are looked for.
            least: what `scored_min` said.
            alive: `(row_count,)`, True where a row may be returned; None for all.
            score: the goodness of some rows, which do not ascend.
        """
        pool = self.row_count // _POOL_SHARE
        chosen = self.quantised.candidates(query, pool, alive=alive)
        if len(chosen.rows) < pool:
            return None
        space = self.quantised.space
        errors = self.quantised.errors(np.append(chosen.rows, self.least_sure_row), chosen.error)
        # Any other row is estimated no better than those that were chosen, and no less surely than this one.
        best_left = chosen.estimates[np.isfinite(errors[:-1])].min(initial=np.inf)
        estimates = space.worth(np.append(chosen.estimates, best_left), query)
        errors = space.worth_of_difference(errors, query)
        rest = Rest(float(estimates[-1]), float(errors[-1]))
        scored = score_needed(
            estimates[:-1],
            errors[:-1],
            lambda places: score(chosen.rows[places]),
            top_k=top_k,
            least=least,
            step_max=_SCORED_AT_ONCE,
            rest=rest,
        )
        if not scored.is_enough:
            return None
        order = np.argsort(scored.places)
        return Best(chosen.rows[scored.places[order]], scored.goodness[order])


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
    quantised = Quantised(model, starts, words, encoder.factors, encoder.constants)
    return RowCodes(quantised, quantised.least_sure_row)
