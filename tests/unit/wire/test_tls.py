"""The local CA: a real TLS handshake trusts it, and what must be kept is kept."""

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from pinyon.errors import DataLossError, FailedPreconditionError, InvalidArgumentError
from pinyon.wire import tls
from pinyon.wire.tls import TlsFiles, ensure_local_certificates, given_certificates, trust_help

NAMES = ("localhost", "127.0.0.1", "::1", "pinyon.example")


class FixedClock:
    """Now, and some days."""

    def __init__(self, days: float = 0) -> None:
        self._now = datetime.now(UTC) + timedelta(days=days)

    def now_s(self) -> float:
        return self._now.timestamp()

    def monotonic_s(self) -> float:
        return 0.0


def shake_hands(files: TlsFiles, name: str, ca: Path | None = None) -> str | None:
    """Connect a client that trusts `ca` to a server with `files`, in memory. Returns the protocol agreed on (ALPN)."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(files.certificate, files.key)
    client_context = ssl.create_default_context(cafile=str(ca or files.ca))
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT  # The default from Python 3.13 on.
    for context in (server_context, client_context):
        context.set_alpn_protocols(["h2", "http/1.1"])
    upstream, downstream = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(downstream, upstream, server_hostname=name)
    server = server_context.wrap_bio(upstream, downstream, server_side=True)
    pending = [client, server]
    while pending:
        for end in tuple(pending):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            pending.remove(end)
    return client.selected_alpn_protocol()


def certificate(path: Path | None) -> x509.Certificate:
    assert path is not None
    return x509.load_pem_x509_certificate(path.read_bytes())


def is_ca(path: Path | None) -> bool:
    return certificate(path).extensions.get_extension_for_class(x509.BasicConstraints).value.ca


@pytest.mark.parametrize("name", NAMES)
def test_a_client_that_trusts_the_ca_connects_by_every_name(tmp_path, name):
    files = ensure_local_certificates(tmp_path / "tls", NAMES)
    assert shake_hands(files, name) == "h2"


def test_a_client_refuses_a_name_that_is_not_in_the_certificate(tmp_path):
    files = ensure_local_certificates(tmp_path / "tls", NAMES)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"other\.example"):
        shake_hands(files, "other.example")


def test_a_client_that_trusts_another_ca_refuses(tmp_path):
    files = ensure_local_certificates(tmp_path / "a", NAMES)
    other = ensure_local_certificates(tmp_path / "b", NAMES)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(files, "localhost", other.ca)


def test_only_the_ca_is_a_ca_and_only_of_servers(tmp_path):
    files = ensure_local_certificates(tmp_path, NAMES)
    constraints = certificate(files.ca).extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate(files.certificate).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    assert not is_ca(files.certificate)
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_lifetimes_are_ten_years_and_what_every_platform_takes(tmp_path):
    clock = FixedClock()
    files = ensure_local_certificates(tmp_path, NAMES, clock)
    now = datetime.fromtimestamp(clock.now_s(), UTC).replace(microsecond=0)
    assert certificate(files.ca).not_valid_after_utc - now == timedelta(days=3652)
    assert certificate(files.certificate).not_valid_after_utc - now == timedelta(days=397)


def test_keys_are_for_the_owner_alone(tmp_path):
    files = ensure_local_certificates(tmp_path, NAMES)
    for key in (files.key, tmp_path / "ca-key.pem"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_nothing_changes_at_the_next_start(tmp_path):
    ensure_local_certificates(tmp_path, NAMES)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    ensure_local_certificates(tmp_path, NAMES[::-1], FixedClock(days=300))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert set(before) == {"ca.pem", "ca-key.pem", "server.pem", "server-key.pem"}


@pytest.mark.parametrize(("days", "names"), [(368, NAMES), (0, (*NAMES, "10.1.2.3"))])
def test_the_leaf_is_renewed_when_it_must_be_and_the_ca_is_kept(tmp_path, days, names):
    files = ensure_local_certificates(tmp_path, NAMES)
    assert files.ca is not None
    ca, leaf = files.ca.read_bytes(), files.certificate.read_bytes()
    ensure_local_certificates(tmp_path, names, FixedClock(days))
    assert files.ca.read_bytes() == ca
    assert files.certificate.read_bytes() != leaf


def test_a_stop_between_key_and_certificate_is_mended(tmp_path):
    files = ensure_local_certificates(tmp_path / "a", NAMES)
    other = ensure_local_certificates(tmp_path / "b", NAMES)
    files.key.write_bytes(other.key.read_bytes())
    ensure_local_certificates(tmp_path / "a", NAMES)
    assert shake_hands(files, "localhost") == "h2"


def test_a_stop_before_the_ca_was_written_is_mended(tmp_path):
    files = ensure_local_certificates(tmp_path, NAMES)
    assert files.ca is not None
    files.ca.unlink()
    ensure_local_certificates(tmp_path, NAMES)
    assert shake_hands(files, "localhost") == "h2"


def test_a_ca_without_its_key_is_not_replaced_silently(tmp_path):
    ensure_local_certificates(tmp_path, NAMES)
    (tmp_path / "ca-key.pem").unlink()
    with pytest.raises(FailedPreconditionError, match=r"ca-key\.pem is missing"):
        ensure_local_certificates(tmp_path, NAMES)


def test_an_expired_ca_says_what_to_do(tmp_path):
    ensure_local_certificates(tmp_path, NAMES)
    with pytest.raises(FailedPreconditionError, match="has expired: remove"):
        ensure_local_certificates(tmp_path, NAMES, FixedClock(days=3653))


@pytest.mark.parametrize("name", ["ca.pem", "ca-key.pem", "server.pem", "server-key.pem"])
def test_a_damaged_file_is_named(tmp_path, name):
    ensure_local_certificates(tmp_path, NAMES)
    (tmp_path / name).write_bytes(b"-----BEGIN NOTHING-----\n")
    with pytest.raises(DataLossError, match=name):
        ensure_local_certificates(tmp_path, NAMES)


def test_the_key_of_another_ca_is_refused(tmp_path):
    ensure_local_certificates(tmp_path / "a", NAMES)
    ensure_local_certificates(tmp_path / "b", NAMES)
    (tmp_path / "a" / "ca-key.pem").write_bytes((tmp_path / "b" / "ca-key.pem").read_bytes())
    with pytest.raises(DataLossError, match="is not the key of"):
        ensure_local_certificates(tmp_path / "a", NAMES)


def test_a_name_outside_ascii_is_refused(tmp_path):
    with pytest.raises(InvalidArgumentError, match="bücher"):
        ensure_local_certificates(tmp_path, ("bücher.example",))


def test_local_names_hold_loopback_and_the_advertised_host():
    assert {"localhost", "127.0.0.1", "::1", "db.example"} <= tls.local_names("db.example")


def test_the_help_quotes_the_path_for_python_and_for_a_shell():
    text = trust_help(Path("/some where/ca.pem"))
    assert "ssl_ca_certs='/some where/ca.pem'" in text
    assert "NODE_EXTRA_CA_CERTS='/some where/ca.pem'" in text
    assert """cat '/some where/ca.pem' >> "$(python -m certifi)\"""" in text


def test_the_operators_own_files_are_tried_before_they_are_served(tmp_path):
    made = ensure_local_certificates(tmp_path, {"localhost"})
    other = ensure_local_certificates(tmp_path / "other", {"localhost"})
    assert given_certificates(made.certificate, made.key).ca is None
    for certificate, key in ((made.certificate, other.key), (tmp_path / "missing.pem", made.key), (made.key, made.key)):
        with pytest.raises(InvalidArgumentError, match=r"server\.tls_certificate_file .* cannot be used"):
            given_certificates(certificate, key)
