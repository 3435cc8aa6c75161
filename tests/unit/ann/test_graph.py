"""A graph finds near rows, says nothing but rows that exist, and refuses bytes that are no graph of them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from usearch.index import Index

from pinyon.ann import graph
from pinyon.ann.graph import Graph
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s
from tests.unit.ann.clustered_vectors import clustered_vectors, nearest_rows, share_found, space_of

COUNT = 200
"""Rows asked for at which nothing real loses more than one row in twenty."""


def build(metric: Metric, rows: Float32s, threads: int = 1) -> bytes:
    built = graph.build(rows.__getitem__, len(rows), space_of(metric, rows), lambda: False, threads=threads)
    assert built is not None
    return bytes(built)


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize(("dimension", "threads"), [(8, 1), (96, 1), (96, 4), (384, 1)])
def test_recall_at_the_documented_effort(metric: Metric, dimension: int, threads: int) -> None:
    vectors = clustered_vectors(metric, dimension, 3000)
    searched = Graph.view(memoryview(build(metric, vectors.rows, threads)), space_of(metric, vectors.rows), 3000)
    assert searched.row_count == 3000
    shares = {count: 0.0 for count in (10, COUNT)}
    share_of_first = 0.0
    for query in vectors.queries:
        nearest = nearest_rows(vectors.rows, query, metric)
        found = np.zeros(0, np.int64)
        for count in shares:
            found = searched.search(query, count)
            assert len(np.unique(found)) == len(found) >= count
            assert found.dtype == np.int64
            shares[count] += share_found(found, nearest) / len(vectors.queries)
        share_of_first += share_found(found[: COUNT // 2], nearest) / len(vectors.queries)
    assert shares[COUNT] >= 0.95
    # Less effort finds less: the number is an effort.
    assert shares[10] < shares[COUNT]
    # The order is nearly right.
    assert share_of_first >= 0.95


def test_more_rows_than_there_are_can_be_asked_for() -> None:
    rows = clustered_vectors(Metric.COSINE, 8, 30).rows
    searched = Graph.view(memoryview(build(Metric.COSINE, rows)), space_of(Metric.COSINE, rows), 30)
    found = searched.search(rows[3], 1000)
    assert sorted(found.tolist()) == list(range(30))
    assert found[0] == 3


def test_building_stops_when_it_is_told_to() -> None:
    rows = clustered_vectors(Metric.COSINE, 8, 5000).rows
    answers = iter([False, False, True])
    assert graph.build(rows.__getitem__, len(rows), space_of(Metric.COSINE, rows), lambda: next(answers)) is None


def test_building_may_be_stopped_before_the_last_rows_are_added() -> None:
    rows = clustered_vectors(Metric.COSINE, 8, 500).rows
    answers, last = iter([False, True]), np.array([3, 7])
    assert graph.build(rows.__getitem__, 500, space_of(Metric.COSINE, rows), lambda: next(answers), last) is None


def test_a_graph_is_measured_before_the_rows_that_were_held_back_are_added() -> None:
    rows = clustered_vectors(Metric.COSINE, 8, 300).rows
    space, last = space_of(Metric.COSINE, rows), np.array([3, 7, 290])
    seen: list[int] = []
    built = graph.build(
        rows.__getitem__,
        300,
        space,
        lambda: False,
        last,
        lambda unfinished: seen.extend(unfinished.search(rows[3], 300)),
    )
    assert built is not None
    assert sorted(seen) == np.delete(np.arange(300), last).tolist()
    assert Graph.view(memoryview(built), space, 300).search(rows[3], 1).tolist() == [3]


def test_one_thread_always_makes_the_same_graph() -> None:
    rows = clustered_vectors(Metric.COSINE, 8, 3000).rows
    assert build(Metric.COSINE, rows) == build(Metric.COSINE, rows)


def test_the_first_rows_are_added_by_one_thread_and_the_others_by_all(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    add = Index.add

    def seen_add(*arguments: Any, **options: Any) -> Any:
        threads.append(options["threads"])
        return add(*arguments, **options)

    monkeypatch.setattr(Index, "add", seen_add)
    build(Metric.COSINE, clustered_vectors(Metric.COSINE, 8, 3000).rows, threads=4)
    assert threads == [1, 4, 4]


@pytest.mark.parametrize("metric", Metric)
def test_bytes_of_something_else_are_refused(metric: Metric) -> None:
    rows = clustered_vectors(metric, 8, 300).rows
    space, built = space_of(metric, rows), build(metric, rows)
    for buffer in (b"", b"x" * 64, built[:1000], bytes(4096)):
        with pytest.raises(ValueError, match="not a graph"):
            Graph.view(memoryview(buffer), space, 300)
    with pytest.raises(ValueError, match="expected 301"):
        Graph.view(memoryview(built), space, 301)
    other = clustered_vectors(metric, 300, 300).rows
    with pytest.raises(ValueError, match="expected 300 ×"):
        Graph.view(memoryview(build(metric, other)), space, 300)


def test_threads_get_the_same_answers() -> None:
    vectors = clustered_vectors(Metric.EUCLIDEAN, 32, 2000)
    searched = Graph.view(
        memoryview(build(Metric.EUCLIDEAN, vectors.rows)), space_of(Metric.EUCLIDEAN, vectors.rows), 2000
    )
    queries = list(vectors.queries) * 5
    alone = [searched.search(query, 30).tolist() for query in queries]
    with ThreadPoolExecutor(8) as pool:
        assert [found.tolist() for found in pool.map(lambda query: searched.search(query, 30), queries)] == alone


def test_threads_search_beside_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing here asserts on time: a thread in a search goes on only once as many others are in theirs as may be.
    monkeypatch.setattr(graph, "_INDEXES", 3)
    rows = clustered_vectors(Metric.COSINE, 32, 500).rows
    searched = Graph.view(memoryview(build(Metric.COSINE, rows)), space_of(Metric.COSINE, rows), 500)
    alone = [searched.search(row, 5).tolist() for row in rows[:60]]
    all_search = threading.Barrier(3, timeout=60)
    search = Index.search

    def search_with_others(*arguments: Any, **options: Any) -> Any:
        all_search.wait()
        return search(*arguments, **options)

    monkeypatch.setattr(Index, "search", search_with_others)
    with ThreadPoolExecutor(6) as pool:  # As there are six, three of them wait for an index.
        assert [found.tolist() for found in pool.map(lambda row: searched.search(row, 5), rows[:60])] == alone


def test_a_search_that_fails_takes_no_index_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "_INDEXES", 1)
    rows = clustered_vectors(Metric.COSINE, 32, 500).rows
    searched = Graph.view(memoryview(build(Metric.COSINE, rows)), space_of(Metric.COSINE, rows), 500)
    with monkeypatch.context() as patched:
        patched.setattr(Index, "search", Mock(side_effect=RuntimeError("out of memory")))
        for search in (lambda: searched.search(rows[0], 5), lambda: searched.search_all(rows[:3], 5)):
            with pytest.raises(RuntimeError, match="out of memory"):
                search()
    assert searched.search(rows[0], 5)[0] == 0


def test_copies_that_lie_side_by_side_are_not_added_one_after_another() -> None:
    base = clustered_vectors(Metric.COSINE, 48, 1000).rows
    base /= np.sqrt(np.vecdot(base, base))[:, None]
    noise = np.random.default_rng(1).standard_normal((8000, 48))
    rows = (np.repeat(base, 8, axis=0) + noise * 0.02 / np.sqrt(48)).astype(np.float32)
    # So many so near copies make islands, to which no way leads, and more of them in the order of the rows.
    space = space_of(Metric.COSINE, rows)
    searched = Graph.view(memoryview(build(Metric.COSINE, rows)), space, len(rows))
    in_order = Index(ndim=searched._codec.width, metric="ip", dtype="i8", connectivity=16, expansion_add=128)
    in_order.add(np.arange(8000), searched._codec.rows(rows), threads=1)
    lost = 8000 - len(searched.search(rows[0], 8000))
    lost_in_order = 8000 - len(in_order.search(searched._codec.query(rows[0]), 8000))
    assert lost < 0.8 * lost_in_order


@pytest.mark.parametrize("query_count", [1, 7])
@pytest.mark.parametrize("metric", Metric)
def test_many_queries_at_once_find_what_each_finds(metric: Metric, query_count: int) -> None:
    vectors = clustered_vectors(metric, 32, 300)
    searched = Graph.view(memoryview(build(metric, vectors.rows)), space_of(metric, vectors.rows), 300)
    queries = vectors.queries[:query_count]
    for count in (5, 400):
        found = searched.search_all(queries, count, threads=3)
        assert [rows.tolist() for rows in found] == [searched.search(query, count).tolist() for query in queries]


@pytest.mark.parametrize("metric", [Metric.DOTPRODUCT, Metric.EUCLIDEAN])
def test_a_row_that_is_far_longer_is_in_every_answer(metric: Metric) -> None:
    vectors = clustered_vectors(metric, 32, 2000)
    vectors.rows[50] *= 1000
    searched = Graph.view(memoryview(build(metric, vectors.rows)), space_of(metric, vectors.rows), 2000)
    for query in (*vectors.queries, *-vectors.queries, vectors.rows[50]):
        found = searched.search(query, 10)
        assert found[0] == 50
        assert len(np.unique(found)) == len(found)


@pytest.mark.parametrize("metric", Metric)
def test_zeros_are_rows_and_queries_like_others(metric: Metric) -> None:
    rows = clustered_vectors(metric, 8, 200).rows
    rows[::20] = 0
    searched = Graph.view(memoryview(build(metric, rows)), space_of(metric, rows), 200)
    assert len(searched.search(np.zeros(8, np.float32), 50)) == 50
