"""One round of ``stream_state``: every system once, on a broker of the round's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.harness.processes import ROOT
from benchmarks.peers.environment import peers_python
from benchmarks.stream_state.half_load import half_load
from benchmarks.stream_state.report import TWO, Round
from benchmarks.stream_state.systems import (
    OURS,
    PARTITIONS,
    PEERS,
    Place,
    run_ours,
    run_peer,
)
from benchmarks.stream_state.throughput import Run
from everfresh.adapters.kafka.topics import end_offsets, ensure_topics
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.settings import load_settings
from everfresh.infra.broker.broker import EmbeddedBroker

USERS = 20_000
AGED = (OURS, "quix", "faust_table", "kafka_streams_alo_cached", "kafka_streams_eos_cached")
"""Systems whose events' ages are measured."""


class Size(msgspec.Struct, frozen=True):
    """How much to do: events in the topic, or as many as are written in ``fill_s``; then seconds
    at full load and at half load.
    """

    events: int
    fill_s: float
    seconds: float
    half_seconds: float


QUICK, FULL = Size(1_000_000, 15.0, 6.0, 5.0), Size(10_000_000, 75.0, 30.0, 20.0)


def measure(work: Path, size: Size, number: int) -> Round:
    """Every system once, on a broker of the round's own; the order moves on with the rounds."""
    measured = Round(runs={}, ages={})
    with EmbeddedBroker(work / "kafka", heap_mb=512) as broker:

        def place(name: str, prefix: str) -> Place:
            folder = work / (prefix + name)
            folder.mkdir()
            return Place(broker.bootstrap_servers, broker.pid, work / "kafka", prefix, folder)

        _make_topics(broker.bootstrap_servers, "full.")
        events = _fill(broker.bootstrap_servers, "full.events", size)
        work_off: dict[str, Callable[[Place, int, float], Run]] = {
            OURS: run_ours,
            **{name: partial(run_peer, name) for name in PEERS},
            TWO: partial(run_ours, workers=2),
        }
        order = list(work_off)
        for name in order[number % len(order) :] + order[: number % len(order)]:
            measured.runs[name] = work_off[name](place(name, "full."), events, size.seconds)
            _print_progress(name, measured.runs[name])
        for name in AGED:
            _make_topics(broker.bootstrap_servers, f"{name}.")
            full = measured.runs[name].events_per_s
            measured.ages[name] = half_load(
                name, place(name, f"{name}."), full, USERS, size.half_seconds
            )
            _print_progress(f"{name}, half load", measured.ages[name])
    return measured


def _make_topics(bootstrap: str, prefix: str) -> None:
    kafka = {"bootstrap_servers": bootstrap, "topic_prefix": prefix, "partitions": PARTITIONS}
    ensure_topics(Brokers(bootstrap), load_settings({"kafka": kafka}))


def _fill(bootstrap: str, topic: str, size: Size) -> int:
    """Write events as fast as can be; returns how many there are."""
    command = [peers_python(), "-m", "benchmarks.peers.produce", bootstrap, topic]
    limits = [str(size.events), str(USERS), "0", str(size.fill_s)]
    subprocess.run([*command, *limits], cwd=ROOT, check=True)
    events = sum(end_offsets(Brokers(bootstrap), topic).values())
    print(f"{events:,} events written", file=sys.stderr, flush=True)
    return events


def _print_progress(name: str, result: msgspec.Struct) -> None:
    values = {key: round(value, 2) for key, value in msgspec.to_builtins(result).items()}
    print(name, values, file=sys.stderr, flush=True)
