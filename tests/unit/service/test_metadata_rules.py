import pytest

from pinyon.errors import InvalidArgumentError
from pinyon.service.metadata_rules import check_metadata, check_metadata_value


def test_flat_metadata_is_returned_as_it_is():
    metadata = {"a": "x", "b": 1.5, "c": 3, "d": False, "e": ["x", ""], "f": [], "_g": "", "": "empty", "é$": 1.0}
    assert check_metadata(metadata) == metadata


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        ({"b": 10, "c": True}, '{"b":10.0,"c":true}'),
        ([1, 2.5], "[1.0,2.5]"),
        (["a", None], '["a",null]'),
        ([["é"]], '[["é"]]'),
    ],
)
def test_other_values_are_refused_with_their_json(value, shown):
    with pytest.raises(InvalidArgumentError) as raised:
        check_metadata_value("f", value)
    assert raised.value.message == (
        f"Metadata value must be a string, number, boolean or list of strings, got '{shown}' for field 'f'"
    )


def test_a_key_may_not_look_like_an_operator():
    with pytest.raises(InvalidArgumentError, match=r"^Metadata field '\$f' cannot start with '\$'$"):
        check_metadata({"$f": "x"})


def test_errors_stay_short_whatever_was_sent():
    deep: object = 1
    for _ in range(5000):
        deep = [deep]
    for value in (deep, {"x": "y" * 100_000}):
        with pytest.raises(InvalidArgumentError) as raised:
            check_metadata_value("f" * 100_000, value)
        assert len(raised.value.message) < 1000
