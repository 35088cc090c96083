"""How soon is a large version live on all replicas, sent whole through Ray's object store?

    python -m benchmarks.push [--quick] [--json FILE] [--repeats N]

Good: few seconds until live, nearly none to hand it over.

Two actors on one machine hold what a replica holds of this: a follower of the weight store and
what was pushed to it. They answer by a version already. Another one is written whole, pointed at,
and its contents are put into Ray's object store once. From there on time is taken: they are handed
to both actors without a copy, and each verifies the sha256 of every file, reads the vocabulary,
checks that all weights are finite, makes the catalogue, answers three times to be warm, and swaps.
What is before, the trainer's writing and the one copy into the object store, is given beside it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray

from benchmarks.harness.options import parse_options
from benchmarks.harness.report import median, show_table, write_figures
from benchmarks.synthetic.versions import change_rows, manifest, untrained
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
        self._pushed.drop(self._pushed.held)
        return here, live


def push(store: FsspecWeightStore, written: WeightManifest, holders: Sequence[Any]) -> Times:
    """Put a version's contents into the object store and hand them to all."""
    contents = {
        file.digest: np.frombuffer(store.read(written, file.name), np.uint8)
        for file in written.files
        if file.name in MODEL_FILES
    }
    began = time.time()
    there = ray.put(contents)
    stored = time.time()
    times = ray.get([holder.take.remote(there) for holder in holders])
    return {
        "put_s": stored - began,
        "handed_over_s": max(here for here, _ in times) - stored,
        "live_s": max(live for _, live in times) - stored,
    }


def measure(url: str, items: int, repeats: int) -> tuple[int, list[Times]]:
    """Bytes of a version, and the times of ``repeats`` pushes after the first."""
    store = FsspecWeightStore(url)
    recommender = untrained(items, ModelSettings(dim=DIM))
    actor = ray.remote(num_cpus=0)(Holder)
    times: list[Times] = []
    holders: list[Any] = []
    for version in range(1, repeats + 2):
        change_rows(recommender, version)
        written = store.write(manifest(version, recommender), recommender.save())
        store.advance(Pointer(1, version))
        if version > 1:
            store.delete(version - 1)
        holders = holders or [actor.remote(url) for _ in range(REPLICAS)]
        ray.get([holder.ready.remote() for holder in holders])
        times.append(push(store, written, holders))
    return sum(file.bytes for file in written.files), times[1:]


def show(size: int, times: Sequence[Times]) -> None:
    """A line for each step, a column for each run."""
    rows = [(step, *(each[step] for each in times), median_of(times, step)) for step in times[0]]
    runs = [f"run {at + 1} ↓" for at in range(len(times))]
    show_table(
        f"{size / 1e6:,.0f} MB to {REPLICAS} replicas",
        ("step", *runs, "median ↓"),
        rows,
        good="few seconds until live",
    )


def median_of(times: Sequence[Times], step: str) -> float:
    """Of one step, over the runs."""
    return median(each[step] for each in times)


def figures(size: int, times: Sequence[Times]) -> dict[str, float]:
    """Megabytes of the version, and the median of each step."""
    medians = {step: round(median_of(times, step), 3) for step in times[0]}
    return {"mb": round(size / 1e6), **medians}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    options = parse_options("push", __doc__, argv)
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
            size, times = measure(name, items, options.repeats)
        finally:
            ray.shutdown()
    show(size, times)
    write_figures(figures(size, times), began, options.json)


if __name__ == "__main__":
    main()
