"""Stands for the trainer: writes versions at a pace, in a process of its own that can be killed.

``python -m benchmarks.swap.publisher COMMANDS``: a folder with ``pace`` (versions per second) and
``until`` (the last version to publish), read before each version. Beyond ``until`` versions are
written all the same, into a store in that folder that nobody follows.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.manifest import FORMAT, Pointer, WeightManifest
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import ModelSettings, Settings, load_settings
from everfresh.contracts.window import DecodedExample
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.vocabulary import Vocabulary

_TOUCHED = 0.01


def first(settings: ModelSettings, items: int) -> Recommender:
    """Version 1: ``items`` items, weights as initialised."""
    made = Recommender(settings, Vocabulary(), seed=1)
    made.admit([_sighting(items)])
    return made


def _sighting(items: int) -> DecodedExample:
    targets = [Interaction(item, "view", 0) for item in range(1, items + 1)]
    places = list(range(items))
    return DecodedExample(0, [], targets, places, places)


def touch(made: Recommender, version: int) -> None:
    """What a window does to weights: some rows and every dense part move a little."""
    draw = torch.Generator().manual_seed(version)
    with torch.no_grad():
        table = made.network.items
        rows = torch.randperm(len(table), generator=draw)[: max(1, int(_TOUCHED * len(table)))]
        for name, weight in made.network.named_parameters():
            if name == "items":
                weight[rows] += 0.05 * torch.randn(len(rows), weight.shape[1], generator=draw)
            elif name != "item_bias":
                weight.add_(1e-3 * torch.randn(weight.shape, generator=draw))


def manifest(version: int, made: Recommender) -> WeightManifest:
    """A trainer's, with made-up positions."""
    return WeightManifest(
        format=FORMAT,
        version=version,
        parent=version - 1 or None,
        label=version,
        created_ms=time.time_ns() // 1_000_000,
        trained_through={0: version},
        windows_read={0: version},
        files=[],
        model=made.settings.model_dump(mode="json"),
        items=len(made.vocabulary),
        events=version,
        scores={},
    )


class Line:
    """A line of versions in a store, made longer one by one as a trainer does."""

    def __init__(self, store: FsspecWeightStore) -> None:
        self._store = store
        self.version = max(store.versions())
        found = store.manifest(self.version)
        files = {file.name: store.read(found, file.name) for file in found.files}
        self._made = Recommender.load(found.model, files)
        self._advance()  # it was killed, perhaps, between writing and pointing

    def extend(self) -> None:
        """One version more, written and pointed at."""
        touch(self._made, self.version + 1)
        written = manifest(self.version + 1, self._made)
        self._store.write(written, self._made.save())
        self.version += 1
        self._advance()

    def _advance(self) -> None:
        current = self._store.pointer()
        if current is None or current.version < self.version:
            self._store.advance(Pointer(1, self.version))


def begin(url: str, settings: Settings, items: int) -> FsspecWeightStore:
    """A store with version 1 in it."""
    store = FsspecWeightStore(url, settings.weights.snapshot_every)
    made = first(settings.model, items)
    store.write(manifest(1, made), made.save())
    store.advance(Pointer(1, 1))
    return store


def main(commands: Path) -> None:
    """Go on from the newest version in the store, for ever."""
    settings = load_settings()
    every = settings.weights.snapshot_every
    live = Line(FsspecWeightStore(settings.weights_url, every))
    aside = Line(FsspecWeightStore(str(commands / "aside"), every))
    due = time.monotonic()
    while True:
        pace, last = (float((commands / name).read_text()) for name in ("pace", "until"))
        due = max(due + 1.0 / pace, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
        # A calm second costs this machine what a busy one does, but for the swaps.
        (live if live.version < last else aside).extend()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
