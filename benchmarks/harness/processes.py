"""Child processes of a benchmark, which end with it, and what process trees have used."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil

from everfresh.adapters.machine.child_process import ChildProcess

ROOT = Path(__file__).resolve().parents[2]
"""The repository, in which ``python -m benchmarks.…`` is run."""
_GRACE_S = 15.0


@contextlib.contextmanager
def child(command: list[str], env: dict[str, str], log: Path) -> Iterator[ChildProcess]:
    """A process that ends with the block, and with the benchmark where that is killed."""
    with log.open("ab") as errors:
        process = ChildProcess(
            command,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **env},
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    try:
        yield process
    finally:
        process.stop(_GRACE_S)


class Usage(msgspec.Struct, frozen=True):
    """What process trees have used so far: CPU seconds, bytes sent to disk, resident bytes."""

    cpu_s: float
    written: int
    resident: int


def usage(roots: list[psutil.Process]) -> Usage:
    """The sum over ``roots`` and all their children that live."""
    cpu, written, resident = 0.0, 0, 0
    for root in roots:
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                cpu += times.user + times.system
                written += process.io_counters().write_bytes
                resident += process.memory_info().rss
    return Usage(cpu, written, resident)
