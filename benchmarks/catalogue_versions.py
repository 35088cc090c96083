"""What does a version cost when the catalogue grows and the windows stay the same?

    python -m benchmarks.catalogue_versions [--quick] [--json FILE] [--repeats N]

Good: a version of a million items has at most 20 MB, and is live in twice the seconds that it takes
at 10,000.

A learner of so many items (default network, optimizer with moments, opponents) takes in windows of
900 events of 300 users on skewed items; each moves the rows of its targets and of its pool of
negatives, as training does. Its version is handed to a real store on disk as tables, with the rows
that were touched, and a follower takes it over as a replica does. The ``bytes`` columns are of the
same windows handed over whole, as builds before did: encoded, hashed and compared as a whole.
Seconds are medians; resident memory is that of the one process that holds learner and follower.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.harness.options import parse_options
from benchmarks.harness.report import figures_by_size, median, show_table, write_figures
from benchmarks.synthetic.versions import manifest, untrained
from everfresh.adapters.memory import ManualClock
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.manifest import Pointer
from everfresh.contracts.safetensors import VersionFile, whole
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import ModelSettings
from everfresh.contracts.window import DecodedExample
from everfresh.model.opponents.opponent_file import begin_version, opponent_tables
from everfresh.model.opponents.opponents import Opponents
from everfresh.model.optimizer import (
    apply_gradients,
    build_optimizer,
    optimizer_tables,
    take_gradients,
)
from everfresh.model.trends.contexts import Sightings
from everfresh.model.version_files import version_tables
from everfresh.serving.versions.follow import Follower, load_version
from everfresh.serving.versions.holder import VersionHolder
from everfresh.trainer.learning.network import Network

SIZES = 1_000, 10_000, 100_000, 1_000_000
USERS, EVENTS = 300, 3
"""Users of a window, and the events of each."""
POOL = 2
"""Rows that a window draws its negatives from, in ``model.negatives``."""
STEPS = ("encode_s", "hash_s", "write_s", "takeover_s")
_MB = 1e6


class Learnt(NamedTuple):
    """What a version holds."""

    network: Network
    opponents: Opponents

    def files(self) -> dict[str, VersionFile]:
        """As the trainer hands them to a store."""
        touched = self.network.touched_rows()
        exact = self.network.recommender
        return {
            **version_tables(exact, "float32", touched),
            "optimizer.safetensors": optimizer_tables(self.network.optimizer, exact, touched),
            "opponents.safetensors": opponent_tables(self.opponents),
        }


def learner(items: int) -> Learnt:
    """Of so many items, all of them sighted once, with moments for every row."""
    recommender = untrained(items, ModelSettings())
    optimizer = build_optimizer(recommender, 1e-3)
    for weight in recommender.parameters():
        weight.grad = torch.zeros_like(weight)
    apply_gradients(recommender, optimizer, take_gradients(optimizer, recommender))
    optimizer.rows.begin_window(keep=False)
    opponents = Opponents()
    opponents.vocabulary.admit(range(1, items + 1))
    opponents.popularity.counts.reach(opponents.vocabulary.rows)
    return Learnt(Network(recommender, optimizer), opponents)


def take_window(learnt: Learnt, turn: int) -> None:
    """What a window leaves: sightings, counts, and moved rows and moments."""
    draw, recommender = np.random.default_rng(turn), learnt.network.recommender
    items = recommender.vocabulary.rows - 1
    drawn = (items * draw.random((USERS, EVENTS)) ** 3).astype(int) + 1
    examples = [
        DecodedExample(
            user,
            [],
            [Interaction(item, "view", turn) for item in row],
            list(range(EVENTS * user, EVENTS * user + EVENTS)),
            list(range(EVENTS)),
        )
        for user, row in enumerate(drawn.tolist())
    ]
    recommender.admit(examples, turn)
    sighted = drawn.ravel()
    before, none = np.append(0, sighted[:-1]), np.zeros_like(sighted)
    recommender.learn_trends(Sightings.of(sighted, before, none, none))
    learnt.opponents.update(examples, turn)
    pool = draw.choice(items, min(items, POOL * recommender.settings.negatives), replace=False)
    rows = np.union1d(drawn, pool + 1)
    at = torch.from_numpy(rows)
    optimizer = learnt.network.optimizer
    tables = optimizer.rows.tables
    with torch.no_grad():
        for name, weight in recommender.network.named_parameters():
            if name in tables:
                weight.data[at] += 0.01
                optimizer.rows.moments[name][at] += 0.01
            else:
                for moved in (weight.data, *optimizer.dense.state.get(weight, {}).values()):
                    moved.add_(0.01)
    optimizer.rows.stepped[at] = turn
    learnt.network.touch(rows)


def resident_mb() -> float:
    """Of this process now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / _MB


