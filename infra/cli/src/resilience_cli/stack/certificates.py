"""Certificates for a link that speaks TLS: an authority of the stack's own, one that is valid and one that was."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .sockets import LOOPBACK

DAY = timedelta(days=1)
AUTHORITY, VALID, EXPIRED = "authority.pem", "valid.pem", "expired.pem"


@dataclass(frozen=True, slots=True)
class _Signed:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def pem(self, *, with_key: bool) -> bytes:
        certificate = self.certificate.public_bytes(serialization.Encoding.PEM)
        if not with_key:
            return certificate
        return certificate + self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def write_certificates(folder: Path) -> None:
    """Write them anew, readable by us alone."""
    now = datetime.now(UTC)
    authority = _signed("resilience stack", now - DAY, now + 365 * DAY)
    files = {
        AUTHORITY: authority.pem(with_key=False),
        VALID: _signed(LOOPBACK, now - DAY, now + 365 * DAY, authority).pem(with_key=True),
        EXPIRED: _signed(LOOPBACK, now - 90 * DAY, now - DAY, authority).pem(with_key=True),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(text)


def _signed(name: str, begin: datetime, end: datetime, by: _Signed | None = None) -> _Signed:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    )
    if by:
        addresses = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))])
        builder = builder.add_extension(addresses, critical=False)
    return _Signed(key, builder.sign(by.key if by else key, hashes.SHA256()))
