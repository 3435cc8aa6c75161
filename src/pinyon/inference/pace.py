"""How long a model will take: from how long it took lately."""

from typing import Final

_NEWEST_SHARE: Final = 0.2
"""What the newest batch counts in the mean: some ten batches back, nothing is left of a time when others were busy."""


class Pace:
    """Seconds that a token takes, as a moving mean. One thread writes; others may read a number that is a bit old."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._s_per_token = 0.0

    def measured(self, token_count: int, elapsed_s: float) -> None:
        """Learn from a batch."""
        newest = elapsed_s / max(1, token_count)
        share = _NEWEST_SHARE if self._s_per_token else 1.0
        self._s_per_token += share * (newest - self._s_per_token)

    def expected_s(self, token_count: int) -> float:
        """How long so many tokens will take; 0 while nothing is known."""
        return token_count * self._s_per_token
