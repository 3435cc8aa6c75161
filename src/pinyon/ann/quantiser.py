"""Quantised partitions, and how they are built: rows grouped around centroids, of each one bit a dimension (`codes`).

Building takes two passes over the rows, and memory for the codes only:

    model = train(space, dense[training_rows(row_count, seed)], row_count, seed)
    partitions = concatenate(model.assign(chunk) for chunk in dense)    # first pass
    order, starts = group(partitions, model.partition_count)            # row order[i] becomes row i
    encoder = Encoder(model, starts)
    words = [encoder.add(chunk) for chunk in dense[order]]              # second pass
    words.append(encoder.finish())

What must hold of the arrays that are searched, n rows of d dimensions in p partitions:

- `centroids` (p, d) and `mean` (d,) float32, in the space; euclidean rows lie around its origin, and `mean` is zeros;
- `starts` (p + 1,) int64: rows `starts[i]:starts[i + 1]` are those of partition i;
- `words` (b, w, 1024) uint64, b = ⌈n / 1024⌉ and w = max(⌈d / 64⌉, 4): the codes of rows 1024 i to 1024 i + 1023,
  word by word, are `words[i]`; zeros follow the last row;
- `factors` and `constants` (n,) float32: with c the centroid and q the query, the goodness of row x = c + r is about
  `k <c, q> + factor * <signs of r, q - mean> + constant`. For euclidean k = 2 and the constant is `-|x|²`, else k = 1
  and it is `<r, mean>`; the factor is k times that of the code.

They never change once they are written.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from pinyon.ann import codes
from pinyon.ann.codes import UInt64s
from pinyon.ann.partitions import SAMPLE_ROWS, Int32s, assign, partition_count, train_centroids
from pinyon.ann.rotation import Rotation
from pinyon.ann.space import Space
from pinyon.model.metric import Metric
from pinyon.model.record import Float32s, Int64s

BLOCK_ROWS: Final = 1024
"""Rows whose codes lie together: so few that the last block wastes little, so many that a call for one is worth it."""

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
        factors: `(n,)` float32, complete after `finish`.
        constants: likewise.
    """

    def __init__(self, model: Model, starts: Int64s) -> None:
        """Expect the rows of the partitions, `starts[-1]` in all."""
        self.factors: Final[Float32s] = np.zeros(int(starts[-1]), np.float32)
        self.constants: Final[Float32s] = np.zeros(int(starts[-1]), np.float32)
        self._model = model
        self._starts = starts
        self._rotation = Rotation(model.space.dimension, model.seed)
        self._row_count = 0
        self._rest = np.zeros((0, codes.word_count(self._rotation.padded_width)), np.uint64)

    def add(self, dense: Float32s) -> UInt64s:
        """Encode the next rows, `(m, dimension)` float32 as stored.

        Returns:
            The words of the blocks that are full by now, `(b, w, 1024)`.
        """
        encoded = [self._encode(dense[start : start + BLOCK_ROWS]) for start in range(0, len(dense), BLOCK_ROWS)]
        words = np.concatenate([self._rest, *encoded])
        full = len(words) - len(words) % BLOCK_ROWS
        self._rest = words[full:]
        return _as_blocks(words[:full])

    def finish(self) -> UInt64s:
        """The words of the last block, `(1, w, 1024)`, or of none where the one before was full."""
        assert self._row_count == len(self.factors), "all rows have been added"
        if not len(self._rest):
            return _as_blocks(self._rest)
        padding = np.zeros((BLOCK_ROWS - len(self._rest), self._rest.shape[1]), np.uint64)
        return _as_blocks(np.concatenate([self._rest, padding]))

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


def _as_blocks(words: UInt64s) -> UInt64s:
    """Words of full blocks, row by row, brought into order word by word."""
    return np.ascontiguousarray(words.reshape(-1, BLOCK_ROWS, words.shape[1]).transpose(0, 2, 1))
