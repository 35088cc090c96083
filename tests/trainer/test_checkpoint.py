from __future__ import annotations

import msgspec
import pytest

from everfresh.adapters.memory import MemoryWeightStore
from everfresh.contracts.errors import CorruptVersion, SettingsError
from everfresh.contracts.safetensors import whole
from everfresh.contracts.settings import Settings
from everfresh.trainer.checkpoint import (
    MEMORY_FILE,
    OPPONENTS_FILE,
    OPTIMIZER_FILE,
    encode_files,
    progress_of,
    restore,
    same_training,
)
from tests.trainer.bench import Bench
from tests.trainer.logs import make_log

LABELS = [3, 4, 6, 7]


@pytest.fixture
def store(small_settings: Settings) -> MemoryWeightStore:
    bench = Bench(make_log(2, LABELS), small_settings)
    bench.run()
    return bench.store


def test_a_restored_learner_encodes_to_the_same_bytes(
    store: MemoryWeightStore, small_settings: Settings
) -> None:
    manifest = store.manifest(3)
    checkpoint = restore(store, manifest, small_settings)
    again = encode_files(checkpoint.learner, checkpoint.frozen, checkpoint.window, "float32")
    assert set(again) == {
        "model.safetensors",
        "vocabulary.safetensors",
        OPTIMIZER_FILE,
        OPPONENTS_FILE,
        MEMORY_FILE,
    }
    assert {name: store.read(manifest, name) for name in again} == {
        name: whole(file) for name, file in again.items()
    }
    assert store.name_files(None, again) == manifest.files
    assert checkpoint.frozen == 1
    assert checkpoint.progress == progress_of(manifest)


def test_the_first_version_is_its_own_frozen_one(
    store: MemoryWeightStore, small_settings: Settings
) -> None:
    assert restore(store, store.manifest(1), small_settings).frozen == 1


def test_a_foreign_memory_is_refused(store: MemoryWeightStore, small_settings: Settings) -> None:
    manifest = store.manifest(2)
    files = {file.name: store.read(manifest, file.name) for file in manifest.files}
    for raw, message in (
        (b"\x01", "cannot be read"),
        (changed_format(files[MEMORY_FILE]), "has format 99, expected 4"),
    ):
        other = MemoryWeightStore()
        blank = msgspec.structs.replace(manifest, files=[])
        written = other.write(blank, {**files, MEMORY_FILE: raw})
        with pytest.raises(CorruptVersion, match=message):
            restore(other, written, small_settings)


def changed_format(raw: bytes) -> bytes:
    return msgspec.msgpack.encode({**msgspec.msgpack.decode(raw), "format": 99})


def test_another_network_in_the_settings_is_refused_and_both_are_named(
    store: MemoryWeightStore, small_settings: Settings
) -> None:
    model = small_settings.model.model_copy(update={"dim": 16})
    other = small_settings.model_copy(update={"model": model})
    with pytest.raises(SettingsError, match=r"model\.dim=8, the settings say dim=16"):
        restore(store, store.manifest(2), other)


def test_a_version_that_lacks_a_newer_setting_has_its_default(
    store: MemoryWeightStore, small_settings: Settings
) -> None:
    manifest = store.manifest(2)
    model = {name: value for name, value in manifest.model.items() if name != "epsilon"}
    older = msgspec.structs.replace(manifest, model=model)
    assert restore(store, older, small_settings).progress == progress_of(manifest)
    changed = small_settings.model.model_copy(update={"epsilon": 1e-6})
    other = small_settings.model_copy(update={"model": changed})
    with pytest.raises(SettingsError, match=r"epsilon=1e-05, the settings say epsilon=1e-06"):
        restore(store, older, other)


def test_a_memory_of_another_kind_is_refused_and_both_are_named(
    store: MemoryWeightStore, small_settings: Settings
) -> None:
    tuning = small_settings.trainer.model_copy(update={"strategy": "retrain"})
    other = small_settings.model_copy(update={"trainer": tuning})
    with pytest.raises(
        SettingsError, match=r"'reservoir', trainer\.strategy=retrain .*'all events'"
    ):
        restore(store, store.manifest(2), other)


def test_training_is_the_same_whatever_its_number_and_time_and_nothing_else(
    store: MemoryWeightStore,
) -> None:
    manifest = store.manifest(2)
    files, replace = manifest.files, msgspec.structs.replace
    assert same_training(manifest, replace(manifest, version=9, created_ms=1, files=[]), files)
    assert not same_training(manifest, replace(manifest, label=5), files)
    assert not same_training(manifest, replace(manifest, windows_read={}), files)
    other = [file for file in files if file.name != MEMORY_FILE]
    other += store.name_files(None, {MEMORY_FILE: b"other"})
    assert not same_training(manifest, manifest, other)
    assert not same_training(manifest, manifest, [])
