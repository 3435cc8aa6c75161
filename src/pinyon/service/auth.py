"""Who asks: API keys, and the principals that they stand for. Every principal may do everything today."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from pinyon.errors import UnauthenticatedError


@dataclass(frozen=True, slots=True)
class Principal:
    """The holder of a key. Every key may do everything today."""

    name: str


class Authenticator:
    """Knows the API keys. Without any, every key is good, as long as there is one: clients refuse an empty key."""

    def __init__(self, api_keys: Sequence[str] = ()) -> None:
        """Accept these keys; none means any."""
        self._api_keys = [key.encode() for key in api_keys]

    def authenticate(self, api_key: bytes | None) -> Principal:
        """The principal of a key.

        Raises:
            UnauthenticatedError: the key is missing or not one of ours.
        """
        if not api_key:
            raise UnauthenticatedError("Missing API Key")
        if not self._api_keys:
            return Principal("anyone")
        # Every key is compared, in constant time, so that the time of an answer says nothing about any of them.
        matches = [hmac.compare_digest(api_key, known) for known in self._api_keys]
        if not any(matches):
            raise UnauthenticatedError("Invalid API Key")
        return Principal(f"key {matches.index(True) + 1}")
