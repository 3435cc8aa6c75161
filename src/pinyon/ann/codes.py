"""One bit a dimension: estimates of dot products from codes (RaBitQ, Gao and Long, SIGMOD 2024).

A vector r is rotated at random, and its code keeps the signs s of the D rotated numbers v. With the rotated query u,

    <r, q>  ≈  factor * <s, u>,   factor = |r|² / (|v_1| + … + |v_D|),

which is unbiased over rotations, with a standard error of about `ERROR * |r| * |q| / sqrt(D)`.

The query's numbers are rounded to odd multiples of a step, so that they are sums of signs too: bit planes. A bit of a
code and a bit of a plane count +1 where they agree and -1 where they differ, so that with two planes and x for XOR

    <s, u>  ≈  step * (3 D - 2 * (popcount(code x plane_0) + 2 * popcount(code x plane_1))).

The sum in brackets is the *distance* below. Two planes cost half as much as four, and make the error 10 % larger.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pinyon.ann.rotation import WORD_BITS
from pinyon.model.record import Float32s

UInt8s = NDArray[np.uint8]
UInt64s = NDArray[np.uint64]
UInt16s = NDArray[np.uint16]

ERROR: Final = 0.88
"""Standard error of an estimate in units of `|r| * |q| / sqrt(D)`. Of its square, pi / 2 - 1 comes from the code, and
0.21 from the rounded query."""

_PLANES: Final = 2
_STEP: Final = 0.5
"""Half the distance of two levels in standard deviations: the best for normally distributed numbers in four levels
(Max, Quantizing for minimum distortion, 1960)."""

_WORDS_SUMMED: Final = 3
"""Popcounts of so many words fit into a byte."""


class Codes(NamedTuple):
    """Codes of m vectors: `words` (m, D / 64) uint64, bit i of word j for number 64 j + i; `factors` (m,) float32."""

    words: UInt64s
    factors: Float32s


def encode(rotated: Float32s) -> Codes:
    """Codes of rotated vectors, `(m, D)` float32, D a multiple of 64."""
    bits = np.packbits(rotated > 0, axis=1, bitorder="little")
    squares = np.vecdot(rotated, rotated)
    sums = np.abs(rotated).sum(axis=1)
    factors = np.divide(squares, sums, out=np.zeros_like(sums), where=sums > 0)
    return Codes(bits.view("<u8").astype(np.uint64, copy=False), factors)


@dataclass(frozen=True, slots=True)
class PreparedQuery:
    """A query in bit planes, `(planes, D / 64, 1)` uint64; `<s, u>` is about `offset - scale * distance`."""

    planes: UInt64s
    offset: float
    scale: float


def prepare(rotated: Float32s) -> PreparedQuery:
    """The planes of a rotated query, `(D,)` float32."""
    square = float(np.vdot(rotated, rotated))
    step = _STEP * float(np.sqrt(square / len(rotated))) or 1.0
    levels = np.floor(rotated * np.float32(0.5 / step)).clip(-(1 << _PLANES - 1), (1 << _PLANES - 1) - 1)
    # Rounded numbers are too small along the query itself, by which rows far from their centroid would lose.
    along = 2 * step * (float(np.vdot(levels, rotated)) + float(rotated.sum()) / 2)
    step *= square / along if along > 0 else 1.0
    numbers = (levels + (1 << _PLANES - 1)).astype(np.uint8)
    bits = np.packbits(numbers >> np.arange(_PLANES, dtype=np.uint8)[:, None] & 1, axis=1, bitorder="little")
    return PreparedQuery(
        planes=bits.view("<u8").astype(np.uint64, copy=False)[:, :, None],
        offset=step * len(rotated) * ((1 << _PLANES) - 1),
        scale=2 * step,
    )


class Scratch:
    """Memory for `distances`; of one thread at a time."""

    def __init__(self) -> None:
        """Start empty."""
        self._different = np.zeros(0, np.uint64)
        self._counts = np.zeros(0, np.uint8)

    def of(self, shape: tuple[int, ...]) -> tuple[UInt64s, UInt8s]:
        """Two arrays of a shape, with anything in them."""
        size = int(np.prod(shape))
        if size > len(self._counts):
            self._different, self._counts = np.empty(size, np.uint64), np.empty(size, np.uint8)
        return self._different[:size].reshape(shape), self._counts[:size].reshape(shape)


def distances(words: UInt64s, planes: UInt64s, scratch: Scratch, out: UInt16s) -> None:
    """Write the distance of each code.

    Args:
        words: `(b, D / 64, m)`: b groups of m codes, word by word.
        planes: of a prepared query; the last axis may be repeated m times.
        scratch: memory to work in.
        out: `(b, m)` uint16.
    """
    assert words.shape[1] * WORD_BITS * ((1 << len(planes)) - 1) < 2**16, "20,000 dimensions are the most there are"
    different, counts = scratch.of(words.shape)
    sums = counts[:, ::_WORDS_SUMMED]
    others = [counts[:, first::_WORDS_SUMMED] for first in range(1, min(_WORDS_SUMMED, counts.shape[1]))]
    out[...] = 0
    for plane in planes[::-1]:
        np.bitwise_xor(words, plane, out=different)
        np.bitwise_count(different, out=counts)
        for other in others:
            sums[:, : other.shape[1]] += other
        out += out
        for number in range(sums.shape[1]):
            out += sums[:, number]


def word_count(width: int) -> int:
    """Words of a code of `width` bits."""
    return width // WORD_BITS
