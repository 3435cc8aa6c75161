"""How hard a structure must look to find what it should: measured when it is built, and kept with it.

An effort is what a search is told. Its recall is the share of the k nearest rows that the search finds, on average over
sample queries. A table holds the cheapest efforts that were measured, cheapest first, so that recall grows.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from math import ceil, log
from typing import Final

import msgspec
import numpy as np

from pinyon.model.record import Int64s

FEW: Final = 10
MANY: Final = 100
"""Results for which efforts are measured."""

_PROBES_POWER: Final = 0.2
"""Ten times as many rows are in 1.1 to 1.4 times as many partitions (measured on real texts, by all metrics)."""

_ALL_PROBES_SHARE: Final = 16
"""To look into all partitions costs less than to score one row in so many."""

_UNMEASURED_POOL_SHARE: Final = 2
"""Rows more in a pool for each result more, where only few were measured."""

_MARGIN: Final = 1.0
"""Standard errors by which a measured recall must exceed a target."""

_POOLS: Final = (4, 8, 16, 32, 64, 128, 256, 512)
_COUNTS: Final = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192)
"""Sizes of pools and counts that are tried, as multiples of the number of rows to find."""

_COUNT_MAX: Final = 3200
"""A graph that needs more costs more than other structures."""


class Effort(msgspec.Struct, frozen=True):
    """What a search is told.

    Attributes:
        pool: candidates, of which as many as needed are scored exactly: `pool` of quantised partitions, `count` of a
            graph.
        probes: partitions to look into; None for all, and for a graph.
    """

    pool: int
    probes: int | None = None

    def times(self, *, pool: float = 1, probes: float = 1) -> "Effort":
        """So many times the pool and the probes, rounded up."""
        return Effort(ceil(pool * self.pool), None if self.probes is None else ceil(probes * self.probes))


class Measurement(msgspec.Struct, frozen=True):
    """The recall that an effort reached: mean over the sample, and the standard error of that."""

    effort: Effort
    recall: float
    standard_error: float

    @property
    def sure_recall(self) -> float:
        """What the recall is with some certainty at least."""
        return self.recall - _MARGIN * self.standard_error


class EffortTable(msgspec.Struct, frozen=True):
    """Measurements, cheapest first; `sure_recall` grows."""

    measurements: tuple[Measurement, ...] = ()

    def effort_for(self, target_recall: float) -> Effort | None:
        """The least effort that reaches the target; None where none does, and only looking at all rows will do.

        Between two measurements the numbers of an effort are interpolated, and rounded up.
        """
        if self.measurements and self.measurements[0].sure_recall >= target_recall:
            return self.measurements[0].effort
        for low, high in pairwise(self.measurements):
            if low.sure_recall < target_recall <= high.sure_recall:
                share = (target_recall - low.sure_recall) / (high.sure_recall - low.sure_recall)
                return _between(low.effort, high.effort, share, share)
        return None

    def scaled(self, factor: float) -> "EffortTable":
        """With so many times the probes, rounded up."""
        return EffortTable(
            tuple(msgspec.structs.replace(each, effort=each.effort.times(probes=factor)) for each in self.measurements)
        )


def effort_for_count(few: Effort, many: Effort, top_k: int, row_count: int) -> Effort:
    """What finding `top_k` of some rows takes, more than `FEW`, where it is known what `FEW` and `MANY` take.

    The nearest rows are in more partitions as their number is multiplied, so the probes follow its logarithm.
    """
    if top_k <= MANY:
        return _between(few, many, (top_k - FEW) / (MANY - FEW), log(top_k / FEW) / log(MANY / FEW))
    times = top_k / MANY
    power = log(many.probes / few.probes) / log(MANY / FEW) if few.probes and many.probes else 0.0
    effort = many.times(pool=times, probes=times ** max(power, _PROBES_POWER))
    return Effort(effort.pool) if effort.pool * _ALL_PROBES_SHARE >= row_count else effort


def unmeasured_effort(few: Effort, top_k: int) -> Effort:
    """About what finding `top_k` rows takes, more than `FEW`, where only what these take is known."""
    return Effort(few.pool + _UNMEASURED_POOL_SHARE * (top_k - FEW), few.probes)


def _between(low: Effort, high: Effort, share: float, probes_share: float) -> Effort:
    pool = ceil(low.pool + share * (high.pool - low.pool))
    if low.probes is None or high.probes is None:
        return Effort(pool)
    return Effort(pool, ceil(low.probes + probes_share * (high.probes - low.probes)))


Search = Callable[[Effort], Iterable[Int64s]]
"""Finds rows for every sample query with an effort, scores them exactly, and gives the best, at least k where there are
as many."""


def measure(search: Search, nearest: Int64s, efforts: Sequence[Effort], target_recall: float = 1.0) -> EffortTable:
    """Try efforts, and keep those that are worth their cost.

    Args:
        search: what efforts are told to.
        nearest: `(q, k)` int64, the true nearest rows of each sample query.
        efforts: to try, cheapest first.
        target_recall: no effort is tried beyond the first that reaches it.
    """
    kept: list[Measurement] = []
    for effort in efforts:
        recalls = np.array([_recall(found, rows) for found, rows in zip(search(effort), nearest, strict=True)])
        measured = Measurement(effort, float(recalls.mean()), float(recalls.std() / np.sqrt(len(recalls))))
        if not kept or measured.sure_recall > kept[-1].sure_recall:
            kept.append(measured)
        if measured.sure_recall >= target_recall:
            break
    return EffortTable(tuple(kept))


def _recall(found: Int64s, nearest: Int64s) -> float:
    return float(np.isin(nearest, found[: len(nearest)]).mean())


def pool_max(count: int) -> int:
    """The largest pool that is tried, to find `count` rows."""
    return _POOLS[-1] * count


def measure_quantised(
    search: Search,
    nearest: Int64s,
    row_count: int,
    partition_count: int,
    promised_recall: float = 1.0,
    target_recall: float = 1.0,
) -> EffortTable:
    """The table of quantised partitions; arguments as of `measure`, and what will be asked for most.

    First the pools are chosen, by looking into all partitions: one for the promised recall, and one for the target. A
    pool may lose a fifth of what is left to lose, because a larger pool costs less than more partitions. Then, with
    these pools, the partitions.
    """
    count = nearest.shape[1]
    pools = [Effort(pool) for pool in sorted({min(factor * count, row_count) for factor in _POOLS})]
    everywhere = measure(search, nearest, pools, _pool_recall(target_recall))
    shares = (2.0 ** np.arange(-7, 0, 0.5)).tolist() if partition_count > 1 else []
    best = everywhere.measurements[-1]
    probes = sorted({max(1, round(share * partition_count)) for share in shares})
    enough = (each for each in everywhere.measurements if each.sure_recall >= _pool_recall(promised_recall))
    pool, pool_most = next(enough, best).effort.pool, best.effort.pool
    promised: tuple[Measurement, ...] = ()
    if pool < pool_most:
        promised = measure(search, nearest, [Effort(pool, count) for count in probes], promised_recall).measurements
    reached = (promised[-1].effort.probes if promised else None) or 0
    efforts = [Effort(pool_most, count) for count in probes if count >= reached]
    probed = measure(search, nearest, efforts, target_recall).measurements
    return _rising((*promised, *probed, *everywhere.measurements))


def _pool_recall(recall: float) -> float:
    """What a pool must find of all rows, so that with fewer partitions `recall` is found."""
    return (4 + recall) / 5


def _rising(measurements: Iterable[Measurement]) -> EffortTable:
    """Those that are better than all before."""
    kept: list[Measurement] = []
    for each in measurements:
        if not kept or each.sure_recall > kept[-1].sure_recall:
            kept.append(each)
    return EffortTable(tuple(kept))


def measure_graph(search: Search, nearest: Int64s, row_count: int, target_recall: float = 1.0) -> EffortTable:
    """The table of a graph; arguments as of `measure`."""
    count = nearest.shape[1]
    counts = sorted({min(factor * count, row_count) for factor in _COUNTS if factor * count <= _COUNT_MAX})
    return measure(search, nearest, [Effort(count) for count in counts], target_recall)
