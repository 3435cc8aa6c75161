"""Every error that Pinyon raises on purpose. A class exists when the caller would act differently.

    PinyonError
    ├── InvalidArgumentError      fix the request
    │   └── PayloadTooLargeError  send less at once
    ├── UnprocessableError        fix the shape of the body
    ├── UnauthenticatedError      send a valid key
    ├── PermissionDeniedError     use another key, or lift deletion protection
    ├── NotFoundError             create it, or check the name
    ├── AlreadyExistsError        choose another name
    ├── FailedPreconditionError   change the state, then send again
    ├── ResourceExhaustedError    wait `retry_after_s`
    ├── UnavailableError          back off; nothing was applied
    ├── UnimplementedError        see COMPAT.md
    ├── DataLossError             stop, restore from a backup
    └── InternalError             report it with the request id

`NotBriefError` is none of these: it never leaves the server.

Lower layers raise these directly. Only `pinyon.wire.status` knows HTTP and gRPC numbers.
"""


class PinyonError(Exception):
    """The base of all of them. `message` is for the caller of the API and names the thing, the value and the rule."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidArgumentError(PinyonError):
    """A value in the request breaks a rule."""


class PayloadTooLargeError(InvalidArgumentError):
    """The request is larger than a limit; the same data in smaller requests would do."""


class UnprocessableError(PinyonError):
    """The body does not have the shape that the operation takes."""


class UnauthenticatedError(PinyonError):
    """The API key is missing or unknown."""


class PermissionDeniedError(PinyonError):
    """The key may not do this, or the index is protected from deletion."""


class NotFoundError(PinyonError):
    """No index or namespace has that name."""


class AlreadyExistsError(PinyonError):
    """The name is taken."""


class FailedPreconditionError(PinyonError):
    """The system is not in the state that the operation needs."""


class ResourceExhaustedError(PinyonError):
    """A queue or quota is full. Nothing was applied."""

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnavailableError(PinyonError):
    """The server cannot do this now, as on a full disk. Nothing was applied."""


class UnimplementedError(PinyonError):
    """A part of Pinecone's API that Pinyon does not have yet."""


class DataLossError(PinyonError):
    """Bytes on disk are not what was written. The message names the file."""


class InternalError(PinyonError):
    """A defect of Pinyon. Its details are in the log, under the request id."""


class NotBriefError(Exception):
    """What must be brief, as others wait, would not be. It was not begun, and is to be done where nobody waits."""
