"""The recall of an index: where it comes from, what is tuned for it, and what follows when queries find less."""

import logging
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from pinyon.ann import graph
from pinyon.ann.effort import Effort, EffortTable, Measurement
from pinyon.engine.compaction import compact
from pinyon.engine.graphs import build_graph, open_graph
from pinyon.engine.index import Index
from pinyon.engine.operations import DeleteRecords, UpsertRecords
from pinyon.engine.part import LiveSegment
from pinyon.engine.part_search import search_part
from pinyon.engine.search_plan import SearchPlan
from pinyon.engine.segment_build import BuildOptions
from pinyon.engine.tuning import Tuner
from pinyon.errors import DataLossError
from pinyon.model.metric import Metric
from pinyon.model.recall import TARGET_RECALL_TAG
from pinyon.model.record import Float32s, RecordBatch
from pinyon.segment.manifest import read_manifest
from tests.unit.engine.searched_index import clustered, plan, searched_index

ROWS = np.random.default_rng(1).standard_normal((5000, 24), dtype=np.float32)
"""Without clusters, and so many that there are partitions: one of them has few of the nearest rows."""

WIDE_ROWS = np.random.default_rng(3).standard_normal((3000, 256), dtype=np.float32)
WIDE_QUERIES = np.random.default_rng(4).standard_normal((30, 256), dtype=np.float32)
"""So wide that all rows are about equally far from a query, and estimates tell them apart badly."""

QUERIES = np.random.default_rng(2).standard_normal((40, 24), dtype=np.float32)
TAG = TARGET_RECALL_TAG


def segment_of(index: Index) -> LiveSegment:
    (part,) = index.read("n")[0].parts
    return part.live


def found(index: Index, asked: SearchPlan) -> list[str]:
    return [match.id for match in index.search(index.read("n")[0], asked)]


def change_tag(index: Index, value: str) -> None:
    index.definition = msgspec.structs.replace(index.definition, tags={TAG: value})


def mean_recall(index: Index, queries: Float32s, top_k: int, metric: Metric = Metric.COSINE) -> float:
    """The share of the true nearest that queries find which ask for 0.9."""
    plans = [plan(query, metric, top_k=top_k, target_recall=0.9) for query in queries]
    shares = [len({*found(index, each)} & {*found(index, replace(each, target_recall=1.0))}) / top_k for each in plans]
    return float(np.mean(shares))


def compare_queries(index: Index, queries: Float32s) -> None:
    """Ask queries, each after a pause that is long enough for it to be compared."""
    for query in queries:
        index.search(index.read("n")[0], plan(query))
        for _ in range(10):
            index.maintenance.recall.watch.tick()
        index.maintenance.settle()


def test_an_index_promises_what_its_tag_says_and_else_what_the_server_does() -> None:
    index = searched_index(ROWS, target_recall=0.8)
    assert index.target_recall == 0.8
    change_tag(index, "0.95")
    assert index.target_recall == 0.95


@pytest.mark.parametrize("recall", [0.5, 0.99])
def test_structures_are_tuned_for_the_target_and_beyond(recall: float) -> None:
    table = segment_of(searched_index(ROWS, tags={TAG: str(recall)})).efforts["quantised"]
    assert table.effort_for(recall) is not None
    assert table.effort_for(0.99) is not None, "a query may ask for more"


def test_a_target_that_rises_beyond_what_was_tuned_is_tuned_for() -> None:
    index = searched_index(ROWS, tags={TAG: "0.6"})
    live, tunings = segment_of(index), index.maintenance.counts["tune"]
    live.efforts = {"quantised": EffortTable(live.efforts["quantised"].measurements[:1])}
    index.maintenance.settle()
    assert index.maintenance.counts["tune"] == tunings
    change_tag(index, "0.99")
    index.maintenance.settle()
    assert index.maintenance.counts["tune"] == tunings + 1
    assert live.efforts["quantised"].effort_for(0.99) is not None


def test_what_a_tuning_cannot_reach_is_not_tuned_for_again() -> None:
    index = searched_index(ROWS, tags={TAG: "0.9999999"})
    tunings = index.maintenance.counts["tune"]
    segment_of(index).efforts = {"quantised": EffortTable()}
    index.maintenance.settle()
    assert index.maintenance.counts["tune"] == tunings


