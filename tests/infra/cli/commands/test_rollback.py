"""``everfresh rollback``: what it makes current, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.errors import CorruptVersion, VersionNotFound, WeightsError
from everfresh.contracts.manifest import MODEL_FILES, Pointer
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.commands.rollback import run_rollback
from tests.conformance.test_weight_store import manifest

FILES = dict.fromkeys(MODEL_FILES, b"weights")


def published(settings: Settings, versions: int) -> FsspecWeightStore:
    store = FsspecWeightStore(settings.weights_url)
    for version in range(1, versions + 1):
        store.write(manifest(version), FILES)
        store.advance(Pointer(1, version))
    return store


def test_an_earlier_version_becomes_current_by_a_greater_epoch(
    make_settings: Callable[..., Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_settings()
    store = published(settings, 3)
    run_rollback(settings, 2)
    current = store.pointer()
    assert current is not None
    assert (current.epoch, current.version) == (2, 2)
    output = " ".join(capsys.readouterr().out.split())
    assert "version 2 is the current one, epoch 2 (before: version 3, epoch 1)" in output
    assert "nothing is up in this home" in output


def test_what_cannot_be_current_moves_nothing(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    store = published(settings, 3)
    (settings.home / "weights" / "v0000000001" / MODEL_FILES[0]).write_bytes(b"damaged")
    for version, error in ((1, CorruptVersion), (3, WeightsError), (9, VersionNotFound)):
        with pytest.raises(error):
            run_rollback(settings, version)
    assert store.pointer() == Pointer(1, 3)
