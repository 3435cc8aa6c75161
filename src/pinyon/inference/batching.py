"""Which pieces are computed next: a pure function over the jobs that wait.

What must hold:

- urgent jobs come before the others and never share a batch with them: a query of ten words must not wait for the
  passages beside it;
- among jobs of one kind the oldest comes first: as many of its pieces as fit are in the next batch, so no job starves;
- pieces of one batch are of similar length where a backend fills up the short ones to the length of the longest.

Measured with all-MiniLM-L6-v2 on one thread of onnxruntime: a call costs as much as 10 tokens more, a token the same
0.2 ms from 256 tokens a batch on, and more again over 1,000. So a call of its own is cheaper than filling up, and large
batches gain nothing, but keep a query waiting that comes meanwhile.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from pinyon.inference.protocol import Piece

_FILLED_UP_TOKENS_MAX: Final = 8
"""Tokens that any piece may be filled up with; about what a call of its own would cost."""


@dataclass(slots=True, eq=False)
class Job:
    """The pieces of one request.

    Attributes:
        pieces: all of them, in the request's order.
        is_urgent: True where somebody waits for the answer to a question, as with a query.
        left: positions of the pieces that are in no batch yet, longest piece first.
    """

    pieces: Sequence[Piece]
    is_urgent: bool
    left: list[int] = field(init=False)

    def __post_init__(self) -> None:
        """Everything is left."""
        self.left = sorted(range(len(self.pieces)), key=self.length, reverse=True)

    def length(self, position: int) -> int:
        """Tokens of a piece."""
        return self.pieces[position].token_count


AnyJob = TypeVar("AnyJob", bound=Job)


def next_batch(
    jobs: Sequence[AnyJob], pieces_max: int, tokens_max: int, is_padded: bool = True
) -> list[tuple[AnyJob, int]]:
    """Choose the pieces to compute next.

    Args:
        jobs: those that wait, in the order in which they came; each has something left.
        pieces_max: of one batch.
        tokens_max: of one batch, each piece counted as long as the longest; a piece that has more goes alone.
        is_padded: False where a backend does not fill up short pieces, so that lengths need not be similar.

    Returns:
        Jobs and positions of their pieces; empty only where no job waits.
    """
    if not jobs:
        return []
    ready = [job for job in jobs if job.is_urgent] or jobs
    longest = ready[0].length(ready[0].left[0])
    shortest = longest * 3 // 4 - _FILLED_UP_TOKENS_MAX if is_padded else 0
    similar = ((job, position) for job in ready for position in job.left if shortest <= job.length(position) <= longest)
    return list(itertools.islice(similar, max(1, min(pieces_max, tokens_max // max(1, longest)))))