def test_a_recall_beyond_what_was_measured_looks_at_all_rows() -> None:
    index = searched_index(WIDE_ROWS)
    live = segment_of(index)
    live.efforts = {"quantised": EffortTable((Measurement(Effort(10, 1), 0.7, 0.0),))}
    view, _ = index.read("n")
    for query in WIDE_QUERIES:
        asked = plan(query, target_recall=0.99)
        exact = search_part(view.parts[0], view.lsn, replace(asked, target_recall=1.0))
        assert search_part(view.parts[0], view.lsn, asked).goodness.tolist() == exact.goodness.tolist()


def test_a_structure_that_reaches_a_recall_is_used_where_another_does_not() -> None:
    index = searched_index(WIDE_ROWS, graph_rows_min=1000)
    live = segment_of(index)
    assert live.has_graph
    never = EffortTable((Measurement(Effort(1), 0.1, 0.0),))
    everything = EffortTable((Measurement(Effort(3000), 1.0, 0.0),))
    for query in WIDE_QUERIES:
        # For more than 0.99, what was found is scored to the last row.
        asked = plan(query, target_recall=0.991)
        truth = found(index, replace(asked, target_recall=1.0))
        live.efforts = {"graph": never, "quantised": everything}
        assert found(index, asked) == truth
        live.efforts = {"graph": everything, "quantised": never}
        assert found(index, asked) == truth
        live.efforts = {"graph": everything, "graph 100": never, "quantised": everything}
        truth_of_100 = found(index, replace(asked, top_k=100, target_recall=1.0))
        assert found(index, replace(asked, top_k=100)) == truth_of_100
        live.efforts = {"graph": never, "quantised": everything, "quantised 100": never}
        assert found(index, replace(asked, top_k=100)) == truth_of_100


def test_queries_that_find_too_little_are_told_and_searched_harder(caplog: pytest.LogCaptureFixture) -> None:
    index = searched_index(ROWS, tags={TAG: "0.9"})
    live = segment_of(index)
    too_little = EffortTable((Measurement(Effort(10, 1), 0.92, 0.0), Measurement(Effort(400), 1.0, 0.0)))
    live.efforts = {**live.efforts, "quantised": too_little}
    with caplog.at_level(logging.WARNING):
        compare_queries(index, QUERIES[:20])
    assert caplog.messages[0] == "recall below target; searches try harder"
    assert caplog.records[0].__dict__["pinyon_fields"]["target"] == 0.9
    gauge = index.report().recall
    assert gauge.loss_factor < 1
    assert gauge.target == 0.9


def test_structures_are_tuned_again_with_the_queries_of_callers() -> None:
    index = searched_index(ROWS, tags={TAG: "0.9"})
    live = segment_of(index)
    lie = EffortTable((Measurement(Effort(10, 1), 0.999999, 0.0),))
    compare_queries(index, QUERIES[:30])
    live.efforts = {"quantised": lie}
    compare_queries(index, QUERIES[::-1])
    assert live.efforts["quantised"] != lie
    assert mean_recall(index, QUERIES, 10) >= 0.9
    assert mean_recall(index, QUERIES, 100) >= 0.9, "though callers asked for 10"


def test_a_tuning_that_failed_is_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    index = searched_index(ROWS, tags={TAG: "0.9"})
    live = segment_of(index)
    for query in QUERIES:
        found(index, plan(query))
    recall = index.maintenance.recall
    assert recall.untuned(live) == []

    def fail(*_: object) -> EffortTable:
        raise DataLossError("a file is damaged")

    recall._distrust([live])
    with monkeypatch.context() as patched:
        patched.setattr(Tuner, "quantised", fail)
        with pytest.raises(DataLossError):
            recall.tune(live, ["quantised"])
    assert recall.untuned(live) == ["quantised"]
    index.maintenance.settle()
    assert recall.untuned(live) == []


def test_what_is_reached_is_worked_out_once_for_recalls_that_are_asked_for_now() -> None:
    live = segment_of(searched_index(ROWS))
    for recall in np.linspace(0.5, 0.9, 200):
        live.reach("quantised", recall)
    assert live.reach("quantised", 0.95) is live.reach("quantised", 0.95)
    assert len(live._reach) <= 64


