"""What every benchmark prints: tables, whose captions say what is good, and one JSON object."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.harness.machine import machine, versions

_FILE_WIDTH = 140
"""Characters of a table's line where no terminal says how wide it is."""


def median(values: Iterable[float]) -> float:
    """The median; of ratios as well as of times."""
    return statistics.median(values)


def show_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, good: str
) -> None:
    """A table on standard output, and below it ``good``: what is good.

    In the columns' heads ``↑`` means that more is better, ``↓`` that less is.
    """
    table = Table(title=title)
    for at, column in enumerate(columns):
        table.add_column(column, justify="left" if at == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*[f"{cell:,.2f}" if isinstance(cell, float) else str(cell) for cell in row])
    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH)
    console.print(table)
    console.print(f"Good: {good}\n", markup=False, highlight=False)


def figures_by_size(measured: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """Flat, as JSON has them: ``name_1000`` and so on."""
    return {
        f"{name}_{size}": round(value, 4)
        for size, values in measured.items()
        for name, value in values.items()
    }


def write_figures(figures: Mapping[str, Any], began: float, target: Path | None) -> None:
    """Print the flat JSON object, with machine, versions and seconds, and write it if asked to.

    ``began`` is the ``time.monotonic()`` of the start.
    """
    everything = {
        **figures,
        "machine": machine(),
        "versions": versions(),
        "seconds": round(time.monotonic() - began, 1),
    }
    text = json.dumps(everything, indent=2)
    print(text)
    if target:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text + "\n")
