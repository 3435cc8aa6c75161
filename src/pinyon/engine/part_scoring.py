"""The exact scores of rows of a part: of all that are given, or of as many as their estimates leave a chance.

Vectors are read where they are mapped; of single rows, they are copied, a few MiB at a time.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from pinyon.ann import exact, exact_sparse
from pinyon.ann.candidates import Candidates
from pinyon.ann.estimates import ENOUGH_RECALL_MAX, score_needed, scored_min
from pinyon.ann.quantised import Quantised
from pinyon.engine.part import Part
from pinyon.engine.part_efforts import EXACT_ROWS_MAX
from pinyon.engine.search_plan import SearchPlan
from pinyon.model.record import Float32s, Float64s, Int64s

_SCORED_AT_ONCE: Final = 16_384
"""Rows that are scored exactly at once where they lie."""

_COPIED_BYTES: Final = 4 * 1024 * 1024
"""… and the vectors that are copied for it."""


@dataclass(frozen=True, slots=True)
class Hits:
    """Rows of a segment or of a memtable, ascending, and their exact goodness, float64."""

    rows: Int64s
    goodness: Float64s


NO_HITS: Final = Hits(np.zeros(0, np.int64), np.zeros(0))


def best_estimated(part: Part, found: Candidates, quantised: Quantised, plan: SearchPlan) -> Hits:
    """The best of candidates, all of which may be results.

    The pool of candidates is large enough for hard queries. For others, most of it is never read: rows are scored in
    order of what they may be worth, until the exact scores tell that hardly any other row is among the best.
    """
    assert plan.dense is not None
    least = scored_min(plan.top_k) + len(quantised.space.long_rows)
    if len(found.rows) < 2 * least or plan.target_recall > ENOUGH_RECALL_MAX:
        return best_scored(part, found.rows, plan, NO_HITS)
    space, query = quantised.space, plan.dense
    norms = part.live.segment.squared_norms

    def score(places: Int64s) -> Float32s:
        rows = found.rows[places]
        return exact.goodness(_vectors(part, rows), norms.rows(rows), query, plan.metric)

    scored = score_needed(
        space.worth(found.estimates, query),
        space.worth_of_difference(quantised.errors(found.rows, found.error), query),
        score,
        top_k=plan.top_k,
        least=least,
        step_max=_copied_rows(query),
    )
    rows = found.rows[scored.places]
    slack = exact.slack(float(norms.rows(rows).max()), query, plan.metric)
    chosen = rows[exact.best_candidates(scored.goodness, plan.top_k, slack)]
    return best_scored(part, np.sort(chosen), plan, NO_HITS)


def best_scored(part: Part, rows: Int64s, plan: SearchPlan, sparse: Hits) -> Hits:
    """The best of `rows`, all of which may be results, by their exact scores."""
    assert plan.dense is not None
    at_once = _SCORED_AT_ONCE if _is_range(rows) else _copied_rows(plan.dense)
    chunks = (rows[start : start + at_once] for start in range(0, len(rows), at_once))
    goodness = np.concatenate([np.zeros(0), *(_scores(part, chunk, plan, sparse) for chunk in chunks)])
    return best_hits(rows, goodness, plan.top_k)


def _copied_rows(query: Float32s) -> int:
    """How many vectors as long as this one are copied at once."""
    return max(_COPIED_BYTES // query.nbytes, EXACT_ROWS_MAX)


def _is_range(rows: Int64s) -> bool:
    return len(rows) > 0 and int(rows[-1]) - int(rows[0]) + 1 == len(rows)


def _vectors(part: Part, rows: Int64s, *, is_range: bool = False) -> Float32s:
    dense = part.live.segment.dense
    assert dense is not None
    return dense.slice(int(rows[0]), int(rows[-1]) + 1) if is_range else dense.rows(rows)


def _scores(part: Part, rows: Int64s, plan: SearchPlan, sparse: Hits) -> Float64s:
    """Exact goodness, of the sum where sparse values count too. Of many rows only the best are scored in float64."""
    assert plan.dense is not None
    vectors = _vectors(part, rows, is_range=_is_range(rows))
    dots = exact_sparse.dots_at(rows, sparse.rows, sparse.goodness)
    if len(rows) <= EXACT_ROWS_MAX:
        return exact.exact_goodness(vectors, plan.dense, plan.metric) + dots
    norms = part.live.segment.squared_norms.rows(rows)
    approximate = exact.goodness(vectors, norms, plan.dense, plan.metric)
    summed = exact.to_float32(approximate.astype(np.float64) + dots)
    slack = exact.slack_of_sums(summed, float(norms.max()), plan.dense, plan.metric)
    chosen = exact.best_candidates(summed, plan.top_k, slack)
    goodness = np.full(len(rows), -np.inf)
    goodness[chosen] = exact.exact_goodness_at(vectors, chosen, plan.dense, plan.metric) + dots[chosen]
    return goodness


def best_hits(rows: Int64s, goodness: Float64s, top_k: int) -> Hits:
    """The rows with the best goodness, at least `top_k` where there are so many, with all ties of the last."""
    chosen = exact.best_candidates(exact.to_float32(goodness), top_k, slack=0.0)
    chosen = chosen[goodness[chosen] > -np.inf]
    return Hits(rows[chosen], goodness[chosen])
