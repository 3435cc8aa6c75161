"""When the exact scores of some rows tell that the others need none."""

from typing import Final

import numpy as np

from pinyon.model.record import Float32s

ENOUGH_RECALL_MAX: Final = 0.99
"""For more, all rows are to be scored that were chosen: one in some thousands is missed otherwise."""

_ERRORS: Final = 2.0
"""How many standard errors above its estimate a row that was left is reckoned with. Of real texts, one query in ten
then has all 8,192 rows of a block scored, and nothing is missed; with 1.5 one in fifty, and one row in 2,000 is."""


def are_enough(goodness: Float32s, estimates: Float32s, left: float, top_k: int) -> bool:
    """True if hardly any row that was not scored is among the best `top_k`.

    Args:
        goodness: `(m,)`, the exact one of the rows that were scored; at least `top_k`.
        estimates: `(m,)`, what it was taken for. How far they are off is how far others are.
        left: the best estimate of a row that was not scored.
        top_k: how many rows are looked for.
    """
    last = np.partition(goodness, len(goodness) - top_k)[len(goodness) - top_k]
    error = np.sqrt(np.mean(np.square(goodness - estimates)))
    return bool(last - left > _ERRORS * error)
