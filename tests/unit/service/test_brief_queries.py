"""Which queries others may wait for."""

import numpy as np
import pytest

from pinyon.errors import NotBriefError
from pinyon.model.metric import Metric
from pinyon.model.record import RecordBatch, SparseVector
from pinyon.service.requests import Query, Upsert
from tests.codecs import data_plane

DIMENSION = 256


@pytest.fixture(scope="module")
def large_plane():
    """A namespace "large" that takes long to search, and one "small" with a record."""
    plane = data_plane(dimension=DIMENSION, metric=Metric.DOTPRODUCT)
    rows = np.random.default_rng(1).standard_normal((60_000, DIMENSION)).astype(np.float32)
    for start in range(0, len(rows), 1000):
        ids = [str(row) for row in range(start, start + 1000)]
        plane.upsert(Upsert("large", RecordBatch(ids, rows[start : start + 1000], None, None)))
    plane.upsert(Upsert("small", RecordBatch(["a"], rows[:1], None, None)))
    assert not plane.is_small
    return plane


def brief(namespace, **fields):
    vectors = {} if "id" in fields else {"dense": np.ones(DIMENSION, np.float32)}
    return Query(namespace, **({"top_k": 1, "must_be_brief": True} | vectors | fields))


def test_a_query_of_a_large_namespace_is_not_brief(large_plane):
    with pytest.raises(NotBriefError):
        large_plane.query(brief("large", target_recall=1.0))  # By scoring all of its records.
    assert [match.id for match in large_plane.query(brief("small")).matches] == ["a"]
    assert len(large_plane.query(brief("large", must_be_brief=False)).matches) == 1


SPARSE = SparseVector(np.array([5], np.uint32), np.ones(1, np.float32))
MANY_VALUES = [
    {"a": {"$in": list(range(17))}},
    {"$or": [{"a": number} for number in range(17)]},
    {"$and": [{"$or": [{"a": number}, {"b": {"$gt": number, "$lt": 9}}]} for number in range(14)]},
]


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "a"},
        {"sparse": SparseVector(np.array([5], np.uint32), np.ones(1, np.float32))},
        *({"filter": each} for each in MANY_VALUES),
    ],
    ids=["by id", "sparse", "$in", "$or", "nested"],
)
def test_what_takes_long_before_the_search_is_not_brief(large_plane, fields):
    with pytest.raises(NotBriefError):
        large_plane.query(brief("small", **fields))
    large_plane.query(brief("small", must_be_brief=False, **fields))


@pytest.mark.parametrize("condition", [{"a": 1}, {"a": {"$in": [1, 2]}}, {"$and": [{"a": 1}, {"b": {"$gt": 2}}]}, {}])
def test_a_query_with_a_usual_filter_may_be_brief(large_plane, condition):
    assert len(large_plane.query(brief("small", filter=condition)).matches) <= 1


def test_a_brief_query_does_not_wait_for_long(large_plane):
    with large_plane._index._state.lock, pytest.raises(NotBriefError):
        large_plane.query(brief("small"))
