"""What a version costs to keep, to send and to take over, by catalogue size and share touched.

A version of ``ITEMS`` items in the default network is written to a real store, some rows are moved
and sighted as a window does, and its child is written as a delta. A second store, which has read
the parent as a replica has, then reads the child. Sizes are of files on disk; times are medians.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch

from benchmarks._harness import finish, median, parse_options, show
from benchmarks.swap.publisher import first, manifest
from contracts.manifest import MODEL_FILES, WeightManifest
from contracts.sequence import Interaction
from contracts.settings import ModelSettings
from contracts.window import DecodedExample
from infra.weights import FsspecWeightStore
from model.recommender import Recommender


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
        if path.name.removesuffix(".delta") in MODEL_FILES
    )


def measure(items: int, share: float, turns: int) -> dict[str, float]:
    """Medians over ``turns`` versions."""
    found: dict[str, list[float]] = {"delta_mb": [], "write_s": [], "read_s": [], "load_s": []}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        writer = FsspecWeightStore(name, snapshot_every=100)
        follower = FsspecWeightStore(name)
        made = first(ModelSettings(), items)
        parent = writer.write(manifest(1, made), made.save())
        whole = kept_bytes(root, parent) / 1e6
        for file in MODEL_FILES:
            follower.read(parent, file)
        for turn in range(turns):
            touch(made, share, turn)
            saved = made.save()
            began = time.perf_counter()
            child = writer.write(manifest(turn + 2, made), saved)
            found["write_s"].append(time.perf_counter() - began)
            began = time.perf_counter()
            files = {file: follower.read(child, file) for file in MODEL_FILES}
            found["read_s"].append(time.perf_counter() - began)
            began = time.perf_counter()
            Recommender.load(child.model, files).catalogue()
            found["load_s"].append(time.perf_counter() - began)
            found["delta_mb"].append(kept_bytes(root, child) / 1e6)
            assert files == saved, "a delta gives back the exact bytes"
    figures = {key: median(values) for key, values in found.items()}
    return {"whole_mb": whole, **figures, "ratio": whole / figures["delta_mb"]}


def main() -> None:
    """The table."""
    options = parse_options(__doc__ or "")
    began = time.monotonic()
    torch.set_num_threads(1)
    cases = [(10_000, 0.01), (100_000, 0.01)]
    cases += [] if options.quick else [(1_000_000, 0.01), (1_000_000, 0.1)]
    rows, figures = [], {}
    for items, share in cases:
        found = measure(items, share, options.repeats)
        rows.append((f"{items:,} items, {share:.0%} touched", *found.values()))
        figures |= {f"{key}_{items}_{share:g}": round(value, 4) for key, value in found.items()}
    columns = ("", "whole MB", "delta MB", "write s", "read s", "load s", "times smaller")
    show("Deltas: what replicas read", columns, rows)
    finish(figures, began, options.json)


if __name__ == "__main__":
    main()
