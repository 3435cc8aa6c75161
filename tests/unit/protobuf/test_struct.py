import pytest

from pinyon.errors import InvalidArgumentError
from pinyon.protobuf.struct import (
    DEPTH_MAX,
    FlatValue,
    decode,
    decode_metadata,
    encode_metadata,
    json_length,
    json_object,
    list_members,
    metadata_fields,
)

NAN = b"\x11\x00\x00\x00\x00\x00\x00\xf8\x7f"
INFINITY = b"\x11\x00\x00\x00\x00\x00\x00\xf0\x7f"


def entry(key: bytes, value: bytes) -> bytes:
    return sized(0x0A, sized(0x0A, key) + sized(0x12, value))


def sized(tag: int, content: bytes) -> bytes:
    assert len(content) < 0x80
    return bytes([tag, len(content)]) + content


def test_the_canonical_form_is_this():
    metadata: dict[str, FlatValue] = {"genre": "drama", "year": 2020.0, "new": True, "tags": ["a", ""], "": ""}
    assert encode_metadata(metadata) == (
        b"\x0a\x10\x0a\x05genre\x12\x07\x1a\x05drama"
        b"\x0a\x11\x0a\x04year\x12\x09\x11\x00\x00\x00\x00\x00\x90\x9f\x40"
        b"\x0a\x09\x0a\x03new\x12\x02\x20\x01"
        b"\x0a\x13\x0a\x04tags\x12\x0b\x32\x09\x0a\x03\x1a\x01a\x0a\x02\x1a\x00"
        b"\x0a\x06\x0a\x00\x12\x02\x1a\x00"
    )


@pytest.mark.parametrize("metadata", [{}, {"é": "日本"}, {"a": False}, {"a": []}, {"k" * 300: "v" * 20_000}])
def test_metadata_makes_the_round_trip(metadata):
    assert decode_metadata(encode_metadata(metadata)) == metadata
    assert decode(encode_metadata(metadata)) == metadata


def test_integers_become_doubles():
    assert encode_metadata({"a": 3}) == encode_metadata({"a": 3.0})


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 10**400])
def test_numbers_that_are_no_finite_double_are_refused(number):
    with pytest.raises(InvalidArgumentError, match="Number"):
        encode_metadata({"a": number})


def test_text_that_utf8_cannot_encode_is_refused():
    with pytest.raises(InvalidArgumentError, match="UTF-8"):
        encode_metadata({"a": ["\ud800"]})


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(entry(b"a", b"\x08\x00"), id="null"),
        pytest.param(entry(b"a", b""), id="no value"),
        pytest.param(entry(b"a", b"\x2a\x00"), id="struct"),
        pytest.param(entry(b"a", b"\x32\x0b\x0a\x09\x11" + bytes(8)), id="list of a number"),
        pytest.param(entry(b"a", b"\x20\x01\x20\x00"), id="two values"),
        pytest.param(entry(b"a", b"\x11" + bytes(7)), id="short number"),
        pytest.param(
            sized(0x0A, sized(0x0A, b"a") + sized(0x12, b"\x20\x01") + b"\x18\x01"), id="a third field in an entry"
        ),
        pytest.param(sized(0x0A, sized(0x12, b"\x20\x01")), id="no key"),
        pytest.param(sized(0x0A, sized(0x12, b"\x20\x01") + sized(0x0A, b"a")), id="value first"),
        pytest.param(entry(b"a", b"\x20\x01")[:-1], id="cut"),
        pytest.param(entry(b"a", b"\x20\x01") + b"\x0a", id="cut after an entry"),
        pytest.param(entry(b"a", b"\x20\x01") + b"\x10\x01", id="unknown field"),
    ],
)
def test_only_the_canonical_form_is_read_as_metadata(data):
    with pytest.raises(InvalidArgumentError):
        decode_metadata(data)


def test_fields_of_metadata_are_found_where_they_stand():
    data = b"..." + encode_metadata({"ab": "xyz", "n": 1.0})
    found = [(data[a:b], kind, data[start:end]) for a, b, kind, start, end in metadata_fields(data, 3, len(data))]
    assert found == [(b"ab", 3, b"xyz"), (b"n", 2, b"\x00\x00\x00\x00\x00\x00\xf0\x3f")]


