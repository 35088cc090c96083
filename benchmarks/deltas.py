"""What a version costs to keep, to send and to take over, by catalogue size and share touched.

A version of ``ITEMS`` items in the default network is written to a real store, some rows are moved
and sighted as a window does, and its children are written as deltas. A follower, as a replica has
one, takes each over: whole as it starts, by its changed rows from the third version on, and at
last a full snapshot by its changed rows, which is hashed as a whole before it goes live. Sizes are
of files on disk; times are medians, from the look at the pointer until the version is live. In the
last cases replicas read shorter rows (``weights.rows``), which the trainer writes beside its own.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch

from benchmarks._harness import finish, median, parse_options, show
from benchmarks.swap.publisher import first, manifest
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


def touch(made: Recommender, share: float, turn: int) -> None:
    """Move and sight a share of the rows, and every dense weight."""
    draw = torch.Generator().manual_seed(turn)
    table = made.network.items
    number = max(1, int(share * (len(table) - 1)))
    rows = torch.randperm(len(table) - 1, generator=draw)[:number] + 1
    with torch.no_grad():
        for weight in made.network.parameters():
            if weight.shape[:1] != table.shape[:1]:
                weight.add_(1e-3 * torch.randn(weight.shape, generator=draw))
        table[rows] += 0.05 * torch.randn(number, table.shape[1], generator=draw)
        made.network.item_bias[rows] += 0.01
    seen = [Interaction(made.vocabulary.item(row), "view", turn) for row in rows.tolist()]
    made.admit([DecodedExample(0, [], seen, list(range(number)), list(range(number)))])


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


def declared(version: int, made: Recommender, rows: Rows) -> WeightManifest:
    """A manifest that says what replicas read."""
    return msgspec.structs.replace(manifest(version, made), rows=rows)


def measure(items: int, share: float, turns: int, rows: Rows) -> dict[str, float]:
    """Medians over ``turns`` versions."""
    found: dict[str, list[float]] = {name: [] for name in ("delta_mb", "write_s", "delta_s")}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        writer = FsspecWeightStore(name, snapshot_every=turns + 4)
        made = first(ModelSettings(), items)
        parent = writer.write(declared(1, made, rows), version_files(made, rows))
        writer.advance(Pointer(1, 1))
        whole_s = median(follow(fresh(name))[0] for _ in range(turns))
        follower = fresh(name)
        follow(follower)
        for turn in range(turns + 4):
            touch(made, share, turn)
            files = version_files(made, rows)
            began = time.perf_counter()
            child = writer.write(declared(turn + 2, made, rows), files)
            took = time.perf_counter() - began
            writer.advance(Pointer(1, child.version))
            seconds, by_deltas = follow(follower)
            if child.depth == 0:
                assert by_deltas, "also a snapshot is taken over by its changed rows"
                snapshot_s = seconds
            elif turn > 2:  # by then the two tables are its own
                assert by_deltas
                found["write_s"].append(took)
                found["delta_s"].append(seconds)
                found["delta_mb"].append(kept_bytes(root, child) / 1e6)
        live = follower.holder.current()
        assert live is not None
        assert live.recommender.save().items() <= files.items(), "deltas give the exact bytes"
    figures = {key: median(values) for key, values in found.items()}
    read = [file for file in parent.files if file.name in parent.replica_files]
    whole = sum(file.bytes for file in read) / 1e6
    return {
        "whole_mb": whole,
        **figures,
        "ratio": whole / figures["delta_mb"],
        "whole_s": whole_s,
        "snapshot_s": snapshot_s,
        "faster": whole_s / figures["delta_s"],
    }


def main(argv: Sequence[str] | None = None) -> None:
    """The table."""
    options = parse_options(__doc__ or "", argv)
    began = time.monotonic()
    torch.set_num_threads(1)
    sizes = SIZES[:2] if options.quick else SIZES
    cases: list[tuple[int, float, Rows]] = [(size, 0.01, "float32") for size in sizes]
    most = sizes[-1]
    if not options.quick:
        cases += [(most, 0.1, "float32")]
    cases += [(most, 0.01, "bf16"), (most, 0.01, "int8")]
    table, figures = [], {}
    for items, share, rows in cases:
        found = measure(items, share, options.repeats, rows)
        table.append((f"{items:,} items, {share:.0%} touched, {rows}", *found.values()))
        suffix = f"{items}_{share:g}" + ("" if rows == "float32" else f"_{rows}")
        figures |= {f"{key}_{suffix}": round(value, 4) for key, value in found.items()}
    columns = ("", *found)
    show("Deltas: what replicas read", columns, table)
    finish(figures, began, options.json)


if __name__ == "__main__":
    main()
