"""How a recall is written in headers and tags."""

import pytest

from pinyon.model.recall import TARGET_RECALL_TAG, parse_recall, tagged_recall


@pytest.mark.parametrize(
    ("text", "recall"), [("1", 1.0), ("1.0", 1.0), ("0.97", 0.97), (".5", 0.5), ("1e-3", 0.001), ("0.5e0", 0.5)]
)
def test_a_number_above_0_and_at_most_1(text, recall):
    assert parse_recall(text) == recall


@pytest.mark.parametrize(
    "text",
    ["", " 1", "0", "0.0", "1.01", "-0.5", "+0.5", "nan", "inf", "0_9", "0,9", "97%", "1e-999", "٠.٥", "9" * 21, "."],
)
def test_anything_else_is_none(text):
    assert parse_recall(text) is None


def test_a_tag_says_what_an_index_promises():
    assert tagged_recall({}) is None
    assert tagged_recall({TARGET_RECALL_TAG: "0.9"}) == 0.9
    assert tagged_recall({TARGET_RECALL_TAG: "much"}) is None
