"""The table of efforts knows the least effort for a recall, and never promises what was not measured."""

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from pinyon.ann.effort import (
    Effort,
    EffortTable,
    Measurement,
    Search,
    effort_for_count,
    measure,
    measure_graph,
    measure_quantised,
    unmeasured_effort,
)
from pinyon.model.record import Int64s

NEAREST: Int64s = np.arange(1000).reshape(100, 10)


def measurement(recall: float, pool: int, probes: int | None = None) -> Measurement:
    return Measurement(Effort(pool, probes), recall, 0.0)


def finds(share: float, number: int) -> Int64s:
    """The first rows of a sample's nearest, and others that are not."""
    count = round(10 * share)
    return np.concatenate([NEAREST[number][:count], -np.arange(1, 11 - count)])


def for_each(search: Callable[[int, Effort], Int64s], nearest: Int64s = NEAREST) -> Search:
    """A search for every query of a sample."""
    return lambda effort: [search(number, effort) for number in range(len(nearest))]


TABLE = EffortTable((measurement(0.8, 100, 10), measurement(0.9, 120, 15), measurement(0.98, 200, None)))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (0.5, Effort(100, 10)),
        (0.8, Effort(100, 10)),
        (0.84, Effort(108, 12)),
        (0.9, Effort(120, 15)),
        (0.91, Effort(130, None)),
        (0.98, Effort(200, None)),
        (0.981, None),
    ],
)
def test_efforts_between_two_measurements_are_interpolated(target: float, expected: Effort | None) -> None:
    assert TABLE.effort_for(target) == expected


def test_without_measurements_only_looking_at_all_rows_will_do() -> None:
    assert EffortTable().effort_for(0.1) is None


def test_a_measured_recall_is_trusted_less_its_standard_error() -> None:
    table = EffortTable((Measurement(Effort(10), 0.97, 0.01), Measurement(Effort(20), 0.99, 0.005)))
    assert table.effort_for(0.96) == Effort(10)
    assert table.effort_for(0.97) == Effort(14)
    assert table.effort_for(0.99) is None


def test_measuring_counts_the_rows_that_were_found() -> None:
    shares = {10: 0.5, 20: 0.4, 30: 0.8, 40: 1.0, 50: 1.0}
    efforts = [Effort(pool) for pool in shares]
    table = measure(for_each(lambda number, effort: finds(shares[effort.pool], number)), NEAREST, efforts)
    assert [each.effort.pool for each in table.measurements] == [10, 30, 40]
    assert [each.recall for each in table.measurements] == pytest.approx([0.5, 0.8, 1.0])
    assert [each.standard_error for each in table.measurements] == pytest.approx([0, 0, 0])


def test_the_standard_error_is_that_of_the_mean() -> None:
    table = measure(for_each(lambda number, _: finds(number % 2, number)), NEAREST, [Effort(10)])
    assert table.measurements == (Measurement(Effort(10), 0.5, 0.05),)


def test_nothing_is_tried_beyond_the_target() -> None:
    tried = []

    def search(number: int, effort: Effort) -> Int64s:
        tried.append(effort.pool)
        return finds(effort.pool / 100, number)

    table = measure(for_each(search), NEAREST, [Effort(pool) for pool in (50, 90, 100)], 0.9)
    assert set(tried) == {50, 90}
    assert table.effort_for(0.9) == Effort(90)


def test_quantised_partitions_get_a_pool_first_and_then_probes() -> None:
    def search(number: int, effort: Effort) -> Int64s:
        by_pool = min(1.0, 0.5 + effort.pool / 320)
        by_probes = 1.0 if effort.probes is None else min(1.0, 0.1 + effort.probes / 20)
        return finds(by_pool * by_probes, number)

    table = measure_quantised(for_each(search), NEAREST, 100_000, 64, 0.9, 0.9)
    effort = table.effort_for(0.9)
    assert effort is not None
    assert effort.pool == 160
    assert effort.probes is not None
    assert 16 <= effort.probes <= 20
    recalls = [each.sure_recall for each in table.measurements]
    assert recalls == sorted(set(recalls))
    least = table.effort_for(0.2)
    assert least is not None
    assert least.probes is not None
    assert least.probes < effort.probes
    assert table.effort_for(1.0) == Effort(160, table.measurements[-1].effort.probes)