def test_a_new_segment_is_searched_as_far_as_one_that_was_tuned() -> None:
    index = searched_index(ROWS, tags={TAG: "0.9"})
    new = np.random.default_rng(8).standard_normal((5000, 24), dtype=np.float32)
    index.write(UpsertRecords("n", RecordBatch([f"new {row}" for row in range(5000)], new, None, None)))
    index.maintenance.flush()
    tuned, fresh = (part.live for part in index.read("n")[0].parts)
    assert fresh.reach("quantised", 0.9) == (True, None)
    index.maintenance.tick()
    guessed = fresh.reach("quantised", 0.9).effort
    assert guessed is not None
    assert guessed.probes is not None
    assert 0 < guessed.probes < len(fresh.segment.extra("partition_starts")) - 1
    assert not fresh.efforts
    for_100 = fresh.reach("quantised", 0.9, 100).effort
    assert for_100 is not None
    assert for_100.probes is not None
    assert for_100.probes > guessed.probes
    known = tuned.reach("quantised", 0.9, 100).effort
    assert known is not None
    assert for_100.pool == known.pool
    assert mean_recall(index, QUERIES, 10) >= 0.9
    assert mean_recall(index, QUERIES, 100) >= 0.9
    fresh.efforts = tuned.efforts
    assert fresh.reach("quantised", 0.9) == tuned.reach("quantised", 0.9)


def test_a_larger_segment_is_searched_in_more_partitions_than_the_one_that_was_tuned() -> None:
    index = searched_index(ROWS, tags={TAG: "0.9"})
    new = np.random.default_rng(8).standard_normal((8000, 24), dtype=np.float32)
    index.write(UpsertRecords("n", RecordBatch([f"new {row}" for row in range(8000)], new, None, None)))
    index.maintenance.flush()
    tuned, fresh = (part.live for part in index.read("n")[0].parts)
    index.maintenance.tick()
    known, guessed = (live.reach("quantised", 0.9).effort for live in (tuned, fresh))
    assert known is not None
    assert guessed is not None
    assert known.probes is not None
    assert guessed.probes is not None
    assert 1.4 * known.probes <= guessed.probes <= 1.5 * known.probes + 1
    assert guessed.pool == known.pool


def test_a_merged_segment_is_searched_as_far_as_one_that_was_tuned_before_it_went() -> None:
    index = searched_index(ROWS, tags={TAG: "0.9"})
    tuned = segment_of(index)
    index.write(DeleteRecords("n", [f"{row}" for row in range(0, len(ROWS), 3)]))
    index.maintenance.flush()
    index.maintenance.tick()
    compact(index._state, [tuned], BuildOptions(dedicated_rows_min=500))
    merged = segment_of(index)
    assert merged is not tuned
    index.maintenance.tick()
    assert not merged.efforts
    guessed = merged.reach("quantised", 0.9).effort
    assert guessed is not None
    assert guessed.probes is not None


def test_comparing_passes_over_what_is_gone() -> None:
    index = searched_index(ROWS)
    index.search(index.read("n")[0], plan(QUERIES[0]))
    del index._state.namespaces.by_name["n"]
    index.maintenance.settle()
    assert index.report().recall.comparisons == 0


def test_many_rows_that_are_the_same_are_tuned_as_what_they_are_worth() -> None:
    index = searched_index(np.repeat(clustered(10, 24), 300, axis=0))
    table = segment_of(index).efforts["quantised"]
    effort = table.effort_for(0.97)
    assert effort is not None
    assert effort.pool == 40, "any 10 of the 300 will do"


def test_rows_far_from_the_origin_are_not_taken_for_near_ones() -> None:
    rows = np.random.default_rng(6).standard_normal((5000, 24), dtype=np.float32) + 300
    index = searched_index(rows)
    view, _ = index.read("n")
    shares = []
    for row in rows[::250]:
        asked = plan(row + np.float32(0.01))
        exact = {each for each in search_part(view.parts[0], view.lsn, replace(asked, target_recall=1.0)).rows[:10]}
        shares.append(len(exact & set(search_part(view.parts[0], view.lsn, asked).rows.tolist())) / len(exact))
    assert np.mean(shares) > 0.95


class Uneven(NamedTuple):
    metric: Metric
    searched: Index