def measure(items: int, turns: int, *, by_rows: bool) -> dict[str, float]:
    """Medians over ``turns`` windows, after the first ones."""
    learnt = learner(items)
    samples: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        store = FsspecWeightStore(name, snapshot_every=turns + 6)
        holder = VersionHolder()
        follower = Follower(FsspecWeightStore(name), holder, ManualClock(1), load_version)
        for version in range(1, turns + 5):
            take_window(learnt, version)
            marks = [time.perf_counter()]
            files = learnt.files()
            if not by_rows:
                files = {key: whole(file) for key, file in files.items()}
            marks.append(time.perf_counter())
            written = manifest(version, learnt.network.recommender)
            if by_rows:
                store.name_files(written.parent, files)
            marks.append(time.perf_counter())
            store.write(written, files)
            learnt.network.begin_version()
            begin_version(learnt.opponents)
            store.advance(Pointer(1, version))
            marks.append(time.perf_counter())
            assert follower.step(), follower.state.reason
            marks.append(time.perf_counter())
            folder = Path(name) / f"v{version:010d}"
            stored = sum(path.stat().st_size for path in folder.iterdir()) / _MB
            if version > 4:  # by then both of the follower's tables are its own, and verified
                seconds = np.diff(marks).tolist()
                row = dict(
                    zip(("encode_s", "hash_s", "write_s", "takeover_s"), seconds, strict=True)
                )
                row |= {"version_mb": stored, "live_s": sum(seconds), "rss_mb": resident_mb()}
                for key, value in row.items():
                    samples.setdefault(key, []).append(value)
        live = holder.current()
        assert live is not None
        exact = learnt.network.recommender
        assert live.recommender.save() == exact.save(), "rows give the exact bytes"
    return {key: median(values) for key, values in samples.items()}


COLUMNS = ("encode_s", "hash_s", "write_s", "version_mb", "takeover_s", "live_s", "rss_mb")


def show(measured: Mapping[int, Mapping[str, float]]) -> None:
    """Two rows for each number of items."""
    rows = [
        [f"{items:,}", how, *(f"{medians[head + name]:.3g}" for name in COLUMNS)]
        for items, medians in measured.items()
        for how, head in (("whole", "bytes_"), ("by rows", ""))
    ]
    show_table(
        "A version, as the catalogue grows",
        ["items", "handed over", *(f"{name.replace('_', ' ')} ↓" for name in COLUMNS)],
        rows,
        good="by rows, at most 20 MB at a million items, and live in twice the time of 10,000",
    )


def figures(measured: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """``version_mb_1000`` and so on; those of versions handed over whole begin with ``bytes_``."""
    return figures_by_size(measured)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    options = parse_options("catalogue_versions", __doc__, argv)
    began = time.monotonic()
    torch.set_num_threads(1)
    measured: dict[int, dict[str, float]] = {}
    for items in SIZES[:2] if options.quick else SIZES:
        before = measure(items, options.repeats, by_rows=False)
        measured[items] = measure(items, options.repeats, by_rows=True)
        measured[items] |= {f"bytes_{name}": value for name, value in before.items()}
    show(measured)
    write_figures(figures(measured), began, options.json)


if __name__ == "__main__":
    main()
