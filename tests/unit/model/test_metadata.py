"""Metadata is merged field by field."""

import pytest

from pinyon.model.metadata import merge_metadata
from pinyon.model.record import Metadata
from pinyon.protobuf.struct import decode_metadata, encode_metadata


@pytest.mark.parametrize(
    ("stored", "changes"),
    [
        ({}, {}),
        ({"a": "x"}, {}),
        ({}, {"a": "x"}),
        ({"a": "x", "b": 1.0}, {"b": True, "c": ["y", ""]}),
        ({"a": "x"}, {"a": []}),
    ],
)
def test_changes_are_set_over_what_is_stored(stored: Metadata, changes: Metadata) -> None:
    merged = merge_metadata(encode_metadata(stored), encode_metadata(changes))
    assert decode_metadata(merged) == stored | changes
