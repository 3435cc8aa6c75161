"""A local certificate authority (CA), for clients that speak gRPC only over TLS.

The folder `tls` of the data directory holds four PEM files: `ca.pem` and `server.pem` for anyone to read, and the keys
`ca-key.pem` and `server-key.pem` for the owner alone. What must hold:

- The CA is made once and kept: clients trust it by its bytes. It may sign certificates of servers, not further CAs.
- The server's certificate is not a CA itself: the clients written in Rust refuse one that is.
- A certificate is served only with the key that it was made for, whatever a stop left behind between two files.
"""

import ipaddress
import shlex
import socket
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pinyon.clock import Clock, SystemClock
from pinyon.errors import DataLossError, FailedPreconditionError, InvalidArgumentError, NotFoundError
from pinyon.storage.local import LocalStorage

CA_LIFETIME: Final = timedelta(days=3652)
LEAF_LIFETIME: Final = timedelta(days=397)
"""The longest that Apple's platforms take, even from a CA that a user added."""
RENEWAL_MARGIN: Final = timedelta(days=30)
CLOCK_SKEW: Final = timedelta(days=1)
"""How much earlier than now a certificate begins, for clients whose clocks are behind."""

_CA_FILE: Final = "ca.pem"
_CA_KEY_FILE: Final = "ca-key.pem"
_LEAF_FILE: Final = "server.pem"
_LEAF_KEY_FILE: Final = "server-key.pem"
_OWNER_ONLY: Final = 0o600

_Identity: TypeAlias = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What a listener needs, and what its clients must trust; `ca` is None where the operator gave the files."""

    certificate: Path
    key: Path
    ca: Path | None = None


def local_names(advertised_host: str) -> frozenset[str]:
    """Every name by which clients may call a server on this machine."""
    return frozenset({"localhost", "127.0.0.1", "::1", socket.gethostname(), advertised_host})


def ensure_local_certificates(directory: Path, names: Collection[str], clock: Clock | None = None) -> TlsFiles:
    """Make the local CA and the server's certificate, or keep those that are there.

    The server's certificate is made afresh when it is about to expire, or is not for these names. The caller holds
    the lock of the data directory.

    Args:
        directory: where the four files are; it is created when missing.
        names: host names and IP addresses of the server.
        clock: what tells whether a certificate is about to expire; None is the machine's.

    Raises:
        InvalidArgumentError: a name cannot stand in a certificate.
        FailedPreconditionError: the CA has expired, or its key is gone.
        DataLossError: a file is not what was written.
    """
    files = _CertificateFiles(directory)
    now = datetime.fromtimestamp((clock or SystemClock()).now_s(), UTC)
    ca = files.read_pair(_CA_FILE, _CA_KEY_FILE)
    if ca is None:
        ca = _make_ca(now)
        files.write_pair(ca, _CA_FILE, _CA_KEY_FILE)
    _check_ca(ca, now, directory)
    leaf = files.read_pair(_LEAF_FILE, _LEAF_KEY_FILE)
    if leaf is None or not _is_current(leaf, ca, names, now):
        files.write_pair(_make_leaf(ca, names, now), _LEAF_FILE, _LEAF_KEY_FILE)
    return TlsFiles(directory / _LEAF_FILE, directory / _LEAF_KEY_FILE, directory / _CA_FILE)


def given_certificates(certificate: Path, key: Path) -> TlsFiles:
    """The operator's own files, found good.

    Raises:
        InvalidArgumentError: a file cannot be read, is not PEM, or the key is not the certificate's.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidArgumentError(
            f"server.tls_certificate_file {certificate} and server.tls_key_file {key} cannot be used: {error}"
        ) from error
    return TlsFiles(certificate, key)


