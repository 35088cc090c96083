"""``python -m everfresh.evaluation.scaling FILE``: the grid of trainings, and what it says.

Results go to standard output as they come, a JSON object per line (``evaluation.scaling.lines``).
Each finished cell is also a file in ``--folder``. All settings but those of size are the trainer's.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from everfresh.adapters.files.checks import event_check
from everfresh.adapters.files.opening import open_events
from everfresh.adapters.files.tables.mapping import Reading, decode_reading, encode_reading
from everfresh.adapters.observe.logs import run_main
from everfresh.contracts.errors import SettingsError
from everfresh.contracts.event import Event
from everfresh.contracts.settings import Settings, load_settings
from everfresh.evaluation.results import RowsRead, encode_line
from everfresh.evaluation.scaling.cell import (
    block_weights,
    seconds_per_token,
    sized,
    tokens_of,
    train_cell,
)
from everfresh.evaluation.scaling.findings import findings
from everfresh.evaluation.scaling.grid import Grid, lay_grid
from everfresh.evaluation.scaling.kept_cells import KeptCells, digest_of
from everfresh.evaluation.scaling.lines import GridPlan, ScalingLine, encode_scaling
from everfresh.trainer.learning.device import prepare_device
from everfresh.trainer.scoring.window_measures import sequence_entropy

LEAST_SIZES, LEAST_PREFIXES, LEAST_SEEDS = 4, 4, 2
MOST_WEIGHTS = 200_000_000
"""Of one network: with gradients and moments they take 3 GB."""
_VERSION = b"1"
"""Of what a cell means: another one is trained anew."""


def main() -> None:
    """Read, plan, run, fit; ``EverfreshError`` where file, sizes or settings are wrong."""
    options = _options()
    settings = load_settings()
    torch.set_num_threads(settings.trainer.threads)
    prepare_device(settings.trainer.device)
    seeds = [options.seed + more for more in range(options.seeds)]
    sizes = [size.strip() for size in options.sizes.split(",")]
    base = {size: sized(settings, size, options.seed, options.passes) for size in sizes}
    _require_enough(base, sizes)
    grid = lay_grid(_events(options, settings), options.window, options.prefixes, settings)
    kept = KeptCells(options.folder, _digest(grid, base[sizes[0]]))
    run_grid(options, grid, base, seeds, kept, _write)


def run_grid(
    options: argparse.Namespace,
    grid: Grid,
    sizes: dict[str, Settings],
    seeds: Sequence[int],
    kept: KeptCells,
    write: Callable[[ScalingLine], None],
) -> None:
    """Say what it costs, run what is missing, smallest first, and say what it comes to."""
    keys = list(itertools.product(grid.prefixes, sizes, seeds))
    missing = [key for key in keys if kept.find(key[1], key[0], key[2]) is None]
    plan = _plan(options, grid, sizes, seeds, missing, kept)
    write(plan)
    if options.plan:
        return
    cells = []
    for events, size, seed in keys:
        cell = kept.find(size, events, seed)
        if cell is None:
            tuning = sizes[size].trainer.model_copy(update={"seed": seed})
            own = sizes[size].model_copy(update={"trainer": tuning})
            cell = train_cell(grid, size, events, own, write)
            kept.keep(cell)
        write(cell)
        cells.append(cell)
    entropies = {
        events: sequence_entropy(window.examples) for events, window in grid.prefixes.items()
    }
    write(findings(plan, cells, entropies, options.budget, options.seed))


def _plan(
    options: argparse.Namespace,
    grid: Grid,
    sizes: dict[str, Settings],
    seeds: Sequence[int],
    missing: Sequence[tuple[int, str, int]],
    kept: KeptCells,
) -> GridPlan:
    per_token = {
        size: seconds_per_token(grid, sizes[size]) for size in {size for _, size, _ in missing}
    }
    tokens = [
        options.passes * tokens_of(grid.prefixes[events], sizes[size].model.max_length)
        for events, size, _ in missing
    ]
    took = sum(
        number * per_token[size] for number, (_, size, _) in zip(tokens, missing, strict=True)
    )
    return GridPlan(
        list(sizes),
        list(grid.prefixes),
        list(seeds),
        options.passes,
        len(grid.wanted),
        grid.targets,
        len(grid.catalogue),
        len(sizes) * len(grid.prefixes) * len(seeds) - len(missing),
        sum(tokens),
        took,
        str(kept.folder),
    )


def _require_enough(base: dict[str, Settings], sizes: Sequence[str]) -> None:
    if len(base) < LEAST_SIZES or len(base) < len(sizes):
        raise SettingsError(
            f"{LEAST_SIZES} different sizes or more are needed to tell a law from chance, and "
            f"{len(base)} were found in {','.join(sizes)}: name more, such as 16x1,32x2,64x2,128x4"
        )
    weights = {size: block_weights(settings) for size, settings in base.items()}
    largest = max(weights, key=lambda size: weights[size])
    if weights[largest] > MOST_WEIGHTS:
        raise SettingsError(
            f"size {largest} has {weights[largest]:,} weights in its blocks, and at most "
            f"{MOST_WEIGHTS:,} are trained here: name smaller ones"
        )
    if len(set(weights.values())) < len(base):
        raise SettingsError(
            f"two of the sizes {','.join(sizes)} have equally many weights: name others"
        )


def _events(options: argparse.Namespace, settings: Settings) -> list[Event]:
    reading = decode_reading(options.reading)
    check = event_check(settings.events)
    opened = open_events(options.file, reading, check, lambda rows: _write_rows(RowsRead(rows)))
    _write_rows(RowsRead(opened.counts.rows, opened.counts.rejects.count))
    number = min(len(opened.events), options.limit) if options.limit else len(opened.events)
    return list(itertools.islice(opened.events, number))


def _digest(grid: Grid, settings: Settings) -> str:
    """Of all that a cell follows from, but for its size, its seed and its prefix."""
    model = settings.model.model_copy(update={"dim": 0, "blocks": 0})
    tuning = settings.trainer.model_copy(update={"seed": 0})
    told = (model.model_dump_json(), tuning.model_dump_json())
    return digest_of(_VERSION, grid.digest, *(text.encode() for text in told))


def _write(line: ScalingLine) -> None:
    sys.stdout.buffer.write(encode_scaling(line))
    sys.stdout.buffer.flush()


def _write_rows(line: RowsRead) -> None:
    sys.stdout.buffer.write(encode_line(line))
    sys.stdout.buffer.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m everfresh.evaluation.scaling")
    parser.add_argument("file", type=Path)
    parser.add_argument("--reading", default=encode_reading(Reading()), help="how to read it")
    parser.add_argument("--sizes", required=True, help="WIDTHxBLOCKS, with commas between")
    parser.add_argument("--prefixes", type=int, default=LEAST_PREFIXES)
    parser.add_argument("--seeds", type=int, default=LEAST_SEEDS, help="how many")
    parser.add_argument("--seed", type=int, default=17, help="the first")
    parser.add_argument("--passes", type=int, default=4)
    parser.add_argument("--window", type=float, default=0.1, help="share of the later window")
    parser.add_argument("--limit", type=int, default=0, help="only the first events")
    parser.add_argument("--budget", type=float, default=0.0, help="processor seconds; 0 is any")
    parser.add_argument("--folder", type=Path, required=True, help="where finished cells are kept")
    parser.add_argument("--plan", action="store_true", help="only say what it would cost")
    return parser.parse_args()


if __name__ == "__main__":
    run_main(main)
