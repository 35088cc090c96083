"""Stateful stream throughput: this worker beside Quix Streams, a Faust table and a bare fetch.

One job for all, on one embedded Kafka and one topic, in one run: JSON events of 20,000 users (Zipf)
in 4 partitions; the last 200 events of each user kept durably. Ours runs as users run it, with
validation, windows and dead letters on. CPU seconds, memory and disk are those of the system's
whole process tree from its first progress on, for 30 s or until the topic is worked off. Then each
system takes half of the events per second that it reached, and probes among them tell how old an
event is when it can be read (see ``benchmarks.stream.freshness``). Two workers share the partitions
in one more run.

Peers run in ``.venv-peers``, which is made from ``benchmarks/peers/requirements.txt`` if missing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from benchmarks._harness import finish, median, parse_options, show
from benchmarks.stream.freshness import half_load
from benchmarks.stream.measure import Run
from benchmarks.stream.processes import ROOT, peers_python
from benchmarks.stream.report import COLUMNS, TWO, Round, draw, figures, markdown, rows
from benchmarks.stream.systems import OURS, PARTITIONS, PEER_MODULES, Place, run_ours, run_peer
from everfresh.adapters.kafka.topics import end_offsets, ensure_topics
from everfresh.contracts.settings import load_settings
from everfresh.infra.broker.broker import EmbeddedBroker

USERS = 20_000
PICTURE = ROOT / "docs" / "stream_state.png"


class Size(msgspec.Struct, frozen=True):
    """How much to do: events in the topic, or as many as are written in ``fill_s``; then seconds
    at full load and at half load.
    """

    events: int
    fill_s: float
    seconds: float
    half_seconds: float


QUICK, FULL = Size(1_000_000, 15.0, 6.0, 5.0), Size(10_000_000, 75.0, 30.0, 20.0)


def one_round(work: Path, size: Size, number: int) -> Round:
    """Every system once, on a broker of the round's own; the order moves on with the rounds."""
    found = Round(runs={}, ages={})
    with EmbeddedBroker(work / "kafka", heap_mb=512) as broker:

        def place(name: str, prefix: str) -> Place:
            folder = work / (prefix + name)
            folder.mkdir()
            return Place(broker.bootstrap_servers, work / "kafka", prefix, folder)

        _make_topics(broker.bootstrap_servers, "full.")
        events = _fill(broker.bootstrap_servers, "full.events", size)
        work_off: dict[str, Callable[[Place, int, float], Run]] = {
            OURS: run_ours,
            **{name: partial(run_peer, name) for name in PEER_MODULES},
            TWO: partial(run_ours, workers=2),
        }
        order = list(work_off)
        for name in order[number % len(order) :] + order[: number % len(order)]:
            found.runs[name] = work_off[name](place(name, "full."), events, size.seconds)
            _say(name, found.runs[name])
        for name in (OURS, "quix", "faust_table"):
            _make_topics(broker.bootstrap_servers, f"{name}.")
            full = found.runs[name].events_per_s
            found.ages[name] = half_load(
                name, place(name, f"{name}."), full, USERS, size.half_seconds
            )
            _say(f"{name}, half load", found.ages[name])
    return found


def _make_topics(bootstrap: str, prefix: str) -> None:
    kafka = {"bootstrap_servers": bootstrap, "topic_prefix": prefix, "partitions": PARTITIONS}
    ensure_topics(bootstrap, load_settings({"kafka": kafka}))


def _fill(bootstrap: str, topic: str, size: Size) -> int:
    """Write events as fast as can be; returns how many there are."""
    command = [peers_python(), "-m", "benchmarks.peers.produce", bootstrap, topic]
    limits = [str(size.events), str(USERS), "0", str(size.fill_s)]
    subprocess.run([*command, *limits], cwd=ROOT, check=True)
    events = sum(end_offsets(bootstrap, topic).values())
    print(f"{events:,} events written", file=sys.stderr, flush=True)
    return events


def _say(name: str, found: msgspec.Struct) -> None:
    words = {key: round(value, 2) for key, value in msgspec.to_builtins(found).items()}
    print(name, words, file=sys.stderr, flush=True)


def main() -> None:
    """Run, print the tables, write picture and JSON."""
    options = parse_options(__doc__ or "")
    began = time.monotonic()
    size = QUICK if options.quick else FULL
    rounds = []
    for number in range(1 if options.quick else options.repeats):
        with tempfile.TemporaryDirectory(prefix="everfresh-bench-") as folder:
            rounds.append(one_round(Path(folder), size, number))
    show("Stateful fold, medians", COLUMNS, rows(rounds))
    print(markdown(rounds))
    if not options.quick:
        draw(rounds, PICTURE)
    measured = median(one.runs[OURS].seconds for one in rounds)
    finish({**figures(rounds), "measured_s": round(measured, 1)}, began, options.json)


if __name__ == "__main__":
    main()
