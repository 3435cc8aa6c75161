"""Errors of gRPC: a status, a percent-encoded message and hints for retries, all in the trailers."""

from pinyon.errors import PinyonError, ResourceExhaustedError
from pinyon.wire.grpc.framing import encode_status_message
from pinyon.wire.status import status_of


def error_trailers(error: PinyonError, request_id: str) -> dict[str, str]:
    """The trailers of a failed call."""
    trailers = {
        "grpc-status": str(status_of(error).grpc),
        "grpc-message": encode_status_message(error.message),
        "x-pinecone-request-id": request_id,
    }
    if isinstance(error, ResourceExhaustedError):
        trailers["retry-after"] = f"{error.retry_after_s:g}"
        trailers["grpc-retry-pushback-ms"] = str(int(error.retry_after_s * 1000))
    return trailers
