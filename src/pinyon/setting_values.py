"""What the value of a setting may be: in words, for whoever gave another one, and sizes with their units."""

import re
from typing import Any, Final

from msgspec import inspect

PORT_RANGE_PATTERN: Final = r"^[0-9]{1,5}-[0-9]{1,5}\Z"
API_KEY_PATTERN: Final = r"^[!-~]+\Z"
SIZE_PATTERN: Final = r"^[0-9]{1,15}(\.[0-9]{1,3})?([KMGTkmgt]i?)?[Bb]?\Z"

_PATTERN_WORDS: Final = {
    PORT_RANGE_PATTERN: "two ports, first-last, such as 5081-6080",
    API_KEY_PATTERN: "ASCII characters that can be seen, without spaces",
    SIZE_PATTERN: "a size such as 512M, 2G or 2GiB, where K, M, G and T are powers of 1024, or a number of bytes",
}


def allowed_words(type_: Any) -> str:
    """What may stand after "must be" for a setting of this type, an annotation with `msgspec.Meta`."""
    return _words(inspect.type_info(type_))


def size_bytes(text: str) -> int:
    """A size that fits `SIZE_PATTERN`, in bytes: K, KB and KiB are all 1024 of them, and nothing means bytes."""
    match = re.fullmatch(r"([0-9.]+)([KMGT]?)I?B?", text.upper())
    assert match is not None, "the pattern of the setting was checked"
    unit: int = 1024 ** " KMGT".index(match[2] or " ")
    return round(float(match[1]) * unit)


def _words(info: inspect.Type) -> str:
    match info:
        case inspect.Metadata(type=inner):
            return _words(inner)
        case inspect.UnionType(types=types):
            return " or ".join(_words(each) for each in types if not isinstance(each, inspect.NoneType))
        case inspect.VarTupleType(item_type=item):
            return f"a list, each member {_words(item)}"
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType(values=values):
            return f"one of {', '.join(map(str, values))}"
        case inspect.IntType():
            return f"a whole number {_range_words(info)}"
        case inspect.FloatType():
            return f"a number {_range_words(info)}"
        case inspect.StrType(pattern=str(pattern)):
            return _PATTERN_WORDS[pattern]
        case inspect.StrType(min_length=length):
            return "a text that is not empty" if length else "a text"
        case _:
            raise AssertionError(f"no words for {info}")


def _range_words(info: inspect.IntType | inspect.FloatType) -> str:
    """Bounds for people: each number has a lower one."""
    if info.gt is not None:
        return f"above {info.gt}" + ("" if info.le is None else f" and at most {info.le}")
    assert info.ge is not None, "a setting that is a number has a lower bound"
    return f"of at least {info.ge}" if info.le is None else f"from {info.ge} to {info.le}"
