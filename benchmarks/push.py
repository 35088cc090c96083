"""How long a large version takes from the object store to being live on two replicas.

Two actors on one machine hold what a replica holds of this: a follower of the weight store and
what was pushed to it. A version of ``MEGABYTES`` is written and pointed at, and its contents are
put into Ray's object store once. From there on time is taken: they are handed to both actors
without a copy, each verifies the sha256 of every file, reads the vocabulary, builds the catalogue,
checks that all weights are finite, answers three times to be warm, and swaps. What is before, the
trainer's writing and the one copy into the object store, is given beside it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import ray

from benchmarks._harness import add_options, finish, median, show
from benchmarks.swap.publisher import first, manifest
from contracts.manifest import MODEL_FILES, Pointer
from contracts.settings import ModelSettings
from infra.memory import ManualClock
from infra.weights import FsspecWeightStore
from serving.follow import Follower, load_version
from serving.offers import OfferedStore
from serving.versions import VersionHolder

REPLICAS, DIM, ITEMS = 2, 256, 1_000_000


class Holder:
    """What a replica has between the object store and its live version."""

    def __init__(self, url: str) -> None:
        self._offered = OfferedStore(FsspecWeightStore(url))
        self._holder = VersionHolder()
        self._follower = Follower(self._offered, self._holder, ManualClock(1), load_version)

    def ready(self) -> int:
        """That it is up."""
        return os.getpid()

    def take(self, contents: dict[str, Any]) -> tuple[float, float]:
        """When the contents were here, and when they were live: seconds of the system's clock."""
        here = time.time()
        self._offered.offer({sha256: memoryview(data) for sha256, data in contents.items()})
        swapped = self._follower.step()
        assert swapped, self._follower.state.reason
        assert self._offered.used == len(contents), "all was pushed, nothing fetched"
        return here, time.time()


def measure(url: str, version: int) -> dict[str, float]:
    """One version pushed to replicas that have none yet."""
    store = FsspecWeightStore(url)
    written = store.manifest(version)
    files = [file for file in written.files if file.name in MODEL_FILES]
    contents = {
        file.sha256: np.frombuffer(store.read(written, file.name), np.uint8) for file in files
    }
    actor = ray.remote(num_cpus=0)(Holder)
    holders = [actor.remote(url) for _ in range(REPLICAS)]
    ray.get([one.ready.remote() for one in holders])
    began = time.time()
    there = ray.put(contents)
    stored = time.time()
    times = ray.get([one.take.remote(there) for one in holders])
    for one in holders:
        ray.kill(one)
    return {
        "put_s": stored - began,
        "handed_over_s": max(here for here, _ in times) - stored,
        "live_s": max(live for _, live in times) - stored,
    }


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    options = parser.parse_args()
    began = time.monotonic()
    items = ITEMS // 10 if options.quick else ITEMS
    with tempfile.TemporaryDirectory() as name:
        store = FsspecWeightStore(name)
        made = first(ModelSettings(dim=DIM), items)
        written = store.write(manifest(1, made), made.save())
        store.advance(Pointer(1, 1))
        del made, store
        size = sum(file.bytes for file in written.files)
        ray.init(
            num_cpus=REPLICAS,
            object_store_memory=2 * size + (200 << 20),
            include_dashboard=False,
            log_to_driver=False,
            runtime_env={"env_vars": {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}},
        )
        try:
            found = [measure(name, 1) for _ in range(options.repeats)]
        finally:
            ray.shutdown()
    figures = {key: median(one[key] for one in found) for key in found[0]}
    rows = [(key, *(one[key] for one in found), figures[key]) for key in figures]
    rounds = [f"run {at + 1}" for at in range(len(found))]
    show(f"{size / 1e6:,.0f} MB to {REPLICAS} replicas", ("", *rounds, "median"), rows)
    finish({"mb": round(size / 1e6), **figures}, began, options.json)


if __name__ == "__main__":
    main()
