"""Pinecone's dated API versions, and what changes between them on this wire."""

from enum import Enum
from functools import cached_property

from pinyon.errors import InvalidArgumentError

_PREVIEWS = frozenset({"2026-01.alpha"})


class ApiVersion(Enum):
    """A version that a client may ask for in `X-Pinecone-Api-Version`, oldest first."""

    V2024_04 = "2024-04"
    V2024_07 = "2024-07"
    V2024_10 = "2024-10"
    V2025_01 = "2025-01"
    V2025_04 = "2025-04"
    V2025_10 = "2025-10"
    V2026_04 = "2026-04"
    V2026_07 = "2026-07"

    @staticmethod
    def parse(header: str | None) -> "ApiVersion":
        """The version that a header names.

        No header means the oldest: the clients that send none are the oldest. An unknown value, such as the
        `unstable` of the records plugin, means the newest version with the older shape of indexes.
        """
        if not header:
            return ApiVersion.V2024_04
        try:
            return ApiVersion(header.strip())
        except ValueError:
            return ApiVersion.V2026_04

    @staticmethod
    def check_supported(header: str | None) -> None:
        """Refuse the previews, whose calls look like later ones and mean something else.

        Raises:
            InvalidArgumentError: the header names a preview.
        """
        if header and header.strip() in _PREVIEWS:
            raise InvalidArgumentError(f"API version {header.strip()} is not supported")

    @cached_property
    def order(self) -> int:
        """Position in time."""
        return list(ApiVersion).index(self)

    def at_least(self, other: "ApiVersion") -> bool:
        """True if this version is `other` or newer."""
        return self.order >= other.order

    @property
    def has_schema_indexes(self) -> bool:
        """True where indexes are shown as `schema` and `deployment` instead of `dimension`, `metric` and `spec`."""
        return self.at_least(ApiVersion.V2026_07)

    @property
    def default_namespace(self) -> str:
        """How the default namespace is shown: as a key of the statistics, and where an answer repeats the request's.

        Not where namespaces are listed and described: there it is `__default__` in every version, since clients of
        2025-04 look for that name in the list.
        """
        return "__default__" if self.at_least(ApiVersion.V2025_10) else ""
