"""A trainer's line of versions in a folder, and a follower beside it: what their tests share."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from everfresh.adapters.memory import ManualClock
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.manifest import FORMAT, Pointer, Rows, WeightManifest
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import ModelSettings
from everfresh.contracts.window import DecodedExample
from everfresh.model.inference.indexing import renew_index
from everfresh.model.recommender import Recommender
from everfresh.model.touched_rows import Ints
from everfresh.model.trends.contexts import Sightings
from everfresh.model.version_files import begin_version, version_tables, with_item_rows
from everfresh.model.vocabulary.item_ids import WIDEST
from everfresh.model.vocabulary.vocabulary import Vocabulary
from everfresh.serving.versions.follow import Follower, load_version
from everfresh.serving.versions.holder import VersionHolder
from everfresh.serving.versions.pushed_weights import PushedStore

MODEL = ModelSettings(dim=16, blocks=1, heads=2, max_length=8, dropout=0.0)
ITEMS = 400
EVERY = 5


class Lineage:
    """A trainer's line of versions in a folder, and a follower beside it."""

    def __init__(
        self, folder: Path, seed: int = 1, rows: Rows = "float32", tables: bool = False
    ) -> None:
        self.folder = folder
        self.rows = rows
        self.tables = tables
        self.moved: set[int] = {0}
        self.moved_last: set[int] = set()
        self.store = FsspecWeightStore(str(folder), snapshot_every=EVERY)
        self.made = Recommender(MODEL, Vocabulary(), seed)
        self.version = self.epoch = 0
        self.holder = VersionHolder()
        self.pushed = PushedStore(FsspecWeightStore(str(folder)))
        self.follower = Follower(self.pushed, self.holder, ManualClock(1), load_version)
        # A text as wide as any to come, for wider ids change every row.
        self._sight([*range(ITEMS), "w" * WIDEST], 1)
        self.made.learn_trends(Sightings.of(*[np.arange(10)] * 4))
        self._renew_index()
        self.write()

    def _sight(self, items: object, label: int) -> None:
        events = [Interaction(item, "view", 0) for item in items]  # type: ignore[attr-defined]
        count = list(range(len(events)))
        self.made.admit([DecodedExample(0, [], events, count, count)], label)

    def touched(self) -> Ints:
        """Item rows that training went over, and those that were made or freed."""
        rows = self.made.vocabulary.touched.rows(self.made.vocabulary.rows - 1) + 1
        return np.union1d(rows, sorted(self.moved))

    def train(self, chance: random.Random, bad: float = 0.0) -> None:
        """Some rows and all dense weights move, items come and go."""
        label = self.version + 2
        names: list[object] = [f"item {label} {n} {'x' * chance.randint(0, 60)}" for n in range(3)]
        self._sight([*chance.sample(range(ITEMS), 80), *names[: chance.randint(0, 3)]], label)
        self.made.expire(label - 9)
        sighted = np.array(chance.sample(range(1, self.made.vocabulary.rows), 30))
        before, times = np.append(0, sighted[:-1]), np.arange(len(sighted))
        self.made.learn_trends(Sightings.of(sighted, before, times, times))
        self.made.weigh_trends(self.made.trends.weights + np.float32(0.01))
        rows = torch.tensor(chance.sample(range(ITEMS - 10), 6))
        self.moved |= set(rows.tolist())
        with torch.no_grad():
            self.made.network.items[rows] += 0.1
            self.made.network.items[rows[0], 0] += bad
            self.made.network.start += 0.01
        self._renew_index()

    def _renew_index(self) -> None:
        renew_index(self.made, self.touched(), [], ITEMS // 2, 0.9, seed=1)

    def write(self) -> None:
        """One version more, with the pointer at it."""
        self.version += 1
        manifest = WeightManifest(
            format=FORMAT,
            version=self.version,
            parent=self.version - 1 or None,
            label=self.version,
            created_ms=1,
            trained_through={0: self.version},
            windows_read={0: self.version},
            files=[],
            model=MODEL.model_dump(mode="json"),
            items=len(self.made.vocabulary),
            events=1,
            scores={},
            rows=self.rows,
        )
        if self.tables:
            touched = self.touched()
            self.store.write(manifest, version_tables(self.made, self.rows, touched))
            begin_version(self.made)
            self.moved_last, self.moved = set(touched.tolist()), {0}
        else:
            self.store.write(
                manifest, {**with_item_rows(self.made, self.rows).save(), **self.made.save()}
            )
        self.point(self.epoch, self.version)

    def write_whole(self, chance: random.Random) -> None:
        """Versions up to the next full snapshot."""
        while True:
            self.train(chance)
            self.write()
            if self.store.manifest(self.version).depth == 0:
                return

    def point(self, epoch: int, version: int) -> None:
        self.store.advance(Pointer(epoch, version))

    def live(self) -> tuple[int, Recommender]:
        loaded = self.holder.current()
        assert loaded is not None
        return loaded.version, loaded.recommender

    def require_as_written(self) -> None:
        """The live version equals, to the bit, what loading it whole gives."""
        version, live = self.live()
        fresh = FsspecWeightStore(str(self.folder))
        manifest = fresh.manifest(version)
        files = {name: fresh.read(manifest, name) for name in manifest.replica_files}
        whole = Recommender.load(manifest.model, files, rows=manifest.rows)
        assert live.save() == files
        ours, theirs = live.catalogue(), whole.catalogue()
        assert ours.factors is not None
        assert theirs.factors is not None
        assert torch.equal(ours.vectors, theirs.vectors)
        assert torch.equal(ours.factors, theirs.factors)
        assert torch.equal(ours.bias, theirs.bias)
        assert np.array_equal(live.trend_table().features, whole.trend_table().features)
        history = [Interaction(item, "view", 0) for item in (3, 5, 7)]
        scores = live.recommend(history, 20)[1]
        # Where the table lies in memory decides the last bits of a product.
        assert scores == pytest.approx(whole.recommend(history, 20)[1], abs=1e-4)
