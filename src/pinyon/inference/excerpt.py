"""The part of a long text that its tokens come from, so that a request costs what its limit allows, whatever it sends.

What must hold: cut to the limit, the tokens of the part are those of the whole text.
"""

from collections.abc import Callable, Sequence
from typing import Final

from pinyon.inference.protocol import Truncate

_CHARACTERS_PER_TOKEN: Final = 16
_CHARACTERS_MIN: Final = 4096
"""What is looked at first: more than nearly all texts need, so that few are split more than once."""


def excerpt(text: str, room: int, truncate: Truncate, inner_count: Callable[[str], int]) -> str:
    """The start of a text, or for `Truncate.START` its end, with more than `room` tokens; all of a text without.

    Args:
        text: of any length.
        room: tokens that will be used at most.
        truncate: which end will be cut off. Where none may be, what has more than `room` tokens is to be refused.
        inner_count: how many tokens a part has without those of its first and its last word, which a cut may have
            changed; `inner_tokens` counts them.
    """
    size = max(room * _CHARACTERS_PER_TOKEN, _CHARACTERS_MIN)
    while size < len(text):
        part = text[-size:] if truncate is Truncate.START else text[:size]
        # More than `room`: so not even the last of them is used, which may be the start of a sign of two words.
        if inner_count(part) > room:
            return part
        size *= 2
    return text


def inner_tokens(words: Sequence[int | None]) -> int:
    """How many tokens belong to neither the first nor the last word.

    Args:
        words: the word of each token, as the tokenizers package numbers them.
    """
    return sum(word not in (words[0], words[-1]) for word in words)
