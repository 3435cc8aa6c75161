"""The names of an index's namespaces at one moment, in order, for lists of them page by page.

They are sorted when a page is first asked for, and not when a namespace begins or ends: of 100,000 that takes a few
hundredths of a second, and who makes so many lists them later. From then on a page costs as much as it is long.

Thread rule: any thread may ask, and none needs a lock. Two that ask first at once may both sort.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable


class NamespaceNames:
    """Names that never change; made anew when a namespace begins or ends."""

    def __init__(self, names: Iterable[str]) -> None:
        """Take different names, in any order."""
        self._names = list(names)
        self._is_sorted = False

    def page(self, prefix: str, after: str | None, limit: int) -> tuple[list[str], int]:
        """Up to `limit` names with `prefix` that come after `after`, and how many have the prefix in all."""
        names = self._sorted()
        start = bisect_left(names, prefix)
        stop = bisect_right(names, prefix, lo=start, key=lambda name: name[: len(prefix)])
        first = start if after is None else max(start, bisect_right(names, after))
        return names[first : min(first + limit, stop)], stop - start

    def _sorted(self) -> list[str]:
        if not self._is_sorted:
            self._names = sorted(self._names)
            self._is_sorted = True  # Only now: another thread that sees it finds the sorted names.
        return self._names
