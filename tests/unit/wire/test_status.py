"""The table of errors: complete, and with Pinecone's codes and the usual pairs of numbers."""

import pytest

from pinyon import errors
from pinyon.errors import PinyonError
from pinyon.wire.status import STATUS_OF, Status, status_of

CODES = {
    "ALREADY_EXISTS",
    "DATA_LOSS",
    "FAILED_PRECONDITION",
    "FORBIDDEN",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "PAYLOAD_TOO_LARGE",
    "RESOURCE_EXHAUSTED",
    "UNAUTHENTICATED",
    "UNAVAILABLE",
    "UNIMPLEMENTED",
    "UNKNOWN",
    "UNPROCESSABLE_ENTITY",
}
"""Those of Pinecone's enumeration that Pinyon uses."""
PAIRS = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 412: 9, 413: 11, 422: 3, 429: 8, 501: 12, 503: 14}


@pytest.mark.parametrize("kind", PinyonError.__subclasses__())
def test_every_error_has_a_row_of_its_own(kind: type[PinyonError]) -> None:
    status = STATUS_OF[kind]
    assert status_of(kind("text")) == status
    assert status.code in CODES
    assert status.http == 500 or PAIRS[status.http] == status.grpc


def test_an_error_without_a_row_stands_under_its_base() -> None:
    class OwnError(errors.PayloadTooLargeError):
        pass

    assert status_of(OwnError("text")) == Status("PAYLOAD_TOO_LARGE", 413, 11)


def test_the_base_itself_is_never_raised() -> None:
    with pytest.raises(AssertionError, match="PinyonError has no row"):
        status_of(PinyonError("text"))
