"""Quantised partitions, and how they are built: rows grouped around centroids, of each one bit a dimension (`codes`).

Building takes two passes over the rows, and memory for the codes only:

    model = train(space, dense[training_rows(row_count, seed)], row_count, seed)
    partitions = concatenate(model.assign(chunk) for chunk in dense)    # first pass
    order, starts = group(partitions, model.partition_count)            # row order[i] becomes row i
    encoder = Encoder(model, starts)
    words = concatenate(encoder.add(chunk) for chunk in dense[order])   # second pass

What must hold of the arrays that are searched, n rows of d dimensions in p partitions:

- `centroids` (p, d) and `mean` (d,) float32, in the space; euclidean rows lie around its origin, and `mean` is zeros;
- `starts` (p + 1,) int64: rows `starts[i]:starts[i + 1]` are those of partition i;
- `words` (n, w) uint64, w = max(⌈d / 64⌉, 4): the code of each row;
- `factors` and `constants` (n,) float32: with c the centroid and q the query, the goodness of row x = c + r is about
  `k <c, q> + factor * <signs of r, q - mean> + constant`. For euclidean k = 2 and the constant is `-|x|²`, else k = 1
  and it is `<r, mean>`; the factor is k times that of the code.

They never change once they are written.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pinyon.ann import codes
from pinyon.ann.partitions import SAMPLE_ROWS, assign, partition_count, train_centroids
from pinyon.ann.rotation import Rotation
from pinyon.ann.space import Space, long_rows
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s, Int32s, Int64s, UInt64s

_ENCODED_BYTES: Final = 4 * 1024 * 1024
"""Rows that are encoded at once, some five times over. Fewer would not be encoded faster, and take more native calls,
each of which asks for the interpreter again."""

_TRAINED_LENGTH_MAX: Final = 2
"""Rows of a sample are shortened to this; most are no longer than 1."""


@dataclass(frozen=True, slots=True)
class Model:
    """What is known before a row is encoded. `seed` chooses the rotation."""

    space: Space
    centroids: Float32s
    mean: Float32s
    seed: int

    @property
    def partition_count(self) -> int:
        """How many partitions there are, at least one."""
        return len(self.centroids)

    @property
    def multiplier(self) -> float:
        """How often the dot product of row and query counts in a goodness."""
        return 2.0 if self.space.metric is Metric.EUCLIDEAN else 1.0

    def with_long_rows(self, rows: Int64s) -> "Model":
        """The same, and these rows are long."""
        return replace(self, space=replace(self.space, long_rows=rows))

    def assign(self, dense: Float32s) -> Int32s:
        """The partition of each row, `(n,)`, of rows as stored, `(n, dimension)` float32."""
        return assign(self.space.rows(dense), self.centroids)


def training_rows(row_count: int, seed: int) -> Int64s:
    """Which of `row_count` rows `train` wants to see, ascending."""
    wanted = max(SAMPLE_ROWS * partition_count(row_count), 1024)
    if wanted >= row_count:
        return np.arange(row_count)
    rows: Int64s = np.random.default_rng(seed).choice(row_count, wanted, replace=False, shuffle=False)
    rows.sort()
    return rows


def train(space: Space, sample: Float32s, row_count: int, seed: int) -> Model:
    """Choose centroids.

    Args:
        space: of the rows.
        sample: `(m, dimension)` float32, at least one row, as stored.
        row_count: how many rows will be encoded, which decides how many partitions there are.
        seed: of all chance: the same rows and seed give the same model.
    """
    rows = space.rows(sample)
    # One row that is far longer than the others would take a centroid and the mean with it.
    rows /= np.maximum(np.sqrt(np.vecdot(rows, rows)) / _TRAINED_LENGTH_MAX, 1)[:, None]
    centroids = train_centroids(rows, partition_count(row_count), np.random.default_rng(seed))
    mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    return Model(space, centroids, np.zeros_like(mean) if space.metric is Metric.EUCLIDEAN else mean, seed)


class Encoder:
    """Codes of rows that come in order of partitions, chunk by chunk.

    Attributes:
        factors: `(n,)` float32, complete when all rows have been added.
        constants: likewise.
        word_count: words of a code.
    """

    def __init__(self, model: Model, starts: Int64s) -> None:
        """Expect the rows of the partitions, `starts[-1]` in all."""
        self.factors: Final[Float32s] = np.zeros(int(starts[-1]), np.float32)
        self.constants: Final[Float32s] = np.zeros(int(starts[-1]), np.float32)
        self._model = model
        self._starts = starts
        self._rotation = Rotation(model.space.dimension, model.seed)
        self.word_count: Final = codes.word_count(self._rotation.padded_width)
        self._row_count = 0

    def add(self, dense: Float32s) -> UInt64s:
        """The words of the next rows, `(m, word_count)`; `dense` is `(m, dimension)` float32, as stored."""
        words = np.empty((len(dense), self.word_count), np.uint64)
        step = max(_ENCODED_BYTES // (4 * self._rotation.padded_width), 1)
        for start in range(0, len(dense), step):
            words[start : start + step] = self._encode(dense[start : start + step])
        return words

    def long_rows(self, squared_norms: NDArray[np.float64]) -> Int64s:
        """The long ones of all rows, of which these are the squared lengths as stored; see `pinyon.ann.space`."""
        metric = self._model.space.metric
        if metric is Metric.COSINE:
            return np.zeros(0, np.int64)
        # The constant of a euclidean row is its squared length in the space, negated.
        return long_rows(-self.constants if metric is Metric.EUCLIDEAN else squared_norms)

    def _encode(self, dense: Float32s) -> UInt64s:
        model, part = self._model, slice(self._row_count, self._row_count + len(dense))
        rows = model.space.rows(dense)
        partitions = np.searchsorted(self._starts, np.arange(part.start, part.stop), side="right") - 1
        residuals = rows - model.centroids[partitions]
        encoded = codes.encode(self._rotation(residuals))
        self.factors[part] = encoded.factors * np.float32(model.multiplier)
        is_euclidean = model.space.metric is Metric.EUCLIDEAN
        self.constants[part] = -np.vecdot(rows, rows) if is_euclidean else residuals @ model.mean
        self._row_count = part.stop
        return encoded.words
