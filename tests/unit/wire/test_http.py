"""Paths, queries and versions as clients write them."""

import pytest

from pinyon.wire.api_version import ApiVersion
from pinyon.wire.http import Request


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("/namespaces/a%2Fb%20c", ["namespaces", "a/b c"]),
        ("/namespaces/a/b%20c", ["namespaces", "a", "b c"]),
        ("/namespaces/a+b", ["namespaces", "a+b"]),
        ("/namespaces/%2E%2E", ["namespaces", ".."]),
        ("/namespaces/%2", ["namespaces", "%2"]),
        ("/namespaces/%zz%25", ["namespaces", "%zz%"]),
        ("/namespaces/%00%7f", ["namespaces", "\0\x7f"]),
        ("/namespaces/%ff", ["namespaces", "�"]),
        ("/", [""]),
        ("", [""]),
        ("//a//", ["a"]),
    ],
)
def test_a_path_is_split_before_it_is_decoded(path, segments):
    assert Request("GET", path).segments == segments


@pytest.mark.parametrize(
    ("query_string", "values"),
    [
        ("ids=a&ids=b&namespace=n", {"ids": ["a", "b"], "namespace": ["n"]}),
        ("ids=a%20b&ids=a+b&ids=a%2Bb", {"ids": ["a b", "a b", "a+b"]}),
        ("prefix=&ids", {"prefix": [""], "ids": [""]}),
        ("a=%26%3D%25%23;x", {"a": ["&=%#;x"]}),
        ("a=b=c&&", {"a": ["b=c"]}),
        ("", {}),
    ],
)
def test_a_query_keeps_every_value(query_string, values):
    assert Request("GET", "/", query_string).query == values


def test_ids_of_any_ascii_come_through_a_query():
    from urllib.parse import quote, quote_plus, urlencode

    odd = "".join(map(chr, range(1, 128)))
    for written in (f"ids={quote(odd, safe='')}", f"ids={quote_plus(odd)}", urlencode({"ids": odd})):
        assert Request("GET", "/", written).query == {"ids": [odd]}


@pytest.mark.parametrize(
    ("header", "version"),
    [
        (None, ApiVersion.V2024_04),
        ("", ApiVersion.V2024_04),
        ("2025-10", ApiVersion.V2025_10),
        (" 2026-07 ", ApiVersion.V2026_07),
        ("unstable", ApiVersion.V2026_04),
        ("2031-01", ApiVersion.V2026_04),
    ],
)
def test_the_version_of_a_request(header, version):
    headers = {} if header is None else {"x-pinecone-api-version": header}
    assert Request("GET", "/", headers=headers).api_version is version


def test_versions_are_in_the_order_of_time():
    assert [version.value for version in ApiVersion] == sorted(version.value for version in ApiVersion)
    assert ApiVersion.V2025_10.at_least(ApiVersion.V2025_10)
    assert not ApiVersion.V2025_04.at_least(ApiVersion.V2025_10)


def test_what_changes_between_versions():
    assert [version.value for version in ApiVersion if version.has_schema_indexes] == ["2026-07"]
    assert [version.value for version in ApiVersion if not version.default_namespace] == [
        "2024-04", "2024-07", "2024-10", "2025-01", "2025-04",
    ]  # fmt: skip
