"""What is stored by the rows that were touched is what the trainer held, to the byte."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from everfresh.adapters.memory import MemoryReportSink, MemoryWindowSource
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.manifest import NEWER_FORMAT, Rows, WeightManifest
from everfresh.contracts.safetensors import VersionFile, whole
from everfresh.contracts.settings import Settings, load_settings
from everfresh.contracts.window import DecodedExample
from everfresh.model.index.inverted_lists import LOOKS
from everfresh.model.opponents.click_log import ClickLog
from everfresh.model.opponents.markov import FadingMarkov
from everfresh.model.opponents.opponent_file import begin_version, opponent_tables
from everfresh.model.opponents.opponents import Opponents
from everfresh.model.vocabulary.admission import Limits
from everfresh.trainer.checkpoint import load_served
from everfresh.trainer.loop import TrainerLoop
from tests.model.streams import example
from tests.trainer.logs import make_log
from tests.trainer.small_settings import SMALL


class Recording(FsspecWeightStore):
    """Notes what it was handed, whole."""

    handed: dict[int, dict[str, bytes]]

    def write(self, manifest: WeightManifest, files: Mapping[str, VersionFile]) -> WeightManifest:
        """As ever."""
        self.handed[manifest.version] = {name: whole(file) for name, file in files.items()}
        return super().write(manifest, files)


@pytest.mark.parametrize("rows", ["float32", "int8"])
def test_every_version_of_a_trainer_reads_back_as_it_was_handed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: Rows
) -> None:
    monkeypatch.chdir(tmp_path)
    tuning = {**SMALL["trainer"], "expire_after_s": 8.0}
    settings = load_settings(
        {
            "home": str(tmp_path),
            **SMALL,
            "trainer": tuning,
            "weights": {"rows": rows, "index_from": 8},
        }
    )
    log = make_log(2, list(range(3, 19)), users=12)
    store = Recording(str(tmp_path / "w"), 100)
    store.handed = {}
    for _ in range(3):  # it is killed twice, and goes on from what it reads
        loop = started(settings, store, log)
        for _ in range(5):
            loop.step(0)
        handed = store.handed
        store = Recording(str(tmp_path / "w"), 100)
        store.handed = handed
    assert len(store.handed) >= 12
    fresh = FsspecWeightStore(str(tmp_path / "w"))
    assert {fresh.manifest(version).depth for version in store.handed} > {3, 9}
    for version, files in store.handed.items():
        manifest = fresh.manifest(version)
        assert {name: fresh.read(manifest, name) for name in files} == files
        # A release before trends knew the time refuses such a version by its number.
        assert b"trends.time" in fresh.read(manifest, manifest.replica_files[0])
        assert manifest.format == NEWER_FORMAT


def started(settings: Settings, store: FsspecWeightStore, log: object) -> TrainerLoop:
    source = MemoryWindowSource(log)  # type: ignore[arg-type]
    return TrainerLoop(settings, source, store, MemoryReportSink(), lambda: 5_000)


@pytest.mark.parametrize("seed", range(4))
def test_opponents_name_every_row_that_they_change(seed: int) -> None:
    chance = random.Random(seed)
    opponents = Opponents()
    opponents.markov = FadingMarkov(opponents.vocabulary, opponents.popularity, 2, 40)
    opponents.neighbours.log = ClickLog(30, 4)
    for label in range(1, 40):
        examples = [window_example(chance, user) for user in chance.sample(range(9), 4)]
        before = {
            name: (table.shape, bytes(table.data))
            for name, table in opponent_tables(opponents).tensors.items()
        }
        begin_version(opponents)
        opponents.update(examples, label, Limits(2, 20))
        for name, table in opponent_tables(opponents).tensors.items():
            other = table.shape[1:] != before[name][0][1:]
            if table.touched is None or other or not table.shape[0]:
                continue
            named = np.frombuffer(table.touched, np.int64)
            width = len(table.data) // table.shape[0]
            had = before[name][0][0]
            now = np.frombuffer(table.data, np.uint8).reshape(-1, width)
            was = np.frombuffer(before[name][1], np.uint8).reshape(had, width)
            moved = np.flatnonzero((now[:had] != was).any(axis=1)) if had else np.zeros(0, int)
            assert set(moved) | set(range(had, table.shape[0])) <= set(named.tolist()), name


def window_example(chance: random.Random, user: int) -> DecodedExample:
    return example(user, [], [chance.randrange(40) for _ in range(chance.randrange(1, 5))])


def test_a_version_is_scored_with_as_loaded_whole_though_it_was_made_by_rows(
    tmp_path: Path, small_settings: Settings
) -> None:
    log = make_log(2, list(range(3, 15)), users=12)
    store = FsspecWeightStore(str(tmp_path / "w"), 4)
    weights = small_settings.weights.model_copy(update={"index_from": 8})
    loop = started(small_settings.model_copy(update={"weights": weights}), store, log)
    for _ in range(12):
        loop.step(0)
        lineage = loop._lineage
        for version, model in lineage.parents.items():
            again = load_served(store, store.manifest(version))
            assert model.save() == again.save()
            assert len(model.index) == model.vocabulary.rows
            ours, theirs = model.catalogue(), again.catalogue()
            assert ours.factors is not None
            assert theirs.factors is not None
            assert torch.equal(ours.factors, theirs.factors)
            assert torch.equal(ours.bias, theirs.bias)
    assert lineage.served.by_rows >= 6
    assert (loop.figures.index_look, loop.figures.index_recall) == (LOOKS[0], 1.0)
    assert len(lineage.parents) <= small_settings.gate.trial_windows + 1
    first = load_served(store, store.manifest(1))
    assert lineage.frozen_model is not None
    assert lineage.frozen_model.save() == first.save()
