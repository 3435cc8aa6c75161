"""Which partitions promise the best rows for a query.

Rows lie around a centroid in all directions. Those that lie towards the query are nearer than the centroid, by a part
of the radius: this finds the ten nearest of real texts in a third fewer rows than centroids alone do.
"""

from typing import Final

import numpy as np

from pinyon.ann.quantiser import Model
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s, Int64s

_TOWARDS_QUERY: Final = 0.25
"""How far towards a query the best rows of a partition lie, in radii: about what is best for some 400 dimensions."""


class PartitionOrder:
    """The order in which partitions are worth looking into."""

    def __init__(self, model: Model, starts: Int64s, factors: Float32s, padded_width: int) -> None:
        """Take what `pinyon.ann.quantiser` built; `padded_width` is the rotation's."""
        self._model = model
        sizes = np.diff(starts)
        # The numbers of a rotated vector sum up to about sqrt(2 D / pi) times its length, so a factor tells the length.
        per_factor = np.sqrt(2 * padded_width / np.pi) / model.multiplier
        used = sizes > 0
        self._radii: Final = np.zeros(len(sizes), np.float32)
        if len(model.space.long_rows):  # They are found anyway; their partitions would promise what is not there.
            factors = factors.copy()
            factors[model.space.long_rows] = 0
        self._radii[used] = np.add.reduceat(factors, starts[:-1][used]) / sizes[used] * per_factor
        self._squares: Final = np.vecdot(model.centroids, model.centroids) + self._radii * self._radii

    def order(self, query: Float32s, near: Float32s) -> Int64s:
        """All partitions, the one that promises most first.

        Args:
            query: in the space.
            near: the dot products of centroids with it.
        """
        order: Int64s = np.argsort(-self._promise(query, near))
        return order

    def _promise(self, query: Float32s, near: Float32s) -> Float32s:
        """About the best goodness to be found in each partition."""
        if self._model.space.metric is not Metric.EUCLIDEAN:
            return near + self._radii * np.float32(_TOWARDS_QUERY)
        squares = self._squares - 2 * near  # Less |q|².
        distances = np.sqrt(np.maximum(squares + np.vdot(query, query), 0))
        promise: Float32s = self._radii * distances * np.float32(2 * _TOWARDS_QUERY) - squares
        return promise
