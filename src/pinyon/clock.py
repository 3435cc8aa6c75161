"""Time and chance, passed in so that a test can replay a run. The only module that reads either."""

import secrets
import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now_s(self) -> float:
        """Seconds since the epoch, for what people read."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that only grow, for durations."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_s(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic_s(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()


class IdSource(Protocol):
    """Where names that must be unique come from."""

    def new_id(self) -> str:
        """A new name of 32 hexadecimal digits."""
        ...


class RandomIds:
    """Names from the operating system's randomness."""

    def new_id(self) -> str:
        """A new name of 32 hexadecimal digits."""
        return secrets.token_hex(16)
