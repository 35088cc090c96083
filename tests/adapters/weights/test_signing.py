"""Manifests that are signed, and readers that trust one key."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from everfresh.adapters.weights.signing import Keys
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.errors import CorruptVersion, SettingsError
from tests.conformance.test_weight_store import FILES, line, manifest, table


def key_pair(folder: Path, name: str) -> tuple[Path, Path]:
    private = Ed25519PrivateKey.generate()
    secret, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    secret.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return secret, public


def test_a_version_is_read_only_if_the_trusted_key_signed_it(tmp_path: Path) -> None:
    secret, public = key_pair(tmp_path, "ours")
    _, other = key_pair(tmp_path, "theirs")
    url = str(tmp_path / "weights")
    line(FsspecWeightStore(url, snapshot_every=4, keys=Keys(secret)), 2)
    FsspecWeightStore(url).write(manifest(3), FILES)
    trusting = FsspecWeightStore(url, keys=Keys(trusted=public))
    assert trusting.read(trusting.manifest(2), "items.safetensors") == table(0)
    with pytest.raises(CorruptVersion, match="version 3 is not signed"):
        trusting.manifest(3)
    with pytest.raises(CorruptVersion, match="version 2 was not signed by the key"):
        FsspecWeightStore(url, keys=Keys(trusted=other)).manifest(2)
    path = tmp_path / "weights" / "v0000000002" / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"items": 4', b'"items": 5'))
    with pytest.raises(CorruptVersion, match="was changed since"):
        trusting.manifest(2)
    assert FsspecWeightStore(url).manifest(2).items == 5, "who names no key asks for none"


def test_a_file_that_is_no_key_is_a_wrong_setting(tmp_path: Path) -> None:
    secret, public = key_pair(tmp_path, "ours")
    for keys in ((tmp_path / "none", None), (public, None), (None, secret)):
        with pytest.raises(SettingsError, match="an Ed25519 key as PEM is expected"):
            Keys(*keys)
