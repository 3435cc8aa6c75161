"""The direction of a score belongs to its metric."""

from pinyon.model.metric import Metric


def test_only_distances_are_better_when_smaller() -> None:
    assert [metric.higher_is_better for metric in (Metric.COSINE, Metric.DOTPRODUCT, Metric.EUCLIDEAN)] == [
        True,
        True,
        False,
    ]
