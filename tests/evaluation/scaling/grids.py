"""Made-up grids of cells: losses by a law that is known, with noise by seed."""

from __future__ import annotations

import random
from collections.abc import Callable

from everfresh.evaluation.scaling.lines import Cell, GridPlan, Reading

SIZES = {"16x1": 1_500, "32x2": 12_000, "64x2": 45_000, "96x3": 150_000, "128x4": 350_000}
PREFIXES = [10_000, 20_000, 40_000, 80_000, 160_000]
SEEDS = [1, 2]

Loss = Callable[[float, float], float]
"""Of weights and events."""


def made_up(loss: Loss, noise: float, sizes: int = 5, prefixes: int = 5) -> list[Cell]:
    """A cell for each size, prefix and seed; the second of three passes is the best."""
    rng = random.Random(5)
    cells = []
    for size, weights in list(SIZES.items())[:sizes]:
        dim, blocks = (int(part) for part in size.split("x"))
        for events in PREFIXES[:prefixes]:
            for seed in SEEDS:
                value = loss(weights, events) * (1 + rng.gauss(0, noise))
                readings = [
                    Reading(value + worse, value + worse, weights * events * done / 1e9, done)
                    for done, worse in ((1, 0.5), (2, 0.0), (3, 0.2))
                ]
                rows = 1000 * (dim + 1)
                cells.append(Cell(size, dim, blocks, events, seed, weights, rows, 11.0, readings))
    return cells


def plan_of(cells: list[Cell]) -> GridPlan:
    """The plan that these are all cells of."""
    sizes, prefixes = dict.fromkeys(c.size for c in cells), dict.fromkeys(c.events for c in cells)
    return GridPlan(list(sizes), list(prefixes), SEEDS, 3, 900, 800, 500, 0, 0, 0.0, "cells")


def entropies(cells: list[Cell]) -> dict[int, float]:
    """Some for each prefix."""
    return {cell.events: 5.0 + cell.events / 1e6 for cell in cells}
