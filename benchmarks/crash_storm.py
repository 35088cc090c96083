"""Kills broker and workers under load, round after round, and compares all with the log.

Real Kafka, real workers: two machines (homes) with two and one slots, one to three workers in one
group. Each round strikes one to three times while events come in: kill -9 of a worker or of the
broker, a worker added or taken away, a worker frozen beyond its session, a machine lost with its
state (snapshots, taken every 8 s, lie elsewhere). Then the log is drained, and a plain reading of
it (``benchmarks.storm.plain``, JSON and dicts, nothing of ``streaming``) says what every user's
state, every slice and every dead letter must be.

With ``--lanes`` several such groups, each with topics, homes and load of its own, run on the one
broker at once; killing it strikes all of them.

With ``--trainer`` a trainer reads the windows and is killed too; in the end another one, left in
peace, trains on the same topic, and ``versions_differ`` counts versions whose files are not the
same to the byte. Neither runs in Ray here: what is killed is the process that trains.

``lost`` and ``duplicated`` count events in the states, ``windows_wrong`` whatever breaks the
tiling, ``late`` records whose label had been closed before they could be read. A round passes with
zeros; ``late`` may be more on a machine that stalls.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks._harness import finish, show
from benchmarks.storm.cluster import Broker
from benchmarks.storm.epoch import Epoch, Findings
from benchmarks.storm.load import ACTIONS, MAX_BYTES
from benchmarks.storm.training import SMALL
from everfresh.adapters.machine.tcp_ports import free_ports
from everfresh.contracts.settings import Settings, load_settings
from everfresh.infra.broker.broker import EmbeddedBroker

_SHOWN = 12
EPOCH_ROUNDS = 25
"""Rounds on the same topics and states; then fresh ones, so that a round stays short."""


def storm_settings(servers: str, prefix: str, home: Path) -> Settings:
    """Small windows, parts and examples, so that a round has many of each."""
    return load_settings(
        {
            "home": home,
            "kafka": {
                "bootstrap_servers": servers,
                "topic_prefix": prefix,
                "partitions": 3,
                "session_ms": 3000,
            },
            "events": {"actions": ACTIONS, "max_bytes": MAX_BYTES, "remember_ids": 200},
            "windows": {
                "seconds": 1.0,
                "grace_ms": 200,
                "max_targets": 16,
                "stretch_events": 60,
                "part_bytes": 2048,
            },
            "state": {
                "history_length": 12,
                "block_cache_mb": 8,
                "write_buffer_mb": 4,
                "outbox_mb": 1,
                "snapshot_url": str(home / "snapshots"),
                "snapshot_every_s": 8.0,
            },
            **SMALL,
        }
    )


def storm(
    rounds: int, seed: int, folder: Path, *, lanes: int = 1, trains: bool = False
) -> Findings:
    """All rounds on one broker, ``lanes`` at a time. Stops where something is wrong."""
    found = Findings(words=[])
    port = free_ports(1, "127.0.0.1")[0]
    with EmbeddedBroker(folder / "kafka", heap_mb=256, port=port) as embedded:
        broker, number = Broker(embedded), 0
        while found.rounds < rounds and found.clean:
            epochs = []
            for lane in range(lanes):
                home = folder / f"epoch-{number}-{lane}"
                prefix = f"e{number}-{lane}."
                settings = storm_settings(embedded.bootstrap_servers, prefix, home)
                epochs.append(Epoch(broker, settings, seed + number * lanes + lane, trains))
            try:
                _epoch(epochs, broker, found.rounds, rounds)
            finally:
                for epoch in epochs:
                    epoch.close()
                    found.add(epoch.found)
            number += 1
    return found


def _epoch(epochs: list[Epoch], broker: Broker, done: int, rounds: int) -> None:
    """Rounds in all lanes at once: all storms, then the broker back, then all comparisons."""
    with ThreadPoolExecutor(len(epochs)) as pool:
        for _ in range(EPOCH_ROUNDS):
            struck = list(pool.map(Epoch.storm, epochs))
            broker.join()
            spent = list(pool.map(Epoch.settle, epochs))
            for epoch, what, seconds in zip(epochs, struck, spent, strict=True):
                done += 1
                print(f"round {done}/{rounds}  {seconds}  {what}", file=sys.stderr, flush=True)
                for words in epoch.found.words[:_SHOWN]:
                    print(f"  WRONG {words}", file=sys.stderr, flush=True)
            if done >= rounds or not all(epoch.found.clean for epoch in epochs):
                return


def report(found: Findings, began: float, target: Path | None) -> None:
    """Two tables, and the flat JSON object."""
    show("What struck", ("fault", "times"), sorted(found.faults.items()))
    figures = {
        name: getattr(found, name)
        for name in found.__struct_fields__
        if isinstance(getattr(found, name), int)
    }
    show("What was found", ("figure", "value"), figures.items())
    if found.exits:
        show("Workers that ended by themselves", ("last words", "times"), found.exits.items())
    finish({**figures, **{f"{n}s": k for n, k in found.faults.items()}}, began, target)


def main(argv: Sequence[str] | None = None) -> None:
    """Run, print, exit with 1 where anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crash_storm", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="three rounds")
    parser.add_argument(
        "--lanes", type=int, default=1, help="rounds at a time, each a group of workers of its own"
    )
    parser.add_argument("--trainer", action="store_true", help="a trainer is killed as well")
    parser.add_argument("--json", type=Path, help="write the flat JSON object there")
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it there")
    options = parser.parse_args(argv)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="everfresh-storm-") as temporary:
        folder = options.keep or Path(temporary)
        rounds = 3 if options.quick else options.rounds
        lanes, trains = options.lanes, options.trainer
        found = storm(rounds, options.seed, folder, lanes=lanes, trains=trains)
    report(found, began, options.json)
    sys.exit(0 if found.clean else 1)


if __name__ == "__main__":
    main()