def test_members_of_a_list_are_found_where_they_stand():
    data = encode_metadata({"a": ["x", "", "yz"]})
    ((_, _, _, start, end),) = metadata_fields(data, 0, len(data))
    assert [data[first:last] for first, last in list_members(data, start, end)] == [b"x", b"", b"yz"]


# Any Struct.


@pytest.mark.parametrize(
    ("data", "tree"),
    [
        pytest.param(b"", {}, id="empty"),
        pytest.param(entry(b"a", b"\x08\x00"), {"a": None}, id="null"),
        pytest.param(entry(b"a", b""), {"a": None}, id="no kind is null"),
        pytest.param(sized(0x0A, b""), {"": None}, id="neither key nor value"),
        pytest.param(entry(b"a", b"\x20\x01") + entry(b"a", b"\x1a\x01x"), {"a": "x"}, id="last of equal keys"),
        pytest.param(entry(b"a", b"\x20\x01\x1a\x01x"), {"a": "x"}, id="last of two kinds"),
        pytest.param(entry(b"a", b"\x20\x01\x08\x00"), {"a": None}, id="null last"),
        pytest.param(
            entry(b"a", sized(0x2A, entry(b"b", b"\x20\x01")) + sized(0x2A, entry(b"c", b"\x20\x00"))),
            {"a": {"b": True, "c": False}},
            id="structs merge",
        ),
        pytest.param(
            sized(
                0x0A, sized(0x12, sized(0x32, b"\x0a\x00")) + sized(0x0A, b"a") + sized(0x12, sized(0x32, b"\x0a\x00"))
            ),
            {"a": [None, None]},
            id="values merge",
        ),
        pytest.param(entry(b"a", b"\x32\x0a\x0a\x02\x08\x00\x0a\x04\x1a\x02hi"), {"a": [None, "hi"]}, id="list"),
        pytest.param(entry(b"a", b"\x20\x01") + b"\x10\x05", {"a": True}, id="unknown field"),
    ],
)
def test_any_struct_decodes(data, tree):
    assert decode(data) == tree


def nested(depth: int, kind: str) -> bytes:
    data = b""
    for _ in range(depth):
        if kind == "struct":
            data = b"\x0a" + varint(len(data) + 1 + len(varint(len(data)))) + b"\x12" + varint(len(data)) + data
            data = b"\x2a" + varint(len(data)) + data
        else:
            data = b"\x0a" + varint(len(data)) + data
            data = b"\x32" + varint(len(data)) + data
    return b"\x0a" + varint(len(data) + 1 + len(varint(len(data)))) + b"\x12" + varint(len(data)) + data


def varint(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + varint(value >> 7)


@pytest.mark.parametrize("kind", ["struct", "list"])
def test_nesting_is_limited(kind):
    decode(nested(DEPTH_MAX, kind))
    with pytest.raises(InvalidArgumentError, match="nested deeper than 100 levels"):
        decode(nested(DEPTH_MAX + 1, kind))


@pytest.mark.parametrize("number", [NAN, INFINITY])
def test_numbers_that_json_does_not_have_are_refused(number):
    with pytest.raises(InvalidArgumentError, match="Number must be finite"):
        decode(entry(b"a", number))


@pytest.mark.parametrize("data", [entry(b"\xff", b"\x20\x01"), entry(b"a", b"\x1a\x01\xff")])
def test_strings_that_are_not_utf8_are_refused(data):
    for read in (decode, decode_metadata):
        with pytest.raises(InvalidArgumentError, match="not valid UTF-8"):
            read(data)


# JSON.


def test_integral_numbers_are_shown_as_integers():
    shown = json_object(encode_metadata({"year": 2020.0, "x": 0.5, "big": 2.0**63, "huge": 1e300, "ok": True}))
    assert shown == {"year": 2020, "x": 0.5, "big": 2**63, "huge": 1e300, "ok": True}
    assert [type(value) for value in shown.values()] == [int, float, int, float, bool]


def test_the_length_is_that_of_compact_json():
    assert json_length(encode_metadata({"year": 2020.0, "é": ["a", "\n"]})) == len(
        '{"year":2020,"é":["a","\\n"]}'.encode()
    )
    assert json_length(b"") == len("{}")
