"""Stateful stream throughput: this worker beside Quix Streams, a Faust table and a bare fetch.

One job for all, on one embedded Kafka, in one run: JSON events of 20,000 users (Zipf) in 4
partitions; the last 200 events of each user kept durably. Ours runs as users run it, with
validation, windows and dead letters on. A rate is counted from the first progress to the end of
the measured time, CPU seconds are those of the system's own process in that time.

Peers run in ``.venv-peers``, which is made from ``benchmarks/peers/requirements.txt`` if missing.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil

from benchmarks._harness import finish, median, parse_options, show
from contracts.settings import load_settings
from infra.kafka.broker import EmbeddedBroker
from infra.kafka.topics import ensure_topics
from infra.state_reader import RocksHistoryReader

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".venv-peers"
TOPIC = "everfresh.events"
USERS = 20_000
SYSTEMS = ("everfresh", "quix", "faust_table", "fetch")
PEER_MODULES = {"quix": "quix_worker", "faust_table": "faust_worker", "fetch": "fetch"}


class Run(msgspec.Struct, frozen=True):
    """One system, measured once. ``disk_bytes`` and ``kafka_bytes`` are per event."""

    events_per_s: float
    cpu_s_per_million: float
    peak_mib: float
    disk_bytes: float
    kafka_bytes: float


def peers_python() -> str:
    """The peers' interpreter; makes their environment the first time."""
    python = PEERS / "bin" / "python"
    requirements = Path(__file__).with_name("peers") / "requirements.txt"
    if not python.exists():
        print("making .venv-peers …", file=sys.stderr)
        venv.create(PEERS, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "-r", requirements], check=True)
    return str(python)


@contextlib.contextmanager
def child(command: list[str], env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in a group of its own; the whole group is ended afterwards."""
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **env},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def follow(process: subprocess.Popen[str]) -> Callable[[], int]:
    """The newest count that a peer has printed."""
    newest = [0]

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                newest[0] = json.loads(line)["events"]

    threading.Thread(target=read, daemon=True).start()
    return lambda: newest[0]


def measure(
    process: subprocess.Popen[str],
    count: Callable[[], int],
    kafka_bytes: Callable[[], int],
    events: int,
    seconds: float,
) -> Run:
    """Watch one system until ``seconds`` after its first progress, or until all is done."""
    seen = psutil.Process(process.pid)
    deadline = time.monotonic() + 60
    while (first := count()) == 0:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"no progress from {process.args}; see its log")
        time.sleep(0.02)
    began, cpu = time.monotonic(), sum(seen.cpu_times()[:2])
    disk, kafka, peak = seen.io_counters().write_bytes, kafka_bytes(), 0
    done, ended = first, began
    while done < events and ended - began < seconds:
        time.sleep(0.1)
        done, ended = count(), time.monotonic()
        peak = max(peak, seen.memory_info().rss)
    number = done - first
    return Run(
        number / (ended - began),
        (sum(seen.cpu_times()[:2]) - cpu) / number * 1e6,
        peak / 2**20,
        (seen.io_counters().write_bytes - disk) / number,
        (kafka_bytes() - kafka) / number,
    )


def folder_bytes(folder: Path) -> int:
    """Bytes of the files below; files that vanish meanwhile do not count."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def run_ours(bootstrap: str, kafka: Path, work: Path, events: int, seconds: float) -> Run:
    """The worker as `everfresh up` starts it."""
    env = {"EVERFRESH_KAFKA__BOOTSTRAP_SERVERS": bootstrap, "EVERFRESH_HOME": str(work)}
    reader = RocksHistoryReader(work / "state", TOPIC, 200)

    def applied() -> int:
        metas = [reader.partition_meta(partition) for partition in reader.partitions()]
        return sum(meta.applied for meta in metas if meta)

    try:
        command = [sys.executable, "-m", "streaming"]
        with child(command, env, work / "err.log") as process:
            return measure(process, applied, lambda: folder_bytes(kafka), events, seconds)
    finally:
        reader.close()


def run_peer(
    name: str, bootstrap: str, kafka: Path, work: Path, events: int, seconds: float
) -> Run:
    """A peer from ``benchmarks.peers``."""
    module = f"benchmarks.peers.{PEER_MODULES[name]}"
    command = [peers_python(), "-m", module, bootstrap, TOPIC, str(work / "state")]
    with child(command, {}, work / "err.log") as process:
        return measure(process, follow(process), lambda: folder_bytes(kafka), events, seconds)


def one_round(work: Path, events: int, seconds: float) -> dict[str, Run]:
    """Every system once, each on a freshly filled broker of its own data."""
    runs = {}
    for name in SYSTEMS:
        folder = work / name
        folder.mkdir(parents=True)
        with EmbeddedBroker(folder / "kafka", heap_mb=512) as broker:
            bootstrap = broker.bootstrap_servers
            settings = load_settings({"kafka": {"bootstrap_servers": bootstrap}})
            ensure_topics(bootstrap, settings)
            fill = [peers_python(), "-m", "benchmarks.peers.produce", bootstrap, TOPIC]
            subprocess.run([*fill, str(events), str(USERS), "0"], cwd=ROOT, check=True)
            if name == "everfresh":
                runs[name] = run_ours(bootstrap, folder / "kafka", folder, events, seconds)
            else:
                runs[name] = run_peer(name, bootstrap, folder / "kafka", folder, events, seconds)
        print(name, msgspec.to_builtins(runs[name]), file=sys.stderr)
    return runs


def main() -> None:
    """Run, print the table, write the JSON."""
    options = parse_options(__doc__ or "")
    began = time.monotonic()
    events, seconds = (400_000, 5.0) if options.quick else (6_000_000, 30.0)
    rounds = []
    for _ in range(1 if options.quick else options.repeats):
        with tempfile.TemporaryDirectory(prefix="everfresh-bench-") as folder:
            rounds.append(one_round(Path(folder), events, seconds))

    def of(name: str, field: str) -> float:
        return median(getattr(one[name], field) for one in rounds)

    def ratio(field: str, peer: str) -> float:
        return median(getattr(o[peer], field) / getattr(o["everfresh"], field) for o in rounds)

    fields = Run.__struct_fields__
    rows = [(name, *(of(name, field) for field in fields)) for name in SYSTEMS]
    show("Stateful fold, medians", ("system", *fields), rows)
    finish(
        {
            **{field: round(of("everfresh", field), 3) for field in fields},
            "ratio_vs_quix": round(ratio("cpu_s_per_million", "quix"), 3),
            "ratio_vs_faust_table": round(ratio("cpu_s_per_million", "faust_table"), 3),
            "ratio_vs_fetch": round(ratio("cpu_s_per_million", "fetch"), 3),
            "rounds": len(rounds),
        },
        began,
        options.json,
    )


if __name__ == "__main__":
    main()
