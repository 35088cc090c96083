"""A certificate authority made on the spot, and the certificates that it signs, as PEM files."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_DAY = datetime.timedelta(days=1)


class Pair(msgspec.Struct, frozen=True):
    """A certificate and its private key; ``both`` holds the two, as Kafka's PEM keystores do."""

    certificate: Path
    key: Path
    both: Path


class Authority:
    """Signs with elliptic keys. All files lie in ``folder``; keys are their owner's alone."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        made = _builder(self._name, self._name, self._key, days=1)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self._certificate = made.sign(self._key, hashes.SHA256())
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(_pem(self._certificate))

    def issue(self, name: str, *hosts: str, days: int = 1, key_password: str | None = None) -> Pair:
        """A certificate of ``CN=name`` for these hosts; expired where ``days`` is below zero."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = _builder(_named(name), self._name, key, days)
        if hosts:
            made = made.add_extension(
                x509.SubjectAlternativeName([_host(each) for each in hosts]), critical=False
            )
        certificate = made.sign(self._key, hashes.SHA256())
        pair = Pair(
            *(self._folder / f"{name}.{end}" for end in ("certificate.pem", "key.pem", "both.pem"))
        )
        hidden: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if key_password is not None:
            hidden = serialization.BestAvailableEncryption(key_password.encode())
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden
        )
        pair.certificate.write_bytes(_pem(certificate))
        for file, content in ((pair.key, secret), (pair.both, secret + _pem(certificate))):
            file.touch(0o600)
            file.write_bytes(content)
        return pair


def _builder(
    name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(issuer)
    made = made.public_key(key.public_key()).serial_number(x509.random_serial_number())
    return made.not_valid_before(now - 9 * _DAY).not_valid_after(now + days * _DAY)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
