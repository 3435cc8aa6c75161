"""JSON files with a checksum: their bytes, and what is said of those that are something else."""

import pytest
from crc32c import crc32c

from pinyon.storage.checked_json import CheckedJson, OtherVersionError

NUMBERS = CheckedJson("list of numbers", "numbers", list[int])
WHOLE = b'{"format_version":1,"crc32c":%d,"numbers":[1,20]}' % crc32c(b"[1,20]")


def test_the_bytes_are_those_of_the_format() -> None:
    assert NUMBERS.encode([1, 20]) == WHOLE
    assert NUMBERS.decode(WHOLE) == [1, 20]


def test_the_checksum_is_that_of_the_bytes_that_are_there() -> None:
    content = b"[ 1,\n20 ]"
    assert NUMBERS.decode(b'{"format_version":1,"crc32c":%d,"numbers":%s}' % (crc32c(content), content)) == [1, 20]
    with pytest.raises(ValueError, match=r"^its checksum does not match$"):
        NUMBERS.decode(WHOLE.replace(b"[1,20]", content))


@pytest.mark.parametrize("version", [0, 2])
def test_another_version_is_told_whatever_else_the_file_holds(version: int) -> None:
    with pytest.raises(OtherVersionError, match=f"^its format version is {version}, and this Pinyon reads 1$") as error:
        NUMBERS.decode(b'{"tables":[],"format_version":%d}' % version)
    assert error.value.version == version


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"a":' * 100_000,
        WHOLE.replace(b"numbers", b"letters"),
        WHOLE[:-1] + b',"later":1}',
        b'{"format_version":1,"crc32c":%d,"numbers":["a"]}' % crc32c(b'["a"]'),
    ],
    ids=["empty", "torn", "list", "not text", "deep", "other field", "more fields", "other content"],
)
def test_what_is_something_else_is_said_so(file: bytes) -> None:
    with pytest.raises(ValueError, match=r"^it is not a list of numbers: "):
        NUMBERS.decode(file)
