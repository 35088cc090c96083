"""What does a version cost to store, to send and to take over, when only some items changed?

    python -m benchmarks.deltas [--quick] [--json FILE] [--repeats N]

Good: small deltas beside the whole version, and a version that is live by its changed rows sooner
than loaded whole. The run asserts that deltas give exactly the same bytes.

A version of so many items in the default network is written to a real store, some rows are moved
and sighted as a window does, and its children are written as deltas. A follower, as a replica has
one, takes each over: whole as it starts, by its changed rows from the third version on, and at
last a full snapshot by its changed rows, which is hashed as a whole before it goes live. Sizes are
of files on disk; times are medians, from the look at the pointer until the version is live. In the
last cases replicas read shorter rows (``weights.rows``), which the trainer writes beside its own.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch

from benchmarks.harness.options import parse_options
from benchmarks.harness.report import median, show_table, write_figures
from benchmarks.synthetic.versions import manifest, untrained
from everfresh.adapters.memory import ManualClock
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.manifest import Pointer, Rows, WeightManifest
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import ModelSettings
from everfresh.contracts.window import DecodedExample
from everfresh.model.recommender import Recommender
from everfresh.model.version_files import version_files
from everfresh.serving.versions.follow import Follower, load_version
from everfresh.serving.versions.holder import VersionHolder

SIZES = 10_000, 100_000, 1_000_000
COLUMNS = (
    "items",
    "touched",
    "rows",
    "whole MB",
    "delta MB ↓",
    "write s ↓",
    "by rows s ↓",
    "times smaller ↑",
    "whole s ↓",
    "snapshot s ↓",
    "times faster ↑",
)
"""Seconds are until a version is live: taken over by changed rows, whole, or by a snapshot's."""


class Case(NamedTuple):
    """So many items, the share of them that is touched, and what replicas read rows as."""

    items: int
    share: float
    rows: Rows


def touch(recommender: Recommender, share: float, turn: int) -> None:
    """Move and sight a share of the rows, and every dense weight."""
    generator = torch.Generator().manual_seed(turn)
    table = recommender.network.items
    number = max(1, int(share * (len(table) - 1)))
    rows = torch.randperm(len(table) - 1, generator=generator)[:number] + 1
    with torch.no_grad():
        for weight in recommender.network.parameters():
            if weight.shape[:1] != table.shape[:1]:
                weight.add_(1e-3 * torch.randn(weight.shape, generator=generator))
        table[rows] += 0.05 * torch.randn(number, table.shape[1], generator=generator)
        recommender.network.item_bias[rows] += 0.01
    seen = [Interaction(recommender.vocabulary.item(row), "view", turn) for row in rows.tolist()]
    recommender.admit([DecodedExample(0, [], seen, list(range(number)), list(range(number)))])


def kept_bytes(root: Path, written: WeightManifest) -> int:
    """What the version's folder holds of the files that replicas read."""
    folder = root / f"v{written.version:010d}"
    return sum(
        path.stat().st_size
        for path in folder.iterdir()
        if path.name.removesuffix(".delta") in written.replica_files
    )


class Following(NamedTuple):
    """A follower, and what it makes live."""

    follower: Follower
    holder: VersionHolder


def fresh(url: str) -> Following:
    """As a replica that has just been started."""
    holder = VersionHolder()
    store = FsspecWeightStore(url)
    return Following(Follower(store, holder, ManualClock(1), load_version), holder)


def follow(following: Following) -> tuple[float, bool]:
    """Seconds until the current version is live, and whether it was made of changed rows."""
    before = following.follower.by_deltas()
    began = time.perf_counter()
    swapped = following.follower.step()
    took = time.perf_counter() - began
    assert swapped, following.follower.state.reason
    return took, following.follower.by_deltas() > before


def declared(version: int, recommender: Recommender, rows: Rows) -> WeightManifest:
    """A manifest that says what replicas read."""
    return msgspec.structs.replace(manifest(version, recommender), rows=rows)


def measure(case: Case, turns: int) -> dict[str, float]:
    """Medians over ``turns`` versions."""
    items, share, rows = case
    samples: dict[str, list[float]] = {name: [] for name in ("delta_mb", "write_s", "delta_s")}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        writer = FsspecWeightStore(name, snapshot_every=turns + 4)
        recommender = untrained(items, ModelSettings())
        parent = writer.write(declared(1, recommender, rows), version_files(recommender, rows))
        writer.advance(Pointer(1, 1))
        whole_s = median(follow(fresh(name))[0] for _ in range(turns))
        follower = fresh(name)
        follow(follower)
        for turn in range(turns + 4):
            touch(recommender, share, turn)
            files = version_files(recommender, rows)
            began = time.perf_counter()
            child = writer.write(declared(turn + 2, recommender, rows), files)
            took = time.perf_counter() - began
            writer.advance(Pointer(1, child.version))
            seconds, by_deltas = follow(follower)
            if child.depth == 0:
                assert by_deltas, "also a snapshot is taken over by its changed rows"
                snapshot_s = seconds
            elif turn > 2:  # by then the two tables are its own
                assert by_deltas
                samples["write_s"].append(took)
                samples["delta_s"].append(seconds)
                samples["delta_mb"].append(kept_bytes(root, child) / 1e6)
        live = follower.holder.current()
        assert live is not None
        assert live.recommender.save().items() <= files.items(), "deltas give the exact bytes"
    medians = {key: median(values) for key, values in samples.items()}
    read = [file for file in parent.files if file.name in parent.replica_files]
    whole_mb = sum(file.bytes for file in read) / 1e6
    return {
        "whole_mb": whole_mb,
        **medians,
        "ratio": whole_mb / medians["delta_mb"],
        "whole_s": whole_s,
        "snapshot_s": snapshot_s,
        "faster": whole_s / medians["delta_s"],
    }


def cases(quick: bool) -> list[Case]:
    """What is measured: every size, more of the largest touched, and its shorter rows."""
    sizes = SIZES[:2] if quick else SIZES
    most = sizes[-1]
    float32 = [Case(size, 0.01, "float32") for size in sizes]
    if not quick:
        float32.append(Case(most, 0.1, "float32"))
    return [*float32, Case(most, 0.01, "bf16"), Case(most, 0.01, "int8")]


def show(measured: Mapping[Case, Mapping[str, float]]) -> None:
    """A line for each case."""
    rows = [
        (f"{case.items:,}", f"{case.share:.0%}", case.rows, *medians.values())
        for case, medians in measured.items()
    ]
    title = "Deltas of what replicas read, and seconds until a version is live"
    good = "deltas many times smaller than the whole, live in little time by their changed rows"
    show_table(title, COLUMNS, rows, good=good)


def figures(measured: Mapping[Case, Mapping[str, float]]) -> dict[str, float]:
    """Every median, behind it the items, the share touched and, unless float32, the rows."""
    named: dict[str, float] = {}
    for case, medians in measured.items():
        suffix = f"{case.items}_{case.share:g}"
        suffix += "" if case.rows == "float32" else f"_{case.rows}"
        named |= {f"{key}_{suffix}": round(value, 4) for key, value in medians.items()}
    return named


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    options = parse_options("deltas", __doc__, argv)
    began = time.monotonic()
    torch.set_num_threads(1)
    measured = {case: measure(case, options.repeats) for case in cases(options.quick)}
    show(measured)
    write_figures(figures(measured), began, options.json)


if __name__ == "__main__":
    main()
