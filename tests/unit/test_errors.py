"""The tree of errors: what its docstring draws is what there is."""

import inspect
import pickle
import re

import pytest

from pinyon import errors
from pinyon.errors import PinyonError

CLASSES = [item for item in vars(errors).values() if inspect.isclass(item) and issubclass(item, PinyonError)]


def drawn_tree() -> dict[str, str | None]:
    """Class to parent, as the module's docstring draws them."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    ((?:[│ ]   )*(?:[├└]── )?)(\w+Error)\b", line)
        if match:
            depth = len(match[1]) // 4
            del path[depth:]
            parents[match[2]] = path[-1] if path else None
            path.append(match[2])
    return parents


def test_the_docstring_draws_the_whole_tree():
    parents = {item.__name__: item.mro()[1].__name__ for item in CLASSES}
    assert drawn_tree() == {**parents, "PinyonError": None}


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_carries_its_message(error):
    assert error("index 'a' is gone").message == str(error("index 'a' is gone")) == "index 'a' is gone"


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_survives_a_process_boundary(error):
    copy = pickle.loads(pickle.dumps(error("why")))
    assert (type(copy), copy.message) == (error, "why")