class _CertificateFiles:
    """Reads and writes certificates with their keys, a file each."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._public = LocalStorage(directory)
        self._private = LocalStorage(directory, file_mode=_OWNER_ONLY)

    def read_pair(self, certificate_name: str, key_name: str) -> _Identity | None:
        """A certificate and its key, which may not match; None if there is no certificate."""
        certificate_pem = self._read(certificate_name)
        if certificate_pem is None:
            return None
        key_pem = self._read(key_name)
        if key_pem is None:
            raise FailedPreconditionError(
                f"{self._directory / key_name} is missing: restore it, or remove {certificate_name} beside it"
            )
        return self._parse(certificate_pem, certificate_name, key_pem, key_name)

    def write_pair(self, identity: _Identity, certificate_name: str, key_name: str) -> None:
        """Write the key, then the certificate: a certificate alone would be an error, a key alone is made again."""
        certificate, key = identity
        key_pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._private.replace(key_name, key_pem)
        self._public.replace(certificate_name, certificate.public_bytes(serialization.Encoding.PEM))

    def _read(self, name: str) -> bytes | None:
        try:
            return bytes(self._public.read(name))
        except NotFoundError:
            return None

    def _parse(self, certificate_pem: bytes, certificate_name: str, key_pem: bytes, key_name: str) -> _Identity:
        try:
            certificate = x509.load_pem_x509_certificate(certificate_pem)
        except ValueError as error:
            raise DataLossError(f"{self._directory / certificate_name} is not a certificate in PEM form") from error
        try:
            key = serialization.load_pem_private_key(key_pem, password=None)
        except (ValueError, TypeError) as error:
            raise DataLossError(f"{self._directory / key_name} is not a private key in PEM form") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise DataLossError(f"{self._directory / key_name} is not an elliptic-curve key")
        return certificate, key


def _make_ca(now: datetime) -> _Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    # The machine's name tells one CA from another in a client's list.
    name = _common_name(f"Pinyon local CA {socket.gethostname()}")
    certificate = (
        _start_certificate(name, name, key, now, now + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(for_ca=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _make_leaf(ca: _Identity, names: Collection[str], now: datetime) -> _Identity:
    ca_certificate, ca_key = ca
    key = ec.generate_private_key(ec.SECP256R1())
    end = min(now + LEAF_LIFETIME, ca_certificate.not_valid_after_utc)
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in sorted(names)])
    certificate = (
        _start_certificate(_common_name("Pinyon server"), ca_certificate.subject, key, now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(for_ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(alternatives, critical=False)
        .add_extension(_authority_identifier(ca), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return certificate, key


def _start_certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _key_usage(*, for_ca: bool) -> x509.KeyUsage:
    """A CA signs certificates and their revocation; a server signs handshakes."""
    return x509.KeyUsage(
        digital_signature=not for_ca,
        key_cert_sign=for_ca,
        crl_sign=for_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_identifier(ca: _Identity) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(ca[1].public_key())


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass  # A host name then.
    try:
        return x509.DNSName(name)
    except ValueError as error:
        raise InvalidArgumentError(f"{name!r} cannot stand in a certificate: it is not a host name in ASCII") from error


def _check_ca(ca: _Identity, now: datetime, directory: Path) -> None:
    certificate, key = ca
    if certificate.public_key() != key.public_key():
        raise DataLossError(f"{directory / _CA_KEY_FILE} is not the key of {_CA_FILE} beside it")
    if certificate.not_valid_after_utc <= now:
        raise FailedPreconditionError(
            f"{directory / _CA_FILE} has expired: remove {directory}, and clients must trust the CA that is then made"
        )


def _is_current(leaf: _Identity, ca: _Identity, names: Collection[str], now: datetime) -> bool:
    certificate, key = leaf
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        authority = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except x509.ExtensionNotFound:
        return False
    return (
        certificate.public_key() == key.public_key()
        and authority == _authority_identifier(ca)
        and certificate.not_valid_after_utc - now > RENEWAL_MARGIN
        and set(alternatives) == {_general_name(name) for name in names}
    )


def trust_help(ca: Path) -> str:
    """How each generation of clients is told to trust a CA, for people to read when the server starts."""
    file = str(ca.absolute())
    quoted = shlex.quote(file)
    return f"""\
Clients must trust the CA of this server, {file}:
  Python client 3 to 8, REST and gRPC   Pinecone(api_key=..., host=..., ssl_ca_certs={file!r})
  ... with no change to its code        cat {quoted} >> "$(python -m certifi)"
  Python client 9 and 10                export SSL_CERT_FILE={quoted}
  JavaScript client                     export NODE_EXTRA_CA_CERTS={quoted}
  curl                                  curl --cacert {quoted} ...
The line with certifi changes the environment of the client that `python` belongs to: run it there, once."""
