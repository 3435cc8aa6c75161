import gzip
from urllib.parse import unquote

import pytest

from pinyon import limits
from pinyon.errors import InvalidArgumentError, PayloadTooLargeError, UnimplementedError
from pinyon.wire.grpc.framing import encode_status_message, frame, unframe

GZIPPED = gzip.compress(b"abc", mtime=0)
"""The same bytes whenever they are made: they name a test."""


def test_a_frame_has_flags_length_and_message():
    assert frame([b"ab", b"", b"c"]) == b"\x00\x00\x00\x00\x03abc"
    assert frame([]) == b"\x00\x00\x00\x00\x00"


def test_a_message_is_taken_out_of_its_frame():
    assert bytes(unframe(frame([b"abc"]))) == b"abc"
    assert bytes(unframe(frame([]))) == b""


@pytest.mark.parametrize(
    "body", [b"", b"\x00\x00\x00", b"\x00\x00\x00\x00\x03ab", b"\x00\x00\x00\x00\x03abcd", b"\x02\x00\x00\x00\x00"]
)
def test_a_body_that_is_not_exactly_one_message_is_refused(body):
    with pytest.raises(InvalidArgumentError, match="Request body"):
        unframe(body)


def compressed(data: bytes) -> bytes:
    return b"\x01" + frame([data])[1:]


def test_gzip_is_read():
    assert bytes(unframe(compressed(GZIPPED), "gzip")) == b"abc"


def test_other_compression_is_not_implemented():
    with pytest.raises(UnimplementedError, match="'deflate' is not supported"):
        unframe(compressed(b"abc"), "deflate")


def test_a_frame_without_the_flag_is_not_compressed_whatever_the_header_says():
    assert bytes(unframe(frame([b"abc"]), "gzip")) == b"abc"


@pytest.mark.parametrize("data", [b"abc", b"", GZIPPED[:-1], GZIPPED + b"x"])
def test_damaged_gzip_is_refused(data):
    with pytest.raises(InvalidArgumentError, match="not valid gzip"):
        unframe(compressed(data), "gzip")


def test_a_message_may_not_grow_beyond_the_limit(monkeypatch):
    monkeypatch.setattr(limits, "MESSAGE_BYTES_MAX", 1000)
    assert len(unframe(compressed(gzip.compress(bytes(1000))), "gzip")) == 1000
    with pytest.raises(PayloadTooLargeError):
        unframe(compressed(gzip.compress(bytes(1001))), "gzip")
    with pytest.raises(PayloadTooLargeError):
        unframe(frame([bytes(1001)]))


@pytest.mark.parametrize(
    ("text", "encoded"), [("plain 'text'", "plain 'text'"), ("100%", "100%25"), ("é\n", "%C3%A9%0A"), ("\ud800", "?")]
)
def test_status_messages_are_percent_encoded(text, encoded):
    assert encode_status_message(text) == encoded


@pytest.mark.parametrize("text", ["a" * 10_000, "日" * 10_000])
def test_long_status_messages_are_cut_between_characters(text):
    encoded = encode_status_message(text)
    assert len(encoded) <= 2048 + 3
    assert text.startswith(unquote(encoded, errors="strict").removesuffix("..."))
