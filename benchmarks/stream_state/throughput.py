"""Watches a system work through a topic and says what it took."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil

from benchmarks.harness.processes import usage

_START_S = 120.0


class Run(msgspec.Struct, frozen=True):
    """One system, measured once. ``disk_bytes`` and ``kafka_bytes`` are per event.

    ``broker_cpu_s_per_million`` is what Kafka took meanwhile, which ``cpu_s_per_million`` is not.
    """

    events_per_s: float
    cpu_s_per_million: float
    broker_cpu_s_per_million: float
    peak_mib: float
    disk_bytes: float
    kafka_bytes: float
    seconds: float

    @property
    def whole_cpu_s_per_million(self) -> float:
        """The system and the broker together."""
        return self.cpu_s_per_million + self.broker_cpu_s_per_million


class BrokerLog(msgspec.Struct, frozen=True):
    """The broker's process, and the folder of its log."""

    pid: int
    folder: Path


class NoProgress(RuntimeError):
    """A system ended, or did nothing for minutes."""


def wait_for(done: Callable[[], bool], alive: Callable[[], bool], what: str) -> None:
    """Until ``done``; :class:`NoProgress` where the system ended or takes too long."""
    deadline = time.monotonic() + _START_S
    while not done():
        if not alive() or time.monotonic() > deadline:
            raise NoProgress(f"{what}: nothing to be seen; read its err.log")
        time.sleep(0.02)


def measure_throughput(
    pids: list[int], count: Callable[[], int], log: BrokerLog, events: int, seconds: float
) -> Run:
    """From the present until ``seconds`` have gone, or until all ``events`` are done."""
    roots, broker = [psutil.Process(pid) for pid in pids], [psutil.Process(log.pid)]
    first, began, sent = count(), time.monotonic(), log_bytes(log.folder)
    before, served = usage(roots), usage(broker)
    done, ended, peak = first, began, 0
    while done < events and ended - began < seconds:
        time.sleep(0.1)
        done, ended, now = count(), time.monotonic(), usage(roots)
        peak = max(peak, now.resident)
    number = done - first
    if not number:
        raise NoProgress(f"no progress in {seconds} s; read its err.log")
    after = usage(roots)
    return Run(
        number / (ended - began),
        (after.cpu_s - before.cpu_s) / number * 1e6,
        (usage(broker).cpu_s - served.cpu_s) / number * 1e6,
        peak / 2**20,
        (after.written - before.written) / number,
        (log_bytes(log.folder) - sent) / number,
        ended - began,
    )


def log_bytes(kafka: Path) -> int:
    """Bytes of records in the broker's topics.

    Segment files alone: index files are laid out ahead of their use, and the metadata log goes on
    by itself.
    """
    total = 0
    for segment in kafka.rglob("*.log"):
        name, _, number = segment.parent.name.rpartition("-")
        if number.isdecimal() and name != "__cluster_metadata":
            try:
                total += segment.stat().st_size
            except OSError:  # rolled or removed at this moment
                continue
    return total