def uneven(row_count: int, metric: Metric, seed: int) -> Float32s:
    """Rows in clusters smaller than what is asked for; their lengths vary where the metric cares."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((60, 48))
    rows = centres[rng.integers(0, len(centres), row_count)] + 1.2 * rng.standard_normal((row_count, 48))
    if metric is not Metric.COSINE:
        rows *= np.exp(rng.normal(0, 0.3, (row_count, 1)))
    found: Float32s = rows.astype(np.float32)
    return found


@pytest.fixture(scope="module", params=Metric)
def many_asked(request: pytest.FixtureRequest) -> Uneven:
    """An index with a graph that promises 0.9."""
    metric: Metric = request.param
    return Uneven(metric, searched_index(uneven(5000, metric, 1), metric, tags={TAG: "0.9"}, graph_rows_min=1000))


@pytest.mark.parametrize("top_k", [30, 100, 300])
@pytest.mark.parametrize("structure", ["quantised", "graph"])
def test_what_is_promised_is_found_of_many_results_too(
    many_asked: Uneven, structure: str, top_k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric, index = many_asked
    live = segment_of(index)
    assert live.structures is not None
    assert live.reach(structure, 0.9, top_k).is_reached
    if structure == "quantised":
        monkeypatch.setattr(live.structures, "graph", None)
    assert mean_recall(index, uneven(60, metric, 2), top_k, metric) >= 0.9


def test_efforts_for_many_results_are_kept_beside_those_for_few(many_asked: Uneven) -> None:
    live, store = segment_of(many_asked.searched), many_asked.searched._state.store
    assert sorted(live.efforts) == ["graph", "graph 100", "quantised", "quantised 100"]
    manifest = read_manifest(store.storage, "indexes/1")
    assert manifest is not None
    assert manifest.segments[0].efforts == live.efforts


def test_without_efforts_for_many_results_those_for_few_serve_until_the_next_pause() -> None:
    index = searched_index(ROWS, tags={TAG: "0.9"})
    live, recall = segment_of(index), index.maintenance.recall
    live.efforts = {"quantised": EffortTable((Measurement(Effort(40, 7), 0.99, 0.0),))}
    assert live.reach("quantised", 0.9, 100) == (True, Effort(220, 7))
    recall._tuned_for.clear()  # As after a start.
    assert recall.untuned(live) == ["quantised"]
    index.maintenance.settle()
    assert live.efforts["quantised 100"].effort_for(0.9) is not None


def test_of_few_rows_it_is_not_measured_how_to_find_many() -> None:
    live = segment_of(searched_index(ROWS[:3500], graph_rows_min=1000))
    assert sorted(live.efforts) == ["graph", "quantised"]


def test_a_graph_that_does_not_find_few_is_not_asked_for_many() -> None:
    live = segment_of(searched_index(ROWS))
    reaches = EffortTable((Measurement(Effort(200), 0.99, 0.0),))
    live.efforts = {"graph": EffortTable(), "graph 100": reaches}
    assert live.reach("graph", 0.9, 100) == (False, None)
    live.efforts = {"graph": reaches, "graph 100": EffortTable()}
    assert live.reach("graph", 0.9, 10) == (True, Effort(200))
    assert live.reach("graph", 0.9, 11) == (False, None)


def test_a_graph_is_built_on_as_many_threads_as_the_options_say(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def build(*arguments: Any, **options: Any) -> bytes | None:
        seen.append(options["threads"])
        return graph.build(*arguments, **options)

    monkeypatch.setattr("pinyon.engine.graphs.graph", SimpleNamespace(build=build, build_bytes=graph.build_bytes))
    index = searched_index(ROWS, graph_rows_min=1000, build_threads=3)
    assert seen == [3]
    assert found(index, plan(ROWS[0], top_k=1)) == ["0"]


def test_building_a_graph_may_be_stopped_and_what_a_failure_left_is_no_hindrance() -> None:
    index = searched_index(ROWS)
    live, store = segment_of(index), index._state.store
    tuner = Tuner(live, Metric.COSINE)
    assert build_graph(store, live, lambda: True, tuner, 0.9) is None
    store.storage.create(store.graph_path(live.number)).close()
    assert sorted(build_graph(store, live, lambda: False, tuner, 0.9) or {}) == ["graph", "graph 100"]
    assert open_graph(store, live).row_count == len(ROWS)


def test_the_graph_of_another_segment_is_refused() -> None:
    index, other = (searched_index(rows, graph_rows_min=1000) for rows in (ROWS, ROWS[:4000]))
    live, store = segment_of(index), index._state.store
    path = store.graph_path(live.number)
    store.storage.replace(path, bytes(other._state.store.storage.read(path)))
    with pytest.raises(DataLossError, match="is not the graph of its segment"):
        open_graph(store, live)
