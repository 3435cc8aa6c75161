"""Which queries are kept, what comparing them says, and what follows."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pinyon.engine.part import LiveSegment, Part
from pinyon.engine.recall_watch import RecallWatch, compare
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.view import View
from pinyon.model.metric import Metric
from pinyon.segment.segment import NamespaceRows
from tests.unit.engine.searched_index import clustered, plan, searched_index

TARGET = 0.9


def view_of(*, is_dedicated: bool = True, name: str = "n") -> View:
    """A view of one part, of which only what the watch looks at is there."""

    class Segment:
        nbytes, row_count = 4000, 1000

    live: Any = object.__new__(LiveSegment)
    live.segment, live.structures = Segment(), object() if is_dedicated else None
    return View(1, (), (Part(live, NamespaceRows(name, 0, 1000)),))


def query(**changes: Any) -> SearchPlan:
    return replace(plan(np.arange(4, dtype=np.float32)), **changes)


def test_the_first_query_is_kept_and_the_next_only_after_a_while() -> None:
    watch = RecallWatch()
    for _ in range(3):
        watch.offer(view_of(), query())
    assert watch.take() is not None
    assert watch.take() is None
    for _ in range(9):
        watch.tick()
    watch.offer(view_of(), query())
    assert not watch.has_waiting
    watch.tick()
    watch.offer(view_of(name="m"), query())
    kept = watch.take()
    assert kept is not None
    assert kept.namespace == "m"


@pytest.mark.parametrize(
    "changes", [{"target_recall": 1.0}, {"dense": None}], ids=["an exact search", "a sparse search"]
)
def test_what_is_searched_exactly_is_not_kept(changes: dict[str, Any]) -> None:
    watch = RecallWatch()
    watch.offer(view_of(), query(**changes))
    assert not watch.has_waiting


def test_what_is_in_no_structure_is_not_kept() -> None:
    watch = RecallWatch()
    watch.offer(view_of(is_dedicated=False), query())
    watch.offer(View(1), query())
    assert not watch.has_waiting


def test_what_is_kept_is_bounded() -> None:
    watch = RecallWatch()
    for _ in range(100):
        watch.offer(view_of(), query())
        for _ in range(10):
            watch.tick()
    taken = 0
    while watch.take() is not None:
        taken += 1
    assert taken == 16


def test_what_is_kept_holds_no_body_of_a_request() -> None:
    body = np.arange(8, dtype=np.float32)
    watch = RecallWatch()
    watch.offer(view_of(), query(dense=body[:4], include_values=True, include_metadata=True))
    kept = watch.take()
    assert kept is not None
    assert kept.plan.dense is not None
    assert kept.plan.dense.base is None
    assert not kept.plan.include_values
    assert not kept.plan.include_metadata


def test_searches_try_harder_while_the_mean_is_below_the_target_and_less_once_it_is_far_above() -> None:
    watch = RecallWatch()
    assert watch.raised(TARGET) == TARGET
    lows = [watch.add(0.8, TARGET) for _ in range(8)]
    assert lows == [None] * 7 + [pytest.approx(0.8)]
    assert watch.raised(TARGET) == pytest.approx(0.95)
    assert watch.gauge.comparisons == 0
    assert [watch.add(1.0, TARGET) for _ in range(64)] == [None] * 64
    assert watch.raised(TARGET) == TARGET


def test_where_it_is_just_right_nothing_changes() -> None:
    watch = RecallWatch()
    for number in range(200):
        assert watch.add(0.8 if number % 2 else 1.0, TARGET - 0.001) is None
    assert watch.gauge.recall == pytest.approx(0.9)
    assert watch.gauge.loss_factor == 1


def test_chance_is_reckoned_with_while_comparisons_are_few() -> None:
    watch = RecallWatch()
    # The mean is 0.85, and so is that of what may well be 0.9.
    values = [0.6, 1.0, 1.0, 0.8] * 8
    assert [watch.add(value, TARGET) for value in values[:31]] == [None] * 31
    assert watch.add(values[31], TARGET) == pytest.approx(0.85)


def test_effort_is_bounded() -> None:
    watch = RecallWatch()
    for _ in range(200):
        watch.add(0.0, TARGET)
    assert watch.gauge.loss_factor == 1 / 64


def test_a_recall_that_callers_ask_for_is_tuned_for() -> None:
    watch = RecallWatch()
    assert watch.wanted(0.97) == 0.97
    watch.offer(view_of(), query(target_recall=0.99))
    watch.offer(view_of(), query(target_recall=1.0))
    assert watch.wanted(0.97) == 0.99


def test_rows_that_are_equally_good_stand_for_each_other() -> None:
    index = searched_index(np.repeat(clustered(8, 16), 100, axis=0))
    view, _ = index.read("n")
    assert compare(view, plan(clustered(1, 16, seed=3)[0]), 0.5) == 1.0


@pytest.mark.parametrize("metric", list(Metric))
def test_comparing_tells_the_share_of_the_true_nearest(metric: Metric) -> None:
    index = searched_index(clustered(3000, 16), metric=metric)
    view, _ = index.read("n")
    asked = plan(clustered(1, 16, seed=3)[0], metric)
    assert compare(view, asked, 1.0) == 1.0
    truth = {match.id for match in index.search(view, replace(asked, target_recall=1.0))}
    found = {match.id for match in index.search(view, replace(asked, target_recall=0.1))}
    assert compare(view, asked, 0.1) == len(truth & found) / 10


def test_nothing_to_find_says_nothing() -> None:
    assert compare(View(1), plan(np.ones(4, np.float32)), 0.9) is None
