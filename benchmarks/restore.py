"""How long is a stream worker away after a restart, or after losing its disk?

    python -m benchmarks.restore [--quick] [--json FILE] [--repeats N]

Good: few seconds until back; from a snapshot hardly more than with the disk.

One log of users with the same number of events each, in 4 partitions of an embedded Kafka. The
worker folds it once and takes snapshots, in a folder. Then it is started again and again, and each
time it is measured from the start of its process until it owns every partition and each is
readable up to the end of the log: with its state directory there, with that removed, and with the
snapshots removed too. What the last two take beyond the first is the restore.

Peers' environment (``.venv-peers``) is used for its fast producer.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.harness.options import parse_options
from benchmarks.harness.processes import ROOT, child
from benchmarks.harness.report import median, show_table, write_figures
from benchmarks.peers.environment import peers_python
from everfresh.adapters.kafka.topics import end_offsets, ensure_topics
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.adapters.state.reader import RocksHistoryReader
from everfresh.adapters.state.snapshots import SnapshotManifest, SnapshotStore
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.settings import Settings, load_settings
from everfresh.infra.broker.broker import EmbeddedBroker

TOPIC = "everfresh.events"
_LIMIT_S = 540.0
_LOOK_S = 0.02


class Took(NamedTuple):
    """Seconds by the clock, and those of the worker on a core, which other work disturbs less."""

    seconds: float
    cpu_s: float


class RestartedWorker:
    """A worker that is started again and again, over a filled log."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        servers = settings.kafka.bootstrap_servers
        self.ends = end_offsets(Brokers(servers), TOPIC)

    def until_back(self) -> Took:
        """What it takes from the start of a worker until all of the log is readable."""
        began = time.monotonic()
        with self._worker() as worker, self._reader() as applied:
            self._await(lambda: self._owned() == len(self.ends) and applied() == self.ends)
            cpu = psutil.Process(worker.pid).cpu_times()
            return Took(time.monotonic() - began, cpu.user + cpu.system)

    def take_snapshots(self) -> int:
        """Run a worker until each partition has a snapshot of the whole log; their bytes."""
        with self._worker(EVERFRESH_STATE__SNAPSHOT_EVERY_S="2"):
            self._await(lambda: self._snapshot_ends() == self.ends)
        return sum(snapshot.bytes for snapshot in self._newest().values())

    def lose(self, *, snapshots: bool) -> None:
        """Remove the state, and with ``snapshots`` them as well."""
        shutil.rmtree(self._settings.state_dir)
        if snapshots:
            shutil.rmtree(self._settings.snapshots_url)

    @contextlib.contextmanager
    def _worker(self, **more: str) -> Iterator[ChildProcess]:
        home = self._settings.home
        env = {
            "EVERFRESH_KAFKA__BOOTSTRAP_SERVERS": self._settings.kafka.bootstrap_servers,
            "EVERFRESH_HOME": str(home),
            "EVERFRESH_STATE__SNAPSHOT_EVERY_S": "0",
            **more,
        }
        with child([sys.executable, "-m", "everfresh.streaming"], env, home / "err.log") as worker:
            yield worker

    @contextlib.contextmanager
    def _reader(self) -> Iterator[Callable[[], dict[int, int]]]:
        reader = RocksHistoryReader(self._settings.state_dir, TOPIC, 200, catch_up_ms=20)

        def applied() -> dict[int, int]:
            metas = {number: reader.partition_meta(number) for number in reader.partitions()}
            return {number: meta.applied for number, meta in metas.items() if meta}

        try:
            yield applied
        finally:
            reader.close()

    def _owned(self) -> int:
        """Partitions that the worker says it owns; without this an old state would be read."""
        for target in self._settings.home.glob("run/metrics/worker-0-*.json"):
            with contextlib.suppress(OSError, ValueError):
                [group] = json.loads(target.read_text())
                url = f"http://{group['targets'][0]}/metrics"
                with urllib.request.urlopen(url, timeout=5) as answer:
                    for line in answer.read().decode().splitlines():
                        if line.startswith("everfresh_worker_partitions "):
                            return int(float(line.split()[1]))
        return 0

    def _newest(self) -> dict[int, SnapshotManifest]:
        newest = {}
        for number in self.ends:
            store = SnapshotStore(self._settings.snapshots_url, TOPIC, number)
            for name in store.names():
                if manifest := store.manifest(name):
                    newest[number] = manifest
                    break
        return newest

    def _snapshot_ends(self) -> dict[int, int]:
        return {number: newest.applied for number, newest in self._newest().items()}

    def _await(self, done: Callable[[], bool]) -> None:
        until = time.monotonic() + _LIMIT_S
        while not done():
            if time.monotonic() > until:
                raise RuntimeError(f"not back after {_LIMIT_S:.0f} s; see {self._settings.home}")
            time.sleep(_LOOK_S)


