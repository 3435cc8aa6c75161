"""What all tests share. A folder's name decides a test's marks, so that no file of it can be forgotten."""

import os
from pathlib import Path
from typing import Final

import pytest
import simdjson  # noqa: F401 - before usearch: see `test_graphs_and_models_go_together`
from hypothesis import HealthCheck, settings

TESTS: Final = Path(__file__).resolve().parent

# Shared machines stall, so no example has a deadline. CI replays the same examples every time; a person explores.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, print_blob=True)
settings.register_profile("soak", settings.get_profile("default"), max_examples=5_000)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if (TESTS / "conformance") in item.path.parents:
            item.add_marker(pytest.mark.conformance)


@pytest.fixture
def repository() -> Path:
    """The root of the checkout."""
    return TESTS.parent
