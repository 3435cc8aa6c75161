"""COMPAT.md against the code: what a row says is what the routes do."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from unittest.mock import MagicMock

import pytest

from pinyon.errors import NotFoundError, UnimplementedError
from pinyon.wire.api_version import ApiVersion
from pinyon.wire.http import Request, Response
from pinyon.wire.rest.control_plane import ControlPlaneRoutes
from pinyon.wire.rest.data_plane import DataPlaneRoutes

REPOSITORY: Final = Path(__file__).resolve().parents[1]
PAGE: Final = (REPOSITORY / "COMPAT.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its first two lines."""
    section = re.split(r"^## ", PAGE.partition(f"\n## {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    table = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1:]]


def routes(heading: str, state: str) -> list[tuple[str, str]]:
    """Method and path of every route whose row has a state."""
    found = [row for row in rows(heading) if row[-1].startswith(state)]
    return [pair for row in found for pair in re.findall(r"`([A-Z]+) (/[^`]+)`(?! with)", row[1])]


def outcome(handle: Callable[[Request], Response], method: str, path: str) -> str:
    """What becomes of an empty request: "not there", "not yet", or "there", whatever is then said of its body."""
    request = Request(method, re.sub(r"\{\w+\}", "example", path))
    try:
        response = handle(request)
    except UnimplementedError:
        return "not yet"
    except NotFoundError:
        return "not there"
    except Exception:  # noqa: BLE001 - The service is a mock; only the way to it is tested.
        return "there"
    return "not there" if response.status in (404, 405) else "there"


def control_plane() -> Callable[[Request], Response]:
    return ControlPlaneRoutes(MagicMock(), MagicMock(), MagicMock()).handle


def data_plane() -> Callable[[Request], Response]:
    return DataPlaneRoutes(MagicMock(), MagicMock()).handle


PLANES: Final[dict[str, Any]] = {"Control plane": control_plane, "Data plane": data_plane}


@pytest.mark.parametrize(("state", "expected"), [("yes", "there"), ("not yet", "not yet")])
@pytest.mark.parametrize("plane", PLANES)
def test_every_route_is_as_the_page_says(plane, state, expected):
    listed = routes(plane, state)
    assert listed
    handle = PLANES[plane]()
    assert {route: outcome(handle, *route) for route in listed} == dict.fromkeys(listed, expected)


def test_every_state_is_one_that_the_page_explains():
    for plane in PLANES:
        assert [row for row in rows(plane) if not re.match(r"yes\b|not yet$", row[-1])] == []


def test_a_route_that_is_not_on_the_page_is_not_there():
    assert outcome(data_plane(), "POST", "/no-such-route") == "not there"
    assert outcome(control_plane(), "PUT", "/indexes") == "not there"


def test_every_version_of_the_api_is_named():
    assert [version.value for version in ApiVersion if version.value not in PAGE] == []


def test_every_tested_client_is_named():
    clients = REPOSITORY / "tests" / "conformance" / "clients"
    versions = {path.name.partition("-")[2].removesuffix(".txt") for path in clients.glob("python-*.txt")}
    versions |= {path.name.partition("-")[2] for path in clients.glob("npm-[0-9]*")}
    assert versions
    assert [version for version in versions if version not in PAGE] == []
