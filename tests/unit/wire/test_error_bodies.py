"""Errors in the two shapes of REST, by path; a refused key in plain text."""

import json

import pytest

from pinyon.errors import (
    InvalidArgumentError,
    NotFoundError,
    PinyonError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnimplementedError,
)
from pinyon.wire.error_bodies import error_response
from pinyon.wire.http import Request, Response


def answer(error: PinyonError, path: str) -> Response:
    return error_response(error, Request("POST", path))


@pytest.mark.parametrize(
    "path",
    [
        "/vectors/upsert",
        "/vectors/fetch_by_metadata",
        "/vectors",
        "/query",
        "/describe_index_stats",
        "/namespaces",
        "/namespaces/a/b",
        "/namespaces/documents",
        "/namespaces/a%2Fdocuments%2Fb",
        "/bulk/imports/1",
        "/namespace-aliases/a",
    ],
)
def test_the_data_plane_answers_with_a_google_status(path: str) -> None:
    response = answer(NotFoundError("no “x”"), path)
    assert (response.status, response.content_type) == (404, "application/json")
    assert json.loads(response.body) == {"code": 5, "message": "no “x”", "details": []}


@pytest.mark.parametrize(
    "path",
    [
        "/indexes",
        "/records/namespaces/n/upsert",
        "/namespaces/n/documents/upsert",
        "/namespaces/a/b/documents/search",
        "/embed",
        "/",
        "",
        "/vectorsx",
    ],
)
def test_all_else_answers_in_the_shape_of_the_control_plane(path: str) -> None:
    response = answer(InvalidArgumentError('say "x"'), path)
    assert (response.status, response.content_type) == (400, "application/json")
    assert json.loads(response.body) == {
        "status": 400,
        "error": {"code": "INVALID_ARGUMENT", "message": 'say "x"'},
    }


@pytest.mark.parametrize("path", ["/query", "/indexes"])
def test_a_refused_key_is_told_in_plain_text(path: str) -> None:
    response = answer(UnauthenticatedError("Invalid API Key"), path)
    assert (response.status, response.body, response.content_type) == (401, b"Invalid API Key", "text/plain")


@pytest.mark.parametrize(("seconds", "shown"), [(1.0, "1"), (0.25, "0.25")])
def test_a_full_queue_says_when_to_come_again(seconds: float, shown: str) -> None:
    response = answer(ResourceExhaustedError("full", retry_after_s=seconds), "/query")
    assert (response.status, response.headers) == (429, {"retry-after": shown})


def test_other_errors_say_nothing_of_it() -> None:
    assert answer(UnimplementedError("no"), "/query").headers == {}
