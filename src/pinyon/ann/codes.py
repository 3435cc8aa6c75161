"""One bit a dimension: estimates of dot products from codes (RaBitQ, Gao and Long, SIGMOD 2024).

A vector r is rotated at random, and its code keeps the signs s of the D rotated numbers v. With the rotated query u,

    <r, q>  ≈  factor * <s, u>,   factor = |r|² / (|v_1| + … + |v_D|),

which is unbiased over rotations, with a standard error of about `ERROR * |r| * |q| / sqrt(D)`.

The query's numbers are rounded to odd multiples of a step, so that they are sums of signs too: bit planes. A bit of a
code and a bit of a plane count +1 where they agree and -1 where they differ, so that with two planes and x for XOR

    <s, u>  ≈  step * (3 D - 2 * (popcount(code x plane_0) + 2 * popcount(code x plane_1))).

The sum in brackets is the *distance* below. Two planes cost half as much as four, and make the error 10 % larger.
"""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from pinyon.ann.rotation import WORD_BITS
from pinyon.model.record import Float32s, UInt16s, UInt64s

ERROR: Final = 0.88
"""Standard error of an estimate in units of `|r| * |q| / sqrt(D)`. Of its square, pi / 2 - 1 comes from the code, and
0.21 from the rounded query."""

_PLANES: Final = 2
_STEP: Final = 0.5
"""Half the distance of two levels in standard deviations: the best for normally distributed numbers in four levels
(Max, Quantizing for minimum distortion, 1960)."""

_COMPARED_BYTES: Final = 120_000
"""Codes that are looked at together: they, the planes, and what is made of them stay in a core's cache."""


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
    """A query in bit planes; `<s, u>` is about `offset - scale * distance`.

    Attributes:
        planes: `(2, n, D / 64)` uint64: each plane n times, for n codes that are looked at together.
        offset: the estimate of a code without a distance.
        scale: what a distance of 1 takes from it.
        error: the standard error of an estimated `<r, q>` for a factor of 1, as the factor is `|r| * sqrt(pi / 2 / D)`
            on average.
    """

    planes: UInt64s
    offset: float
    scale: float
    error: float


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
    planes = bits.view("<u8").astype(np.uint64, copy=False)[:, None]
    return PreparedQuery(
        # Numpy combines two long arrays several times as fast as a long one and the same few words again and again.
        planes=np.repeat(planes, max(1, _COMPARED_BYTES // planes[0].nbytes), axis=1),
        offset=step * len(rotated) * ((1 << _PLANES) - 1),
        scale=2 * step,
        error=ERROR * math.sqrt(2 / math.pi * square),
    )


def distances(words: UInt64s, planes: UInt64s, out: UInt16s) -> None:
    """Write the distance of each code.

    Args:
        words: `(m, D / 64)`.
        planes: of a prepared query.
        out: `(m,)` uint16.
    """
    assert words.shape[1] * WORD_BITS * ((1 << _PLANES) - 1) < 2**16, "20,000 dimensions are the most there are"
    low, high = planes
    for start in range(0, len(words), len(low)):
        some = words[start : start + len(low)]
        # Of one word no more than 3 * 64, which fits into a byte.
        counts = np.bitwise_count(some ^ high[: len(some)])
        counts += counts
        counts += np.bitwise_count(some ^ low[: len(some)])
        # Numpy adds few long rows much faster than many short ones.
        by_word = np.ascontiguousarray(counts.T)
        np.add.reduce(by_word, axis=0, dtype=np.uint16, out=out[start : start + len(low)])


def word_count(width: int) -> int:
    """Words of a code of `width` bits."""
    return width // WORD_BITS
