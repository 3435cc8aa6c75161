"""Which keys are good."""

import pytest

from pinyon.errors import UnauthenticatedError
from pinyon.service.auth import Authenticator


@pytest.mark.parametrize("key", [b"anything", b" ", b"\xff\xfe"])
def test_without_keys_every_key_is_good(key: bytes) -> None:
    assert Authenticator().authenticate(key).name == "anyone"


@pytest.mark.parametrize("authenticator", [Authenticator(), Authenticator(["a"])])
@pytest.mark.parametrize("key", [None, b""])
def test_a_key_must_be_sent(authenticator: Authenticator, key: bytes | None) -> None:
    with pytest.raises(UnauthenticatedError, match=r"^Missing API Key$"):
        authenticator.authenticate(key)


def test_each_key_is_a_principal() -> None:
    authenticator = Authenticator(["first", "second"])
    assert authenticator.authenticate(b"first").name == "key 1"
    assert authenticator.authenticate(b"second").name == "key 2"


@pytest.mark.parametrize("key", [b"firs", b"first ", b"FIRST", b"firstsecond", b"\xff", b"third"])
def test_another_key_is_refused_and_not_repeated(key: bytes) -> None:
    with pytest.raises(UnauthenticatedError, match=r"^Invalid API Key$"):
        Authenticator(["first", "second"]).authenticate(key)
