"""A sample of what callers ask for, to tune with: rows tell how far to look only as far as they are like queries."""

import threading
from collections import Counter
from typing import Final

import numpy as np

from pinyon.model.record import Float32s

_KEPT_MAX: Final = 512
_KEPT_OF_LATER: Final = 16
"""When so many are kept, one new query in so many takes the place of the oldest: what is kept spans some time."""


class QuerySample:
    """Distinct vectors of queries, by namespace. Any thread may call any method."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, bytes], Float32s] = {}
        self._counts: Counter[str] = Counter()
        self._seen = 0

    def add(self, namespace: str, vector: Float32s) -> None:
        """See a query; its vector, `(dimension,)`, is copied if it is kept."""
        self._seen += 1
        if len(self._kept) >= _KEPT_MAX and self._seen % _KEPT_OF_LATER:
            return
        key = namespace, vector.tobytes()
        with self._lock:
            if key in self._kept:
                return
            if len(self._kept) >= _KEPT_MAX:
                oldest = next(iter(self._kept))
                del self._kept[oldest]
                self._counts[oldest[0]] -= 1
            self._kept[key] = np.frombuffer(key[1], np.float32)
            self._counts[namespace] += 1

    def count(self, namespace: str) -> int:
        """How many of the kept ones were asked of a namespace."""
        return self._counts[namespace]

    def vectors(self, namespace: str) -> Float32s:
        """Those that were asked of a namespace, `(q, dimension)`; at least one is kept."""
        with self._lock:
            return np.stack([vector for (name, _), vector in self._kept.items() if name == namespace])
