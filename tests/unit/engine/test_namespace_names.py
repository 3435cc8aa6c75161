"""Pages of names are the same, however they are found."""

import pytest

from pinyon.engine.namespace_names import NamespaceNames

NAMES = ["b", "a/2", "ab", "a", "a/10", "", "a/1", "B", "a\U0010ffff", "a\U0010ffff1", "~", "__default__"]
AROUND = ["", "a", "a/", "a/1", "a\U0010ffff", "b", "c", "~~", "A"]


@pytest.mark.parametrize("prefix", AROUND)
@pytest.mark.parametrize("after", [None, *AROUND])
def test_a_page_is_a_slice_of_the_sorted_names(prefix: str, after: str | None) -> None:
    names = NamespaceNames(NAMES)
    with_prefix = sorted(name for name in NAMES if name.startswith(prefix))
    rest = [name for name in with_prefix if after is None or name > after]
    for limit in (1, 2, 100):
        assert names.page(prefix, after, limit) == (rest[:limit], len(with_prefix))


def test_no_names_are_a_page_too() -> None:
    assert NamespaceNames([]).page("", None, 10) == ([], 0)
    assert NamespaceNames([]).page("a", "b", 10) == ([], 0)
