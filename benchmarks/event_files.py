"""How fast is a file of events read, and how much memory does that take as the file grows?

    python -m benchmarks.event_files [--quick] [--json FILE]

Good: many events per second; memory that does not grow with the file.

Files of 1 and of 10 million events (100,000 and 1 million with --quick) are made in a temporary
folder: Parquet, and CSV of the same events; also Parquet whose events are in no order. Each is read
by a process of its own, as `everfresh replay` does before it sends: parsed, checked, sorted through
a scratch file. Then its events are read in order, with their ids. Figures are per processor second,
so that other work on the machine shows less.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from benchmarks.harness.options import option_parser
from benchmarks.harness.processes import ROOT
from benchmarks.harness.report import show_table, write_figures
from everfresh.adapters.files.checks import event_check
from everfresh.adapters.files.opening import open_events
from everfresh.adapters.files.tables.mapping import Reading
from everfresh.contracts.settings import EventSettings

SIZES, QUICK = (1_000_000, 10_000_000), (100_000, 1_000_000)
KINDS = ("csv", "parquet", "shuffled")
_CHUNK = 500_000


class Cost(msgspec.Struct, frozen=True):
    """What one file took: processor seconds, elapsed seconds, MiB at the most."""

    cpu_s: float
    again_cpu_s: float
    elapsed_s: float
    peak_mib: float


def write_file(path: Path, kind: str, events: int) -> None:
    """Events of a twentieth as many users, and 100,000 items, 30 ms apart."""
    random = np.random.default_rng(3)
    writer: pa.csv.CSVWriter | pa.parquet.ParquetWriter | None = None
    for begin in range(0, events, _CHUNK):
        number = min(_CHUNK, events - begin)
        places = np.arange(begin, begin + number)
        if kind == "shuffled":
            places = random.integers(0, events, number)
        table = pa.table(
            {
                "user_id": random.integers(0, events // 20, number),
                "item_id": [f"B{item:08d}" for item in random.zipf(1.2, number) % 100_000],
                "type": random.choice(["view", "click", "purchase"], number).tolist(),
                "time": 1_700_000_000_000 + places * 30,
            }
        )
        if writer is None:
            make = pa.csv.CSVWriter if kind == "csv" else pa.parquet.ParquetWriter
            writer = make(str(path), table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def read_file(path: Path) -> Cost:
    """Read in this process, which has read nothing else."""
    began, cpu = time.monotonic(), time.process_time()
    reading = Reading(scratch=str(path.parent))
    opened = open_events(path, reading, event_check(EventSettings()))
    read_s = time.process_time() - cpu
    number = sum(1 for _ in opened.events)
    assert number == len(opened.events), "every event is read"
    again_s = time.process_time() - cpu - read_s
    return Cost(read_s, again_s, time.monotonic() - began, _peak_mib())


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def measure(sizes: Sequence[int]) -> dict[tuple[str, int], Cost]:
    """Every kind and size, each in a process of its own."""
    costs = {}
    for events in sizes:
        for kind in KINDS:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"events.{'csv' if kind == 'csv' else 'parquet'}"
                write_file(path, kind, events)
                command = [sys.executable, "-m", "benchmarks.event_files", "--read", str(path)]
                done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
                costs[kind, events] = msgspec.json.decode(done.stdout, type=Cost)
    return costs


def show(costs: Mapping[tuple[str, int], Cost]) -> None:
    """One row for each file."""
    show_table(
        "Reading a file of events",
        ("file", "events", "read per CPU s ↑", "in order per CPU s ↑", "seconds", "peak MiB ↓"),
        [
            (
                kind,
                f"{events:,}",
                f"{events / cost.cpu_s:,.0f}",
                f"{events / cost.again_cpu_s:,.0f}",
                f"{cost.elapsed_s:.1f}",
                f"{cost.peak_mib:.0f}",
            )
            for (kind, events), cost in costs.items()
        ],
        good="many events per CPU second; a peak that the size of the file does not change",
    )


def figures(costs: Mapping[tuple[str, int], Cost]) -> dict[str, float]:
    """By kind and events."""
    flat = {}
    for (kind, events), cost in costs.items():
        flat[f"{kind}_read_per_cpu_s_{events}"] = round(events / cost.cpu_s)
        flat[f"{kind}_in_order_per_cpu_s_{events}"] = round(events / cost.again_cpu_s)
        flat[f"{kind}_peak_mib_{events}"] = round(cost.peak_mib)
    return flat


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = option_parser("event_files", __doc__, repeats=1)
    parser.add_argument("--read", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    options = _options(argv)
    if options.read:
        sys.stdout.buffer.write(msgspec.json.encode(read_file(options.read)))
        return
    began = time.monotonic()
    costs = measure(QUICK if options.quick else SIZES)
    show(costs)
    write_figures(figures(costs), began, options.json)


if __name__ == "__main__":
    main()
