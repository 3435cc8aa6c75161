"""What bodies that no client means are made of."""

from typing import Any, Final

from hypothesis import strategies as st

KEYS: Final = [
    "id",
    "values",
    "metadata",
    "sparseValues",
    "indices",
    "$and",
    "$or",
    "$in",
    "$eq",
    "$gt",
    "$exists",
    "fields",
    "a",
]

NUMBERS: Final = st.one_of(
    st.sampled_from([0, -1, 1, 0.5, 1e308, -1e308, 5e-324, 2**63, 2**64 - 1, -(2**63), 2**32, 10_001]),
    st.integers(-3, 3),
)
TEXTS: Final = st.one_of(
    st.text(max_size=5), st.sampled_from(["", "1", "1e999", "nan", "x" * 600, "\0", "__default__"])
)
JSON: Final[st.SearchStrategy[Any]] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | TEXTS, inner, max_size=3),
    max_leaves=6,
)


def mutated(good: bytes) -> st.SearchStrategy[bytes]:
    """The bytes with some cut out, doubled, or replaced."""
    positions = st.integers(0, len(good))
    piece = st.one_of(
        st.binary(max_size=3), st.sampled_from([b"[", b"{", b"]", b'"', b"null", b"-", b"1e999", b"\\ud800", b"\xff"])
    )
    return st.builds(
        lambda start, end, new: good[: min(start, end)] + new + good[max(start, end) :], positions, positions, piece
    )
