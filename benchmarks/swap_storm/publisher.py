"""The publisher: writes versions at a pace, as a trainer does, in a process that can be killed.

``python -m benchmarks.swap_storm.publisher COMMANDS``: a folder with ``pace`` (versions per second)
and ``until`` (the last version to publish), read before each version. Beyond ``until`` versions are
written all the same, into a store in that folder that nobody follows.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from benchmarks.synthetic.versions import change_rows, manifest
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.manifest import Pointer
from everfresh.contracts.settings import load_settings
from everfresh.model.recommender import Recommender


class Lineage:
    """Versions in a store, each the parent of the next, as a trainer writes them."""

    def __init__(self, store: FsspecWeightStore) -> None:
        self._store = store
        self.version = max(store.versions())
        newest = store.manifest(self.version)
        files = {file.name: store.read(newest, file.name) for file in newest.files}
        self._recommender = Recommender.load(newest.model, files)
        self._advance()  # it was killed, perhaps, between writing and pointing

    def extend(self) -> None:
        """One version more, written and pointed at."""
        change_rows(self._recommender, self.version + 1)
        following = manifest(self.version + 1, self._recommender)
        self._store.write(following, self._recommender.save())
        self.version += 1
        self._advance()

    def _advance(self) -> None:
        current = self._store.pointer()
        if current is None or current.version < self.version:
            self._store.advance(Pointer(1, self.version))


def main(commands: Path) -> None:
    """Go on from the newest version in the store, for ever."""
    settings = load_settings()
    every = settings.weights.snapshot_every
    live = Lineage(FsspecWeightStore(settings.weights_url, every))
    aside = Lineage(FsspecWeightStore(str(commands / "aside"), every))
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