def measure(home: Path, users: int, each: int, repeats: int) -> tuple[dict[str, list[Took]], int]:
    """What it took until back, by where the state came from, and the bytes of the snapshots."""
    with EmbeddedBroker(home / "kafka", heap_mb=512) as broker:
        settings = load_settings(
            {"home": home, "kafka": {"bootstrap_servers": broker.bootstrap_servers}}
        )
        ensure_topics(Brokers(broker.bootstrap_servers), settings)
        fill = [peers_python(), "-m", "benchmarks.peers.produce", broker.bootstrap_servers, TOPIC]
        subprocess.run([*fill, str(users * each), str(users), "0", "even"], cwd=ROOT, check=True)
        worker = RestartedWorker(settings)
        worker.until_back()
        size = worker.take_snapshots()
        took: dict[str, list[Took]] = {"local": [], "snapshot": [], "log": []}
        for _ in range(repeats):
            took["local"].append(worker.until_back())
            worker.lose(snapshots=False)
            took["snapshot"].append(worker.until_back())
            print(took, file=sys.stderr)
        for _ in range(repeats):
            # Snapshots are lost with the first round; nothing takes new ones.
            worker.lose(snapshots=Path(settings.snapshots_url).exists())
            took["log"].append(worker.until_back())
            print(took, file=sys.stderr)
        return took, size


def medians(took: Mapping[str, Sequence[Took]]) -> dict[str, Took]:
    """By where the state came from."""
    return {
        name: Took(median(each.seconds for each in times), median(each.cpu_s for each in times))
        for name, times in took.items()
    }


def beyond_local(took: Mapping[str, Took], users: int) -> dict[str, Took]:
    """What each takes beyond a start with the disk there, for a million users."""
    millions = users / 1e6
    return {
        name: Took(
            max(0.0, each.seconds - took["local"].seconds) / millions,
            max(0.0, each.cpu_s - took["local"].cpu_s) / millions,
        )
        for name, each in took.items()
    }


def show(took: Mapping[str, Took], users: int, each: int, size: int) -> None:
    """A line for each place that the state came from."""
    beyond = beyond_local(took, users)
    show_table(
        f"Back with {users:,} users of {each} events each, {size / 2**20:,.0f} MiB of snapshots",
        (
            "state from",
            "s until back ↓",
            "CPU s ↓",
            "s beyond local, per million users ↓",
            "CPU s beyond local, per million users ↓",
        ),
        [(name, *took[name], *beyond[name]) for name in took],
        good="few seconds, the snapshot's hardly above those of the local disk",
    )


def figures(took: Mapping[str, Took], users: int) -> dict[str, float]:
    """Seconds and CPU seconds by where the state came from, and per million users."""
    beyond = beyond_local(took, users)
    return {
        **{f"{name}_s": round(each.seconds, 2) for name, each in took.items()},
        **{f"{name}_cpu_s": round(each.cpu_s, 2) for name, each in took.items()},
        **{
            f"{name}_{field}_per_million_users": round(getattr(beyond[name], field), 2)
            for name in ("snapshot", "log")
            for field in Took._fields
        },
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run, print the table, write the JSON."""
    options = parse_options("restore", __doc__, argv)
    began = time.monotonic()
    users, each = (20_000, 10) if options.quick else (50_000, 20)
    repeats = 1 if options.quick else options.repeats
    with tempfile.TemporaryDirectory(prefix="everfresh-bench-") as folder:
        times, size = measure(Path(folder), users, each, repeats)
    took = medians(times)
    show(took, users, each, size)
    conditions = {
        "users": users,
        "events_per_user": each,
        "snapshot_mib": round(size / 2**20, 1),
    }
    named = {**conditions, **figures(took, users), "rounds": repeats}
    write_figures(named, began, options.json)


if __name__ == "__main__":
    main()
