"""The steps: worker and trainer killed, both homes restarted or upgraded by turns, and back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from benchmarks.cluster.load import Asked, Requests, Stream
from benchmarks.cluster.services import balancer_at
from benchmarks.cluster.states import Disk, Log, read_log
from benchmarks.harness.processes import ROOT
from benchmarks.harness.steps import Step, taken
from benchmarks.harness.waiting import wait_until
from benchmarks.rolling.homes import Home, home
from everfresh.adapters.kafka.consumers import connect_consumer
from everfresh.adapters.machine.tcp_ports import free_ports
from everfresh.contracts.event import Event
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.window import Place, SliceClosed, decode_slice_record
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.streaming.producer import DEFAULT_TOPIC

_WAIT_S = 300.0
_RATE = 100.0
"""Events a second."""
_SETTINGS = {
    "KAFKA__PARTITIONS": "2",
    "WINDOWS__SECONDS": "4",
    "STATE__SNAPSHOT_EVERY_S": "10",
    "SERVING__REPLICAS": "1",
}


class Outcome(msgspec.Struct, frozen=True):
    """What was seen. ``faults`` are those of the windows, in words."""

    steps: list[Step]
    asked: list[Asked]
    states_wrong: int
    users: int
    events: int
    slices: int
    faults: list[str]


class _OfNow(Stream):
    """Its events happen as they are sent: old ones would make windows of history."""

    def _without_end(self) -> Iterator[Event]:
        for event in super()._without_end():
            yield msgspec.structs.replace(event, time=time.time_ns() // 1_000_000)


class _Run:
    """The homes by turns."""

    def __init__(self, first: Home, second: Home) -> None:
        self.first, self.second = first, second
        self.steps: list[Step] = []

    def step(self, name: str) -> AbstractContextManager[None]:
        return taken(self.steps, name)

    def restart(self, what: str, on: Home, build: Path, calm_s: float) -> None:
        with self.step(what):
            on.stop()
            on.start(build)
            on.await_ready()
            time.sleep(calm_s)

    def await_version(self, name: str) -> None:
        """One that is newer than all that either answers with now."""
        with self.step(name):
            before = max(self.first.version(), self.second.version())
            wait_until(
                lambda: min(self.first.version(), self.second.version()) > before, name, _WAIT_S
            )


def measure(folder: Path, events: Sequence[Event], calm_s: float, older: Path) -> Outcome:
    """All steps, with ``calm_s`` seconds of load after each; both begin with the build ``older``,
    which is this one where nothing is upgraded."""
    [port] = free_ports(1, "127.0.7.9")
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(EmbeddedBroker(folder / "kafka", heap_mb=384))
        brokers = Brokers(broker.bootstrap_servers)
        named = {
            **_SETTINGS,
            "KAFKA__BOOTSTRAP_SERVERS": brokers.servers,
            "WEIGHTS__URL": str(folder / "weights"),
            "STATE__SNAPSHOT_URL": str(folder / "snapshots"),
        }
        settings = {f"EVERFRESH_{name}": value for name, value in named.items()}
        first = stack.enter_context(home(1, folder, **settings))
        second = stack.enter_context(home(2, folder, "--follow", **settings))
        doors = {each.name: each.door for each in (first, second)}
        stack.enter_context(balancer_at(folder, "127.0.7.9", port, doors))
        run = _Run(first, second)
        stream = _OfNow(brokers, DEFAULT_TOPIC, events, _RATE)
        users = sorted({int(event.user_id) for event in events[:2000]})
        requests = Requests(users, f"http://127.0.7.9:{port}")
        with run.step("both start"):
            first.start(older)
            first.await_door()
            stream.start()
            first.await_ready()
            second.start(older)
            second.await_ready()
        requests.start()
        try:
            _change(run, calm_s, older)
        except Exception:
            print(f"it broke off; until then {requests.so_far()}")
            raise
        stream.stop()
        requests.stop()
        log = read_log(brokers, DEFAULT_TOPIC)
        wrong = sum(_wrong(each, log) for each in (first, second))
        slices, faults = tiling(_closed(brokers))
        first.stop()
        second.stop()
        count = sum(log.ends.values())
        return Outcome(run.steps, requests.asked, wrong, len(log.users), count, slices, faults)


def _change(run: _Run, calm_s: float, older: Path) -> None:
    """What an operator does, by docs/operate.md, while events and requests go on."""
    first, second = run.first, run.second
    with run.step("both answer"):
        time.sleep(calm_s)
    for part in ("worker", "trainer"):
        with run.step(f"{part} killed"):
            first.kill(part)
            time.sleep(2 * calm_s)
    verb = "restarted" if older == ROOT else "upgraded"
    run.restart(f"second {verb}", second, ROOT, calm_s)
    run.restart(f"first {verb}", first, ROOT, calm_s)
    run.await_version("next version on both")
    if older != ROOT:
        run.restart("first taken back", first, older, calm_s)
        run.restart("second taken back", second, older, calm_s)
        run.await_version("next version on both, of the older")


def _wrong(on: Home, log: Log) -> int:
    """Users whose state there is not what the log says."""
    disk = Disk(on.folder, DEFAULT_TOPIC)
    try:
        wait_until(lambda: disk.holds(log), f"{on.name} to apply all", _WAIT_S)
        return disk.wrong(log)
    finally:
        disk.close()


def tiling(closed: Iterable[tuple[int, SliceClosed]]) -> tuple[int, list[str]]:
    """How many slices there are, of partitions by number, and where they do not tile the log: a
    gap, an overlap, an event that is not counted once, one that was written again as another."""
    by_partition: dict[int, dict[Place, SliceClosed]] = {}
    faults = []
    for number, record in closed:
        if by_partition.setdefault(number, {}).setdefault(record.place, record) != record:
            faults.append(f"partition {number}, {record.place}: written again as another")
    for number, slices in by_partition.items():
        edge = 0
        for place, record in sorted(slices.items()):
            if record.start != edge:
                faults.append(f"partition {number}, {place}: begins at {record.start}, not {edge}")
            if record.events + record.rejected != record.end - record.start:
                faults.append(f"partition {number}, {place}: counts {record.events} events")
            edge = record.end
    return sum(map(len, by_partition.values())), faults


def _closed(brokers: Brokers) -> Iterator[tuple[int, SliceClosed]]:
    consumer = connect_consumer(brokers, [DEFAULT_TOPIC.replace("events", "windows")])
    try:
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(consumer.assignment())
        while any(consumer.position(at) < end for at, end in ends.items()):
            for records in consumer.poll(500).values():
                for record in records:
                    if isinstance(found := decode_slice_record(record.value), SliceClosed):
                        yield record.partition, found
    finally:
        consumer.close()
