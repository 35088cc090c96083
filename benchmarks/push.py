"""How long a large version takes from the object store to being live on two replicas.

Two actors on one machine hold what a replica holds of this: a follower of the weight store and
what was pushed to it. They answer by a version already. Another one is written whole, pointed at,
and its contents are put into Ray's object store once. From there on time is taken: they are handed
to both actors without a copy, and each verifies the sha256 of every file, reads the vocabulary,
checks that all weights are finite, makes the catalogue, answers three times to be warm, and swaps.
What is before, the trainer's writing and the one copy into the object store, is given beside it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray

from benchmarks._harness import add_options, finish, median, show
from benchmarks.swap.publisher import first, manifest, touch
from everfresh.adapters.memory import ManualClock
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.manifest import MODEL_FILES, Pointer, WeightManifest
from everfresh.contracts.settings import ModelSettings
from everfresh.serving.versions.follow import Follower, load_version
from everfresh.serving.versions.holder import VersionHolder
from everfresh.serving.versions.pushed_weights import PushedStore

Times = dict[str, float]
REPLICAS, DIM, ITEMS = 2, 256, 1_000_000


class Holder:
    """What a replica has between the object store and its live version."""

    def __init__(self, url: str) -> None:
        self._pushed = PushedStore(FsspecWeightStore(url))
        self._taken = 0
        self._holder = VersionHolder()
        self._follower = Follower(self._pushed, self._holder, ManualClock(1), load_version)

    def ready(self) -> int:
        """That it is up."""
        return os.getpid()

    def take(self, contents: dict[str, Any]) -> tuple[float, float]:
        """When the contents were here, and when they were live: seconds of the system's clock."""
        here = time.time()
        self._pushed.receive({sha256: memoryview(data) for sha256, data in contents.items()})
        swapped = self._follower.step()
        assert swapped, self._follower.state.reason
        live = time.time()
        self._taken += len(contents)
        assert self._pushed.used == self._taken, "all was pushed, nothing fetched"
        self._pushed.drop()
        return here, live


def push(store: FsspecWeightStore, written: WeightManifest, holders: Sequence[Any]) -> Times:
    """Put a version's contents into the object store and hand them to all."""
    contents = {
        file.sha256: np.frombuffer(store.read(written, file.name), np.uint8)
        for file in written.files
        if file.name in MODEL_FILES
    }
    began = time.time()
    there = ray.put(contents)
    stored = time.time()
    times = ray.get([one.take.remote(there) for one in holders])
    return {
        "put_s": stored - began,
        "handed_over_s": max(here for here, _ in times) - stored,
        "live_s": max(live for _, live in times) - stored,
    }


def measure(url: str, items: int, repeats: int) -> tuple[int, list[Times]]:
    """Bytes of a version, and the times of ``repeats`` pushes after the first."""
    store = FsspecWeightStore(url)
    made = first(ModelSettings(dim=DIM), items)
    actor = ray.remote(num_cpus=0)(Holder)
    found: list[Times] = []
    holders: list[Any] = []
    for version in range(1, repeats + 2):
        touch(made, version)
        written = store.write(manifest(version, made), made.save())
        store.advance(Pointer(1, version))
        if version > 1:
            store.delete(version - 1)
        holders = holders or [actor.remote(url) for _ in range(REPLICAS)]
        ray.get([one.ready.remote() for one in holders])
        found.append(push(store, written, holders))
    return sum(file.bytes for file in written.files), found[1:]


def main(argv: Sequence[str] | None = None) -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    options = parser.parse_args(argv)
    began = time.monotonic()
    items = ITEMS // 10 if options.quick else ITEMS
    room = 3 * (items * (DIM * 4 + 64)) + (300 << 20)
    with tempfile.TemporaryDirectory() as name:
        ray.init(
            num_cpus=REPLICAS,
            object_store_memory=room,
            include_dashboard=False,
            log_to_driver=False,
            runtime_env={"env_vars": {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}},
        )
        try:
            size, found = measure(name, items, options.repeats)
        finally:
            ray.shutdown()
    figures = {key: median(one[key] for one in found) for key in found[0]}
    rows = [(key, *(one[key] for one in found), figures[key]) for key in figures]
    rounds = [f"run {at + 1}" for at in range(len(found))]
    show(f"{size / 1e6:,.0f} MB to {REPLICAS} replicas", ("", *rounds, "median"), rows)
    finish(
        {"mb": round(size / 1e6), **{k: round(v, 3) for k, v in figures.items()}},
        began,
        options.json,
    )


if __name__ == "__main__":
    main()
