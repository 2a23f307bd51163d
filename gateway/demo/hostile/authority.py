"""Certificates for tests: an authority of our own, and what a server may be wrong with under TLS."""

from __future__ import annotations

import contextlib
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from unittest import mock

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY = timedelta(days=1)


class Authority:
    """Signs certificates. Nobody trusts it but within `trusted`."""

    def __init__(self, folder: Path) -> None:
        """`folder`: where its files lie."""
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority for tests")])
        self._file = folder / "authority.pem"
        own = self._signed(self._name, self._key, timedelta(days=2), x509.BasicConstraints(ca=True, path_length=0))
        self._file.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    @contextlib.contextmanager
    def trusted(self) -> Iterator[None]:
        """Clients that are made within the block trust this authority, and no other."""
        with mock.patch("certifi.where", return_value=str(self._file)):
            yield

    def server(self, host: str, *, ends_in: timedelta = DAY) -> ssl.SSLContext:
        """What a server needs to speak TLS as `host`. `ends_in`: negative for a certificate whose time is over."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        made = self._signed(subject, key, ends_in, x509.SubjectAlternativeName([x509.DNSName(host)]))
        file = self._folder / "server.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + made.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, ends_in: timedelta, extension: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 3 * DAY)
            .not_valid_after(now + ends_in)
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(self._key, hashes.SHA256())
        )