def test_what_is_promised_takes_a_smaller_pool_than_what_may_be_asked_for() -> None:
    def search(number: int, effort: Effort) -> Int64s:
        by_pool = 0.9 if effort.pool < 160 else 1.0
        by_probes = 1.0 if effort.probes is None else min(1.0, 0.1 + effort.probes / 20)
        return finds(by_pool * by_probes, number)

    table = measure_quantised(for_each(search), NEAREST, 100_000, 64, 0.5, 0.97)
    promised, most = table.effort_for(0.5), table.effort_for(0.97)
    assert promised is not None
    assert most is not None
    assert promised.pool < most.pool
    assert promised.probes is not None
    assert most.probes is not None
    assert promised.probes < most.probes
    recalls = [each.sure_recall for each in table.measurements]
    assert recalls == sorted(set(recalls))


def test_one_partition_is_always_probed() -> None:
    table = measure_quantised(
        for_each(lambda number, effort: finds(min(effort.pool / 50, 1), number)), NEAREST, 45, 1, 1.0, 1.0
    )
    assert [each.effort for each in table.measurements] == [Effort(40), Effort(45)]


def test_a_graph_is_measured_up_to_the_rows_that_it_has() -> None:
    table = measure_graph(for_each(lambda number, effort: finds(effort.pool / 100, number)), NEAREST, 70)
    assert table.measurements[-1].effort == Effort(70)
    assert table.effort_for(0.9) is None


def test_a_table_survives_being_written() -> None:
    assert msgspec.json.decode(msgspec.json.encode(TABLE), type=EffortTable) == TABLE


@pytest.mark.parametrize(
    ("top_k", "expected"),
    [
        (10, Effort(100, 8)),
        (20, Effort(140, 11)),
        (55, Effort(280, 14)),
        (100, Effort(460, 16)),
        (200, Effort(920, 20)),
        (1000, Effort(4600, 32)),
    ],
)
def test_the_effort_for_other_counts_is_between_and_beyond_those_that_were_measured(
    top_k: int, expected: Effort
) -> None:
    assert effort_for_count(Effort(100, 8), Effort(460, 16), top_k, 10**6) == expected


def test_probes_grow_a_little_even_if_they_did_not_from_few_to_many() -> None:
    assert effort_for_count(Effort(100, 16), Effort(400, 16), 1000, 10**6) == Effort(4000, 26)


def test_all_partitions_are_looked_into_where_as_much_is_spent_on_scores() -> None:
    assert effort_for_count(Effort(100, 8), Effort(400, 16), 200, 12_800) == Effort(800)
    assert effort_for_count(Effort(100, 8), Effort(400, 16), 200, 12_801) == Effort(800, 20)
    assert effort_for_count(Effort(100), Effort(400, 16), 50, 12_800) == Effort(234)


def test_without_a_measurement_for_many_the_pool_grows() -> None:
    assert unmeasured_effort(Effort(40, 7), 100) == Effort(220, 7)


def test_a_graph_is_not_measured_with_counts_that_cost_more_than_others() -> None:
    nearest = np.arange(200).reshape(2, 100)
    search = for_each(lambda number, effort: nearest[number][: effort.pool // 100], nearest)
    table = measure_graph(search, nearest, 100_000)
    assert table.measurements[-1].effort == Effort(3200)


def test_a_pool_of_thousands_is_tried_before_all_rows_are_scored() -> None:
    nearest = np.arange(80).reshape(8, 10)

    def search(number: int, effort: Effort) -> np.ndarray:
        return nearest[number] if effort.pool >= 3000 else nearest[number, :5]

    effort = measure_quantised(for_each(search, nearest), nearest, 100_000, 300, 0.97, 0.995).effort_for(0.97)
    assert effort is not None
    assert effort.pool == 5120
