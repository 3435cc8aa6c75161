"""The hash by which a segment finds ids. The function and its seed are part of the format: `docs/format/v1.md`."""

from collections.abc import Sequence

import mmh3
import numpy as np

from pinyon.model.record import UInt64s


def id_hashes(ids: Sequence[str]) -> UInt64s:
    """For each id 64 bits, `(n,)`: the first half of MurmurHash3 x64 128 of its UTF-8 bytes, seed 0."""
    digests = np.frombuffer(b"".join(map(mmh3.hash_bytes, ids)), "<u8")
    return digests[::2].astype(np.uint64)
