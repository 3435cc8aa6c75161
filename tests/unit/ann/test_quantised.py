"""Quantised partitions find the nearest rows, whichever of them are wanted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinyon.ann import encoded_rows, quantised
from pinyon.ann.candidates import Aim
from pinyon.ann.encoded_rows import EncodedRows
from pinyon.ann.quantised import Quantised
from pinyon.model.metric import Metric
from pinyon.model.record import Int64s
from tests.unit.ann.clustered_vectors import Built, build, clustered_vectors, nearest_rows, share_found

DIMENSIONS_AND_ROWS = [(8, 3000), (8, 9000), (96, 3000), (96, 8000), (384, 6000), (1536, 4500)]
CASES = [
    pytest.param(metric, dimension, row_count, id=f"{metric}-{dimension}-{row_count}")
    for metric in Metric
    for dimension, row_count in DIMENSIONS_AND_ROWS
]
POOL = 200
"""Pool and share of the partitions at which nothing real loses more than one row in twenty."""
PROBED = 0.3
AIM = Aim(10, 0.97)


def recall(built: Built, queries, metric: Metric, wanted: Int64s | None = None, **effort) -> float:
    shares = []
    for query in queries:
        rows = np.arange(len(built.rows)) if wanted is None else wanted
        nearest = rows[nearest_rows(built.rows[rows], query, metric)]
        shares.append(share_found(built.quantised.candidates(query, POOL, **effort).rows, nearest))
    return float(np.mean(shares))


@pytest.fixture(scope="module")
def small() -> tuple[Built, np.ndarray]:
    vectors = clustered_vectors(Metric.COSINE, 64, 6000)
    return build(Metric.COSINE, vectors.rows), vectors.queries


@pytest.mark.parametrize(("metric", "dimension", "row_count"), CASES)
def test_recall_at_the_documented_effort(metric: Metric, dimension: int, row_count: int) -> None:
    vectors = clustered_vectors(metric, dimension, row_count)
    built = build(metric, vectors.rows)
    assert recall(built, vectors.queries, metric) >= 0.96
    probes = max(1, round(PROBED * built.quantised.partition_count))
    assert recall(built, vectors.queries, metric, probes=probes) >= 0.95


def test_the_recall_test_finds_what_is_broken(small: tuple[Built, np.ndarray]) -> None:
    built, queries = small
    words = built.quantised._rows._words.copy()
    words[:, 1:] = 0
    broken = Quantised(
        built.model, built.starts, words, built.quantised._rows.factors, built.quantised._rows._constants
    )
    good = recall(built, queries, Metric.COSINE)
    assert good >= 0.97
    assert recall(built._replace(quantised=broken), queries, Metric.COSINE) < 0.9
    assert recall(built, queries, Metric.COSINE, probes=1) < 0.93


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
@pytest.mark.parametrize("correlated", [False, True])
def test_recall_among_allowed_rows_is_that_among_all(
    small: tuple[Built, np.ndarray], share: float, correlated: bool
) -> None:
    built, queries = small
    rng = np.random.default_rng(3)
    count = int(share * len(built.rows))
    recalls = []
    for query in queries[:10]:
        if correlated:  # Only rows that are far from the query.
            allowed = np.sort(np.argsort(built.rows @ query)[: len(built.rows) // 2])[:: round(0.5 / share)]
        else:
            allowed = np.sort(rng.choice(len(built.rows), count, replace=False))
        probes = round(PROBED * built.quantised.partition_count)
        found = built.quantised.candidates(query, POOL, probes=probes, allowed=allowed, aim=AIM).rows
        assert np.isin(found, allowed).all()
        assert min(POOL, len(allowed)) <= len(found) <= 2 * POOL
        recalls.append(recall(built, [query], Metric.COSINE, allowed, probes=probes, allowed=allowed, aim=AIM))
    assert np.mean(recalls) >= 0.95


@pytest.mark.parametrize("metric", [Metric.COSINE, Metric.EUCLIDEAN])
@pytest.mark.parametrize("count", [10, 50])
def test_where_a_filter_leaves_nothing_near_further_partitions_are_searched(metric: Metric, count: int) -> None:
    rng = np.random.default_rng(6)
    centers = rng.standard_normal((40, 96))
    clusters = rng.integers(0, 40, 12_000)
    lengths = np.exp(0.25 * rng.standard_normal((12_000, 1)))
    rows = (1.2 * centers[clusters] + rng.standard_normal((12_000, 96))) * lengths
    built = build(metric, rows.astype(np.float32))
    owners = rng.integers(0, 40, 20)
    queries = (1.2 * centers[owners] + rng.standard_normal((20, 96))).astype(np.float32)
    # `build` reordered the rows, and what is nearest to a center is of its cluster.
    cluster_of = np.argmax(built.rows @ centers.T - 0.6 * np.vecdot(centers, centers), axis=1)
    shares = {}
    for aim in (None, Aim(count, 0.97)):
        found = []
        for query, owner in zip(queries, owners, strict=True):
            allowed = np.flatnonzero(cluster_of != owner)
            nearest = allowed[nearest_rows(built.rows[allowed], query, metric, count)]
            candidates = built.quantised.candidates(query, 640, probes=1, allowed=allowed, aim=aim).rows
            assert (np.diff(candidates) > 0).all()
            found.append(share_found(candidates, nearest))
        shares[aim is None] = float(np.mean(found))
    assert shares[False] >= 0.97
    assert shares[True] < 0.95, "else this tests nothing"


def test_no_row_is_estimated_twice_where_a_search_looks_further(
    small: tuple[Built, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    built, queries = small
    allowed = np.flatnonzero(np.arange(len(built.rows)) % 2)
    monkeypatch.setattr(quantised, "_FEW_ROWS", 100)
    estimated: list[Int64s] = []
    estimates = EncodedRows.estimates

    def seen(self, asked, rows):
        estimated.append(rows)
        return estimates(self, asked, rows)

    monkeypatch.setattr(EncodedRows, "estimates", seen)
    rounds = []
    for query in queries:
        estimated.clear()
        found = built.quantised.candidates(query, 20, probes=1, allowed=allowed, aim=Aim(10, 0.99))
        rows = np.concatenate(estimated)
        assert len(np.unique(rows)) == len(rows)
        rounds.append(len(estimated))
        assert len(found.rows) == (20 if rounds[-1] == 1 else 40), "twice as many, however often it looks further"
    assert max(rounds) > 2, "else this tests nothing"


def test_allowed_rows_that_are_in_far_partitions_only_are_found(
    small: tuple[Built, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    built, queries = small
    monkeypatch.setattr(quantised, "_FEW_ROWS", 100)
    partitions = np.repeat(np.arange(built.quantised.partition_count), np.diff(built.starts))
    shares = []
    for query in queries:
        nearest_first = np.argsort(-(built.model.centroids @ query))
        allowed = np.flatnonzero(np.isin(partitions, nearest_first[len(nearest_first) // 3 :: 2]))
        nearest = allowed[nearest_rows(built.rows[allowed], query, Metric.COSINE)]
        shares.append(share_found(built.quantised.candidates(query, 50, probes=1, allowed=allowed).rows, nearest))
    assert np.mean(shares) >= 0.95


def test_a_pool_is_filled_though_few_partitions_are_asked_for(small: tuple[Built, np.ndarray]) -> None:
    built, queries = small
    allowed = np.arange(0, len(built.rows), 2)
    for query in queries:
        assert len(built.quantised.candidates(query, 1000, probes=1, allowed=allowed).rows) == 1000


@pytest.mark.parametrize("gathering", [True, False])
@pytest.mark.parametrize("probes", [None, 1, 20, 100])
def test_every_way_of_looking_gives_the_same_estimates(
    small: tuple[Built, np.ndarray], gathering: bool, probes: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    built, queries = small
    monkeypatch.setattr(encoded_rows, "_GATHERED_SHARE_MAX", 1 if gathering else 0)
    everything = built.quantised.candidates(queries[0], len(built.rows))
    assert everything.rows.tolist() == list(range(len(built.rows)))
    allowed = np.flatnonzero(np.random.default_rng(5).random(len(built.rows)) < 0.3)
    few = np.unique(built.starts[:-1])[::2]
    for found in (
        built.quantised.candidates(queries[0], 150, probes=probes),
        built.quantised.candidates(queries[0], 150, probes=probes, allowed=allowed),
        built.quantised.candidates(queries[0], 150, probes=probes, allowed=few),
        everything.where(everything.rows % 3 == 1),
    ):
        assert found.error == everything.error
        assert (np.diff(found.rows) > 0).all()
        np.testing.assert_allclose(found.estimates, everything.estimates[found.rows], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("probes", [None, 1, 10])
def test_dead_rows_are_not_returned_and_do_not_count(small: tuple[Built, np.ndarray], probes: int | None) -> None:
    built, queries = small
    alive = np.zeros(len(built.rows), np.bool_)
    alive[::97] = True
    allowed = np.arange(0, len(built.rows), 2)
    for query in queries[:5]:
        found = built.quantised.candidates(query, 50, probes=probes, alive=alive).rows
        assert len(found) == 50
        assert alive[found].all()
        every = built.quantised.candidates(query, len(alive), probes=probes, alive=alive).rows
        assert every.tolist() == np.flatnonzero(alive).tolist()
        both = built.quantised.candidates(query, 1000, probes=probes, allowed=allowed, alive=alive).rows
        assert both.tolist() == np.flatnonzero(alive & (np.arange(len(alive)) % 2 == 0)).tolist()


def test_fewer_rows_than_the_pool_are_all_returned(small: tuple[Built, np.ndarray]) -> None:
    built, queries = small
    nothing = np.zeros(len(built.rows), np.bool_)
    assert built.quantised.candidates(queries[0], 10, probes=3, alive=nothing).rows.tolist() == []
    assert built.quantised.candidates(queries[0], 10, probes=3, allowed=np.zeros(0, np.int64)).rows.tolist() == []
    assert built.quantised.candidates(queries[0], 10, probes=3, allowed=np.array([3, 5])).rows.tolist() == [3, 5]
    assert len(built.quantised.candidates(queries[0], 10**6, probes=1).rows) == len(built.rows)


@pytest.mark.parametrize("row_count", [1, 2, 1000, 5000])
def test_any_number_of_rows_can_be_searched(row_count: int) -> None:
    vectors = clustered_vectors(Metric.EUCLIDEAN, 5, row_count)
    built = build(Metric.EUCLIDEAN, vectors.rows)
    assert built.quantised.row_count == row_count
    found = built.quantised.candidates(vectors.queries[0], row_count + 1)
    assert found.rows.tolist() == list(range(row_count))


@pytest.mark.parametrize("metric", [Metric.DOTPRODUCT, Metric.EUCLIDEAN])
def test_rows_that_are_far_longer_are_in_every_answer_and_hide_no_others(metric: Metric) -> None:
    vectors = clustered_vectors(metric, 64, 8000)
    vectors.rows[50:800:100] *= 100_000
    built = build(metric, vectors.rows)
    long_rows = built.model.space.long_rows
    assert len(long_rows) >= 8
    probes = round(PROBED * built.quantised.partition_count)
    assert recall(built, vectors.queries, metric, probes=probes) >= 0.95
    may = np.arange(len(built.rows)) % 3 != long_rows[0] % 3
    allowed, wanted = np.flatnonzero(may), long_rows[may[long_rows]]
    for query in (*vectors.queries[:5], built.rows[long_rows[0]]):
        for effort in ({"allowed": allowed}, {"alive": may}, {"allowed": allowed[::2], "alive": may}, {}):
            found = built.quantised.candidates(query, 20, probes=3, **effort)
            assert (np.diff(found.rows) > 0).all()
            assert len(found.rows) == len(found.estimates)
            must = wanted if effort else long_rows
            if "allowed" in effort:
                must = np.intersect1d(must, effort["allowed"])
            assert np.isin(must, found.rows).all()
            assert may[found.rows].all() or not effort


@pytest.mark.parametrize("metric", Metric)
def test_zeros_and_equal_rows_are_found_like_others(metric: Metric) -> None:
    rows = np.zeros((6000, 16), np.float32)
    rows[2000:4000, 3] = 2
    rows[4000:, 4] = 1
    built = build(metric, rows)
    query = np.zeros(16, np.float32)
    query[3] = 2
    found = built.quantised.candidates(query, 2000).rows
    assert (built.rows[found, 3] == 2).all()
    for probes in (1, 2, 100):  # Some partitions are empty, the last ones among them.
        assert len(built.quantised.candidates(np.zeros(16, np.float32), 10, probes=probes).rows) == 10


@pytest.mark.parametrize("magnitude", [1e-30, 1e-10, 1e15, 1e30])
@pytest.mark.parametrize("metric", Metric)
def test_rows_of_any_magnitude_are_found(metric: Metric, magnitude: float) -> None:
    vectors = clustered_vectors(metric, 64, 2000, 5)
    built = build(metric, vectors.rows * np.float32(magnitude))
    for query in vectors.queries:
        found = built.quantised.candidates(query * np.float32(magnitude), POOL).rows
        assert share_found(found, nearest_rows(built.rows / np.float32(magnitude), query, metric)) >= 0.8


@settings(max_examples=10)
@given(st.integers(1, 3000))
def test_codes_do_not_depend_on_the_chunks_they_come_in(chunk: int) -> None:
    rows = clustered_vectors(Metric.EUCLIDEAN, 20, 2500).rows
    one, other = build(Metric.EUCLIDEAN, rows), build(Metric.EUCLIDEAN, rows, chunk)
    different = one.quantised._rows._words ^ other.quantised._rows._words
    # Another size of a matrix product may round otherwise, and a number near 0 then has the other sign.
    assert np.bitwise_count(different).sum() <= 5
    np.testing.assert_allclose(one.quantised._rows.factors, other.quantised._rows.factors, rtol=1e-4)
    np.testing.assert_allclose(one.quantised._rows._constants, other.quantised._rows._constants, rtol=1e-3, atol=1e-5)


def test_the_same_rows_and_seed_give_the_same_bytes() -> None:
    rows = clustered_vectors(Metric.COSINE, 40, 5000).rows
    one, other = build(Metric.COSINE, rows), build(Metric.COSINE, rows)
    assert one.quantised._rows._words.tobytes() == other.quantised._rows._words.tobytes()
    assert one.model.centroids.tobytes() == other.model.centroids.tobytes()
    assert build(Metric.COSINE, rows, seed=8).quantised._rows._words.tobytes() != one.quantised._rows._words.tobytes()


@pytest.mark.parametrize("share", [None, 0.9, 0.3, 0.05])
@pytest.mark.parametrize("probes", [None, 12])
def test_how_many_estimates_are_made_is_known_about(
    share: float | None, probes: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = clustered_vectors(Metric.COSINE, 32, 20_000)
    searched = build(Metric.COSINE, vectors.rows).quantised
    rng = np.random.default_rng(1)
    allowed = None if share is None else np.flatnonzero(rng.random(20_000) < share)
    counts: list[int] = []
    distances = encoded_rows._distances

    def counted(query, parts, row_count):
        counts.append(row_count)
        return distances(query, parts, row_count)

    monkeypatch.setattr(encoded_rows, "_distances", counted)
    for query in vectors.queries:
        searched.candidates(query, 100, probes=probes, allowed=allowed, aim=Aim(10, 0.9))
    told = searched.looked_at(100, probes, None if allowed is None else len(allowed))
    assert 0.5 < told * len(vectors.queries) / sum(counts) < 2
