"""Whether queries find what was promised: now and then one is searched again, also exactly, and the two are compared.

Efforts are tuned with rows of a segment as queries (see `pinyon.engine.tuning`); what callers ask may be harder, or
easier. So a trickle of their queries is kept, and compared when there is nothing more urgent to do. And of all queries
a sample is kept, to tune with. What must hold:

- no query waits for this; what is kept is bounded, and so is what comparing reads: some megabytes a second;
- where the mean of the last comparisons is below the target, searches are told to lose half as much as before, until
  the mean is back; where it is far above, twice as much, up to what was promised. Structures are then tuned again too,
  with the sample, where there are enough queries in it.

Thread rule: any thread may call `offer` and `raised`; one at a time the others.
"""

from collections import deque
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from pinyon.engine.query_sample import QuerySample
from pinyon.engine.search import search
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.view import View
from pinyon.model.record import Float32s, Match, SparseVector

_WAITING_MAX: Final = 16
_COMPARISONS: Final = 64
"""How many of the last comparisons count."""

_COMPARISONS_MIN: Final = 8
"""With fewer, nothing is said."""

_COMPARISONS_ENOUGH: Final = 32
"""With fewer, chance is reckoned with: the mean must be below the target by two standard errors."""

_TUNING_QUERIES_MIN: Final = 24
"""With fewer queries of callers, rows tell more."""

_BYTES_PER_TICK: Final = 64 * 1024 * 1024
"""What a comparison reads is paid off by so much at each tick; until then no query is kept."""

_TICKS_PER_QUERY_MIN: Final = 10

_FACTOR_MIN: Final = 1 / 64


class KeptQuery(NamedTuple):
    """A query to compare, and where it was asked."""

    namespace: str
    plan: SearchPlan


@dataclass(frozen=True, slots=True)
class RecallGauge:
    """What comparisons found lately.

    Attributes:
        recall: the mean over the last comparisons; None while they are too few.
        comparisons: how many these are.
        loss_factor: searches are told to lose this share of what they may: 1, or less where the recall was too low.
    """

    recall: float | None
    comparisons: int
    loss_factor: float


class RecallWatch:
    """Keeps queries, compares them, and says how much better than asked searches must be."""

    def __init__(self) -> None:
        """Begin with nothing known, and trust in what was tuned."""
        self._waiting: deque[KeptQuery] = deque(maxlen=_WAITING_MAX)
        self._sample = QuerySample()
        self._recalls: deque[float] = deque(maxlen=_COMPARISONS)
        self._debt_bytes = 0
        self._factor = 1.0
        self._highest_asked = 0.0

    @property
    def gauge(self) -> RecallGauge:
        """What is known now."""
        recalls = list(self._recalls)
        mean = float(np.mean(recalls)) if len(recalls) >= _COMPARISONS_MIN else None
        return RecallGauge(mean, len(recalls), self._factor)

    @property
    def has_waiting(self) -> bool:
        """True if there is a query to compare."""
        return bool(self._waiting)

    def raised(self, target_recall: float) -> float:
        """The recall to ask structures for, so that queries find `target_recall`."""
        return 1 - (1 - target_recall) * self._factor if self._factor < 1 else target_recall

    def wanted(self, promised_recall: float) -> float:
        """The highest recall that structures are asked for, short of looking at all rows: what to tune them for."""
        return self.raised(max(promised_recall, self._highest_asked))

    def offer(self, view: View, plan: SearchPlan) -> None:
        """Keep a query, if it is searched approximately and it is time for one."""
        if self._highest_asked < plan.target_recall < 1:
            self._highest_asked = plan.target_recall
        if plan.dense is None or plan.target_recall >= 1:
            return
        searched = [part for part in view.parts if part.live.structures is not None]
        if not searched:
            return
        self._sample.add(searched[0].rows.name, plan.dense)
        if self._debt_bytes > 0:
            return
        self._debt_bytes = max(sum(part.size_bytes for part in searched), _TICKS_PER_QUERY_MIN * _BYTES_PER_TICK)
        self._waiting.append(KeptQuery(searched[0].rows.name, _own(plan)))

    def tick(self) -> None:
        """Pay off what comparisons read. Called every second or so."""
        self._debt_bytes = max(self._debt_bytes - _BYTES_PER_TICK, 0)

    def take(self) -> KeptQuery | None:
        """The query that waits longest."""
        if not self._waiting:
            return None
        return self._waiting.popleft()

    def queries(self, namespace: str) -> Float32s | None:
        """Vectors of queries of a namespace, `(q, dimension)`, to tune with; None while they are too few."""
        has_some = self._sample.count(namespace) >= _TUNING_QUERIES_MIN
        return self._sample.vectors(namespace) if has_some else None

    def add(self, recall: float, target_recall: float) -> float | None:
        """Note what a comparison found; the mean if it is too low, and searches now try harder, else None."""
        self._recalls.append(recall)
        count, mean = len(self._recalls), float(np.mean(self._recalls))
        error = 0.0 if count >= _COMPARISONS_ENOUGH else float(np.std(self._recalls)) / count**0.5
        if count >= _COMPARISONS_MIN and mean + 2 * error < target_recall:
            self._set_factor(max(self._factor / 2, _FACTOR_MIN))
            return mean
        half_lost = 1 - (1 - target_recall) / 2
        if self._factor < 1 and count == _COMPARISONS and mean > half_lost:
            self._set_factor(min(2 * self._factor, 1.0))
        return None

    def _set_factor(self, factor: float) -> None:
        """Try harder or less hard; what was found before says nothing about that."""
        self._factor = factor
        self._recalls.clear()


def compare(view: View, plan: SearchPlan, target_recall: float) -> float | None:
    """The share of the true best matches that a search for `target_recall` finds; None where nothing matches."""
    truth = search(view, replace(plan, target_recall=1.0))
    if not truth:
        return None
    found = search(view, replace(plan, target_recall=target_recall))
    return _share(found, truth, plan)


def _share(found: list[Match], truth: list[Match], plan: SearchPlan) -> float:
    """How many of the results are as good as the last true one: rows that are equally good may stand for each other."""
    sign = 1 if plan.metric.higher_is_better else -1
    last = sign * truth[-1].score
    return sum(sign * match.score >= last for match in found) / len(truth)


def _own(plan: SearchPlan) -> SearchPlan:
    """The plan without what only its caller needs, and with vectors that keep no body of a request alive."""
    sparse = plan.sparse
    return replace(
        plan,
        dense=None if plan.dense is None else plan.dense.copy(),
        sparse=None if sparse is None else SparseVector(sparse.indices.copy(), sparse.values.copy()),
        include_values=False,
        include_metadata=False,
    )
