"""THE table: what each error is on the wire.

Codes and HTTP statuses are those of Pinecone's control-plane specification; gRPC numbers are the usual pairs. A class
that is not listed stands under the nearest listed base class.
"""

from typing import NamedTuple

from pinyon import errors


class Status(NamedTuple):
    """How an error appears: `code` in control-plane bodies, `http` as status, `grpc` in gRPC and data-plane bodies."""

    code: str
    http: int
    grpc: int


STATUS_OF: dict[type[errors.PinyonError], Status] = {
    errors.InvalidArgumentError: Status("INVALID_ARGUMENT", 400, 3),
    errors.PayloadTooLargeError: Status("PAYLOAD_TOO_LARGE", 413, 11),
    errors.UnprocessableError: Status("UNPROCESSABLE_ENTITY", 422, 3),
    errors.UnauthenticatedError: Status("UNAUTHENTICATED", 401, 16),
    errors.PermissionDeniedError: Status("FORBIDDEN", 403, 7),
    errors.NotFoundError: Status("NOT_FOUND", 404, 5),
    errors.AlreadyExistsError: Status("ALREADY_EXISTS", 409, 6),
    errors.FailedPreconditionError: Status("FAILED_PRECONDITION", 412, 9),
    errors.ResourceExhaustedError: Status("RESOURCE_EXHAUSTED", 429, 8),
    errors.UnavailableError: Status("UNAVAILABLE", 503, 14),
    errors.UnimplementedError: Status("UNIMPLEMENTED", 501, 12),
    errors.DataLossError: Status("DATA_LOSS", 500, 15),
    errors.InternalError: Status("UNKNOWN", 500, 13),
}


def status_of(error: errors.PinyonError) -> Status:
    """How an error appears on the wire."""
    for kind in type(error).__mro__:
        if kind in STATUS_OF:
            return STATUS_OF[kind]
    raise AssertionError(f"{type(error).__name__} has no row in the table")
