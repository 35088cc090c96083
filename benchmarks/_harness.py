"""What every benchmark shares: its options, its machine, its table and its JSON object."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

LIBRARIES = ("torch", "ray", "faust-streaming", "aiokafka", "kafka-python", "rocksdict", "msgspec")


def parse_options(about: str, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """``--quick``, ``--json FILE``, ``--data PATH``, ``--repeats N`` as all take them."""
    parser = argparse.ArgumentParser(description=about)
    add_options(parser)
    return parser.parse_args(argv)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that all benchmarks share."""
    parser.add_argument("--quick", action="store_true", help="a short run, figures are rough")
    parser.add_argument("--json", type=Path, help="write the flat JSON object there")
    parser.add_argument("--data", type=Path, help="event file, in its publisher's format")
    parser.add_argument("--repeats", type=int, default=3, help="runs; medians are reported")


def machine() -> str:
    """Processor, cores and memory in one line."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}"


def versions() -> str:
    """The libraries that the figures depend on."""
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def median(values: Iterable[float]) -> float:
    """The median; of ratios as well as of times."""
    return statistics.median(values)


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on standard output."""
    table = Table(title=title)
    for at, column in enumerate(columns):
        table.add_column(column, justify="left" if at == 0 else "right")
    for row in rows:
        table.add_row(*[f"{cell:,.2f}" if isinstance(cell, float) else str(cell) for cell in row])
    Console().print(table)


def finish(figures: Mapping[str, Any], began: float, target: Path | None) -> None:
    """Print the flat JSON object, with machine, versions and seconds, and write it if asked to.

    ``began`` is the ``time.monotonic()`` of the start.
    """
    whole = {
        **figures,
        "machine": machine(),
        "versions": versions(),
        "seconds": round(time.monotonic() - began, 1),
    }
    text = json.dumps(whole, indent=2)
    print(text)
    if target:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text + "\n")
