"""A random rotation that costs n log n: rounds of random signs and Hadamard transforms.

After it the numbers of any vector are about equally large, which is what one bit a dimension wants. Vectors are padded
with zeros to D numbers, a multiple of 64, and for codes of one bit at least 256. A transform has the size of the
largest power of two p ≤ D, and is applied to the first and to the last p numbers in turn, so that each depends on all.

The signs of a seed are part of the format: bit i of the 64-bit numbers that PCG64 draws, lowest first, tells whether
number i is negated, round after round.
"""

from typing import Final

import numpy as np

from pinyon.model.record import Float32s

WORD_BITS: Final = 64

_ROUNDS: Final = 4
_WIDTH_MIN: Final = 256


def padded_width(width: int, width_min: int = _WIDTH_MIN) -> int:
    """Numbers of a rotated vector: the next multiple of 64; more for short vectors, as one bit of each will be kept."""
    return max(-(-width // WORD_BITS) * WORD_BITS, width_min)


class Rotation:
    """The rotation of a width and a seed: the same on every machine, but for rounding."""

    def __init__(self, width: int, seed: int, width_min: int = _WIDTH_MIN) -> None:
        """Prepare the rotation to at least `width_min` numbers, a multiple of 64."""
        self.width: Final = width
        self.padded_width: Final = padded_width(width, width_min)
        bits = np.random.PCG64(seed).random_raw(_ROUNDS * self.padded_width // WORD_BITS).astype("<u8").view(np.uint8)
        negated = np.unpackbits(bits, bitorder="little").reshape(_ROUNDS, self.padded_width)
        self._signs: Final[Float32s] = 1 - 2 * negated.astype(np.float32)
        self._size_log2: Final = self.padded_width.bit_length() - 1
        self._left: Final = _hadamard(self._size_log2 // 2)
        self._right: Final = _hadamard(self._size_log2 - self._size_log2 // 2)

    def __call__(self, rows: Float32s) -> Float32s:
        """Rotate rows, `(n, width)` float32; `(n, padded_width)`, lengths and dot products kept."""
        rotated = np.zeros((len(rows), self.padded_width), np.float32)
        rotated[:, : self.width] = rows
        size = 1 << self._size_log2
        grid = (len(rows), len(self._left), len(self._right))
        for number, signs in enumerate(self._signs):
            rotated *= signs
            part = rotated[:, :size] if number % 2 == 0 else rotated[:, -size:]
            # A Hadamard matrix is a Kronecker product of small ones, and multiplying with those is work for BLAS.
            part[...] = (self._left @ (part.reshape(grid) @ self._right)).reshape(part.shape)
        return rotated


def _hadamard(size_log2: int) -> Float32s:
    """The orthogonal Hadamard matrix of 2**size_log2 rows."""
    matrix = np.ones((1, 1))
    for _ in range(size_log2):
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    orthogonal: Float32s = (matrix / np.sqrt(len(matrix))).astype(np.float32)
    return orthogonal
