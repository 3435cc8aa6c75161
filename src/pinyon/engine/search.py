"""A query over a view: the best rows of every memtable and of every part, as one list.

Numbers are kept as "goodness" (see `pinyon.ann.exact`): larger is better for every metric.
"""

import numpy as np

from pinyon.ann import exact
from pinyon.engine import part_search, sparse_search
from pinyon.engine.memtable_search import search_memtable
from pinyon.engine.part_search import search_part
from pinyon.engine.places import Place, ids_of, record_at
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.view import View
from pinyon.model.record import Float64s, Match, UInt32s


def search(view: View, plan: SearchPlan) -> list[Match]:
    """The best matches of the view, best first, ties by id; as many as `top_k` when that many rows qualify."""
    places: list[Place] = []
    goodness: list[Float64s] = [np.zeros(0)]
    for memtable in view.memtables:
        hits = search_memtable(memtable, plan)
        for block, mine in memtable.split(hits.rows):
            places += [(block.block, row) for row in (hits.rows[mine] - block.first_row).tolist()]
        goodness.append(hits.goodness)
    for part in view.parts:
        hits = search_part(part, view.lsn, plan)
        places += [(part.live, row) for row in hits.rows.tolist()]
        goodness.append(hits.goodness)
    return _sorted_matches(places, np.concatenate(goodness), plan)


def frequencies(view: View, indices: UInt32s) -> list[int]:
    """How many rows that the view sees have each of `indices` in their sparse vector."""
    terms, where = np.unique(indices, return_inverse=True)
    counts = np.zeros(len(terms), np.int64)
    for memtable in view.memtables:
        counts += sparse_search.frequencies(memtable, terms)
    for part in view.parts:
        counts += part_search.frequencies(part, view.lsn, terms)
    found: list[int] = counts[where].tolist()
    return found


def _sorted_matches(places: list[Place], goodness: Float64s, plan: SearchPlan) -> list[Match]:
    """The `top_k` best as results. Scores are compared as the float32 that the caller sees."""
    shown = exact.to_float32(goodness)
    order = np.argsort(-shown, kind="stable")
    if plan.top_k < len(order):  # Ids tell only those apart that are as good as the last.
        order = order[: np.searchsorted(-shown[order], -shown[order[plan.top_k - 1]], side="right")]
    ids = ids_of([places[position] for position in order.tolist()])
    descending = shown[order].tolist()
    ranked = sorted(range(len(order)), key=lambda rank: (-descending[rank], ids[rank]))[: plan.top_k]
    sign = 1.0 if plan.metric.higher_is_better else -1.0
    # Adding 0.0 turns -0.0 into 0.0.
    return [_match(places[int(order[rank])], ids[rank], sign * descending[rank] + 0.0, plan) for rank in ranked]


def _match(place: Place, id_: str, score: float, plan: SearchPlan) -> Match:
    if not plan.include_values and not plan.include_metadata:
        return Match(id_, score)
    record = record_at(place)
    return Match(
        id_,
        score,
        record.dense if plan.include_values else None,
        record.sparse if plan.include_values else None,
        record.metadata if plan.include_metadata else b"",
    )
