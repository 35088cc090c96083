"""Signs manifests and checks their signatures: only a holder of the key can make a version.

Ed25519 (RFC 8032), keys as PEM files. A manifest holds the sha256 of every file, so its signature
covers them all. The pointer is not signed: anyone who can write to the store can still choose among
signed versions.

    openssl genpkey -algorithm ed25519 -out signing.pem
    openssl pkey -in signing.pem -pubout -out trusted.pem
"""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from everfresh.contracts.errors import CorruptVersion, SettingsError
from everfresh.contracts.settings import WeightSettings

SIGNATURE = "manifest.sig"


class Keys:
    """The keys of one process: one to sign with, one to check by, both or neither."""

    def __init__(self, signing: Path | None = None, trusted: Path | None = None) -> None:
        """``SettingsError`` where a named file is not such a key."""
        self._signing: Ed25519PrivateKey | None = None
        self._trusted: Ed25519PublicKey | None = None
        if signing is not None:
            private = _load(signing, "weights.signing_key", private=True)
            assert isinstance(private, Ed25519PrivateKey)
            self._signing = private
            self._trusted = private.public_key()
        if trusted is not None:
            public = _load(trusted, "weights.trusted_key", private=False)
            assert isinstance(public, Ed25519PublicKey)
            self._trusted = public

    @classmethod
    def of(cls, settings: WeightSettings) -> Keys:
        """The keys that the settings name."""
        return cls(settings.signing_key, settings.trusted_key)

    def sign(self, manifest: bytes) -> bytes | None:
        """The signature to store beside the manifest; ``None`` without a signing key."""
        return None if self._signing is None else self._signing.sign(manifest)

    def require_signed(self, version: int, manifest: bytes, signature: bytes | None) -> None:
        """``CorruptVersion`` unless the trusted key signed it. Without that key all is accepted."""
        if self._trusted is None:
            return
        if signature is None:
            raise CorruptVersion(
                f"version {version} is not signed and weights.trusted_key asks for it; publish "
                "with weights.signing_key, or roll back to a signed version"
            )
        try:
            self._trusted.verify(signature, manifest)
        except InvalidSignature:
            raise CorruptVersion(
                f"version {version} was not signed by the key that weights.trusted_key names, or "
                "was changed since; roll back to another version"
            ) from None


def _load(path: Path, setting: str, *, private: bool) -> object:
    try:
        raw = path.read_bytes()
        key = load_pem_private_key(raw, None) if private else load_pem_public_key(raw)
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(
            f"{setting} is {path}: {error}; an Ed25519 key as PEM is expected"
        ) from None
    if not isinstance(key, Ed25519PrivateKey if private else Ed25519PublicKey):
        raise SettingsError(f"{setting} is {path}: an Ed25519 key is expected, found another kind")
    return key
