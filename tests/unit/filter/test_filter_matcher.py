"""The meaning of each operator for one record."""

from typing import Any

import pytest

from pinyon.filter.parser import parse
from pinyon.model.record import Metadata
from pinyon.testing.filter_matcher import matches

_MOVIE: Metadata = {"genre": ["comedy", "drama"], "year": 2020.0, "new": True, "title": "1", "tags": [], "zero": -0.0}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({"title": "1"}, True),
        ({"title": 1}, False),
        ({"title": ""}, False),
        ({"year": 2020}, True),
        ({"year": "2020"}, False),
        ({"zero": 0}, True),
        ({"new": True}, True),
        ({"new": False}, False),
        ({"new": 1}, False),
        ({"new": {"$in": [1]}}, False),
        ({"genre": "drama"}, True),
        ({"genre": "dram"}, False),
        ({"genre": 1}, False),
        ({"genre": {"$in": ["horror", "comedy"]}}, True),
        ({"genre": {"$ne": "drama"}}, False),
        ({"genre": {"$ne": "horror"}}, True),
        ({"genre": {"$nin": ["horror", "comedy"]}}, False),
        ({"genre": {"$nin": ["horror"]}}, True),
        ({"tags": ""}, False),
        ({"tags": {"$exists": True}}, True),
        ({"missing": {"$exists": False}}, True),
        ({"missing": {"$ne": "a"}}, True),
        ({"missing": {"$nin": ["a"]}}, True),
        ({"missing": "a"}, False),
        ({"missing": {"$lt": 1}}, False),
        ({"missing": {"$not": {"$lt": 1}}}, True),
        ({"year": {"$in": []}}, False),
        ({"year": {"$nin": []}}, True),
        ({"year": {"$gt": 2020}}, False),
        ({"year": {"$gte": 2020}}, True),
        ({"year": {"$lt": 2020}}, False),
        ({"year": {"$lte": 2020}}, True),
        ({"new": {"$gte": 0}}, False),
        ({"title": {"$gte": 0}}, False),
        ({"genre": {"$gte": 0}}, False),
        ({"year": {"$gt": 2000, "$lt": 2010}}, False),
        ({"year": {"$not": {"$gt": 2000, "$lt": 2010}}}, True),
        ({"$and": [{"title": "1"}, {"year": 1}]}, False),
        ({"$or": [{"title": "1"}, {"year": 1}]}, True),
        ({"$not": {"title": "1", "year": 1}}, True),
    ],
)
def test_matches(expression: dict[str, Any], expected: bool) -> None:
    condition = parse(expression)
    assert condition is not None
    assert matches(condition, _MOVIE) is expected
