"""How much may be under way at once. What is over it is refused, so that bodies of requests never fill the memory."""

from collections.abc import Callable

from pinyon.errors import PayloadTooLargeError, ResourceExhaustedError


class Admission:
    """Counts requests under way and the bytes of their bodies.

    Thread rule: used by the event loop only.
    """

    def __init__(self, requests_max: int, bytes_max: int, request_bytes_max: int) -> None:
        """Allow so many requests and bytes at once, and so many bytes in one request."""
        self._requests_max = requests_max
        self._bytes_max = bytes_max
        self._request_bytes_max = request_bytes_max
        self._requests = 0
        self._bytes = 0

    def admit(self) -> "Ticket":
        """Let a request begin.

        Raises:
            ResourceExhaustedError: too many are under way.
        """
        if self._requests >= self._requests_max:
            raise ResourceExhaustedError(f"Too many requests: {self._requests} are being processed. Please retry.")
        self._requests += 1
        return Ticket(self)

    def check(self, size: int) -> None:
        """Refuse a request that will hold `size` bytes, before any of them came.

        Raises:
            PayloadTooLargeError: no request may hold so many.
        """
        if size > self._request_bytes_max:
            raise PayloadTooLargeError(
                f"Error, message length too large: found {size} bytes, the limit is: {self._request_bytes_max} bytes"
            )

    def reserve(self, ticket: "Ticket", size: int) -> None:
        """Let a request hold `size` bytes in all.

        Raises:
            PayloadTooLargeError: no request may hold so many.
            ResourceExhaustedError: the requests under way hold too many already.
        """
        self.check(size)
        more = size - ticket.reserved
        if more <= 0:
            return
        if self._bytes + more > self._bytes_max:
            raise ResourceExhaustedError(
                f"Too many requests: their bodies would hold more than {self._bytes_max} bytes. Please retry."
            )
        self._bytes += more
        ticket.reserved = size

    def release(self, ticket: "Ticket") -> None:
        """Let a request end."""
        self._requests -= 1
        self._bytes -= ticket.reserved


class Ticket:
    """One admitted request; a context manager that releases it."""

    __slots__ = ("_admission", "_is_handed_over", "reserved")

    def __init__(self, admission: Admission) -> None:
        """Hold a place in `admission`."""
        self._admission = admission
        self._is_handed_over = False
        self.reserved = 0

    def check(self, size: int) -> None:
        """Refuse to hold so many bytes; see `Admission.check`."""
        self._admission.check(size)

    def reserve(self, size: int) -> None:
        """Hold `size` bytes in all; see `Admission.reserve`."""
        self._admission.reserve(self, size)

    def hand_over(self) -> Callable[[], None]:
        """Leave it to another to release the ticket, by calling what is returned, instead of the end of the context."""
        self._is_handed_over = True
        return lambda: self._admission.release(self)

    def __enter__(self) -> "Ticket":
        return self

    def __exit__(self, *error: object) -> None:
        if not self._is_handed_over:
            self._admission.release(self)
