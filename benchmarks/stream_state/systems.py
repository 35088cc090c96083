"""The systems that are compared, each started on one broker's topic as its users start it."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil

from benchmarks.harness.processes import child
from benchmarks.peers.environment import peers_python
from benchmarks.peers.kafka_streams.build import streams_command
from benchmarks.stream_state.throughput import (
    BrokerLog,
    Run,
    measure_throughput,
    wait_for,
)
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.adapters.state.reader import RocksHistoryReader

OURS = "everfresh"
PEER_MODULES = {"quix": "quix_worker", "faust_table": "faust_worker", "fetch": "fetch"}
STREAMS = {
    "kafka_streams_alo_cached": ("at_least_once", 10 << 20),
    "kafka_streams_alo": ("at_least_once", 0),
    "kafka_streams_eos_cached": ("exactly_once_v2", 10 << 20),
    "kafka_streams_eos": ("exactly_once_v2", 0),
}
"""Cells of Kafka Streams: its guarantee, and bytes of its cache (10 MiB is the default)."""
PEERS = (*PEER_MODULES, *STREAMS)
HISTORY = 200
PARTITIONS = 4
_CATCH_UP_MS = 200
_SESSION_S = 11.0  # a worker that left is forgotten by its group after 10
_WARM_S = 5.0  # before a JVM is measured: it compiles first


class Place(msgspec.Struct, frozen=True):
    """Where to work: a broker, its pid and folder, the prefix of the topics, a folder for state."""

    bootstrap: str
    broker_pid: int
    kafka: Path
    prefix: str
    work: Path

    @property
    def topic(self) -> str:
        """The events topic."""
        return f"{self.prefix}events"

    @property
    def log(self) -> BrokerLog:
        """The broker as it is measured."""
        return BrokerLog(self.broker_pid, self.kafka)


class PeerProgress:
    """The newest object that a peer has printed; its ``events`` count, its probes' ages."""

    def __init__(self, process: ChildProcess) -> None:
        self.events = 0
        self.ages_ms: list[float] = []
        self._process = process
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._process.output():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                printed: dict[str, Any] = json.loads(line)
                self.events = printed["events"]
                self.ages_ms += printed["ages_ms"]


def run_ours(place: Place, events: int, seconds: float, workers: int = 1) -> Run:
    """The worker as `everfresh up` starts it, or two of them on half the partitions each."""
    with contextlib.ExitStack() as stack:
        reader = RocksHistoryReader(place.work / "state", place.topic, HISTORY, _CATCH_UP_MS)
        stack.callback(reader.close)
        started = [stack.enter_context(_worker(place, index)) for index in range(workers)]

        def applied() -> int:
            metas = [reader.partition_meta(partition) for partition in reader.partitions()]
            return sum(meta.applied for meta in metas if meta)

        def ready() -> bool:
            shares = [_partitions_open(worker.pid, place) for worker in started]
            return applied() > 0 and shares == [PARTITIONS // workers] * workers

        def alive() -> bool:
            return all(worker.poll() is None for worker in started)

        wait_for(ready, alive, OURS)
        pids = [worker.pid for worker in started]
        run = measure_throughput(pids, applied, place.log, events, seconds)
    time.sleep(_SESSION_S)
    return run


def run_peer(name: str, place: Place, events: int, seconds: float) -> Run:
    """A peer from ``benchmarks.peers``."""
    with peer(name, place) as (pid, progress, alive):
        wait_for(lambda: progress.events > 0, alive, name)
        if name in STREAMS:
            time.sleep(_WARM_S)
        return measure_throughput([pid], lambda: progress.events, place.log, events, seconds)


@contextlib.contextmanager
def peer(name: str, place: Place) -> Iterator[tuple[int, PeerProgress, Callable[[], bool]]]:
    """A peer at work: its process, its progress, and whether it lives."""
    where = [place.bootstrap, place.topic, str(place.work / "state")]
    if name in STREAMS:
        command = [*streams_command(), *where, *map(str, STREAMS[name])]
    else:
        command = [peers_python(), "-m", f"benchmarks.peers.{PEER_MODULES[name]}", *where]
    with child(command, {}, place.work / "err.log") as process:
        yield process.pid, PeerProgress(process), lambda: process.poll() is None


@contextlib.contextmanager
def ours(place: Place) -> Iterator[tuple[RocksHistoryReader, Callable[[], bool]]]:
    """Our worker at work beside a reader as replicas use it: the reader, and whether it lives."""
    with _worker(place, 0) as process:
        reader = RocksHistoryReader(place.work / "state", place.topic, HISTORY)
        try:
            yield reader, lambda: process.poll() is None
        finally:
            reader.close()


def _worker(place: Place, index: int) -> contextlib.AbstractContextManager[ChildProcess]:
    env = {
        "EVERFRESH_KAFKA__BOOTSTRAP_SERVERS": place.bootstrap,
        "EVERFRESH_KAFKA__TOPIC_PREFIX": place.prefix,
        "EVERFRESH_HOME": str(place.work),
    }
    command = [sys.executable, "-m", "everfresh.streaming", "--index", str(index)]
    return child(command, env, place.work / "err.log")


def _partitions_open(pid: int, place: Place) -> int:
    """How many partitions' state directories the process holds."""
    prefix = str((place.work / "state").resolve() / place.topic)
    with contextlib.suppress(psutil.Error):
        paths = [Path(file.path) for file in psutil.Process(pid).open_files()]
        return len({path.parent for path in paths if str(path).startswith(prefix)})
    return 0
