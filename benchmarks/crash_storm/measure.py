"""All rounds of a crash storm, on one broker."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.crash_storm.cluster import Broker
from benchmarks.crash_storm.epoch import Epoch
from benchmarks.crash_storm.findings import Findings
from benchmarks.crash_storm.load import ACTIONS, MAX_BYTES
from benchmarks.crash_storm.training import SMALL
from everfresh.adapters.machine.tcp_ports import free_ports
from everfresh.contracts.settings import Settings, load_settings
from everfresh.infra.broker.broker import EmbeddedBroker

EPOCH_ROUNDS = 25
"""Rounds on the same topics and states; then fresh ones, so that a round stays short."""
_SHOWN = 12
"""Messages that are printed of a round at most."""


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


def measure(
    rounds: int, seed: int, folder: Path, *, lanes: int = 1, trains: bool = False
) -> Findings:
    """All rounds on one broker, ``lanes`` at a time. Stops where something is wrong."""
    findings = Findings(messages=[])
    port = free_ports(1, "127.0.0.1")[0]
    with EmbeddedBroker(folder / "kafka", heap_mb=256, port=port) as embedded:
        broker, number = Broker(embedded), 0
        while findings.rounds < rounds and findings.clean:
            epochs = []
            for lane in range(lanes):
                home = folder / f"epoch-{number}-{lane}"
                prefix = f"e{number}-{lane}."
                settings = storm_settings(embedded.bootstrap_servers, prefix, home)
                epochs.append(Epoch(broker, settings, seed + number * lanes + lane, trains))
            try:
                _run_epoch(epochs, broker, findings.rounds, rounds)
            finally:
                for epoch in epochs:
                    epoch.close()
                    findings.add(epoch.findings)
            number += 1
    return findings


def _run_epoch(epochs: list[Epoch], broker: Broker, done: int, rounds: int) -> None:
    """Rounds in all lanes at once: all storms, then the broker back, then all comparisons."""
    with ThreadPoolExecutor(len(epochs)) as pool:
        for _ in range(EPOCH_ROUNDS):
            struck = list(pool.map(Epoch.storm, epochs))
            broker.join()
            spent = list(pool.map(Epoch.settle, epochs))
            for epoch, faults, seconds in zip(epochs, struck, spent, strict=True):
                done += 1
                print(f"round {done}/{rounds}  {seconds}  {faults}", file=sys.stderr, flush=True)
                for message in epoch.findings.messages[:_SHOWN]:
                    print(f"  WRONG {message}", file=sys.stderr, flush=True)
            if done >= rounds or not all(epoch.findings.clean for epoch in epochs):
                return
