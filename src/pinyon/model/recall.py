"""The share of the true nearest rows that a query finds on average: what is promised, and how callers write it."""

import re
from collections.abc import Mapping
from typing import Final

TARGET_RECALL: Final = 0.97
"""What a query finds where nobody asked for more or less."""

TARGET_RECALL_TAG: Final = "pinyon-target-recall"
"""The tag of an index that says what its queries find."""

_NUMBER: Final = re.compile(r"(?:[0-9]{1,20}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)


def parse_recall(text: str) -> float | None:
    """A recall as a header or a tag has it: a number above 0 and at most 1. None for any other text."""
    if not _NUMBER.fullmatch(text):
        return None
    recall = float(text)
    return recall if 0 < recall <= 1 else None


def tagged_recall(tags: Mapping[str, str]) -> float | None:
    """What the tags of an index ask for; None without the tag, or where it was set before it meant anything."""
    text = tags.get(TARGET_RECALL_TAG)
    return None if text is None else parse_recall(text)
