"""Every part restarted, one after another, while events come and clients ask; on real Kafka, Ray
and HAProxy. `benchmarks.rolling` does it at length, with whole machines and upgrades."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from everfresh.adapters.machine.endpoint_record import endpoint_url
from everfresh.adapters.state.reader import RocksHistoryReader
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.manifest import WeightManifest
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.infra.components import TRAINER, WORKER, settings_environment
from everfresh.infra.run.run_record import read_record
from everfresh.streaming.producer import EventProducer
from tests.integration.command import Command
from tests.integration.follower_machine import Machine, digests, ends
from tests.integration.stream_run import PARTITIONS, Stream, stop

pytestmark = pytest.mark.integration

USERS = 30
SMALL = {"dim": 8, "blocks": 1, "heads": 1, "max_length": 16, "negatives": 16}


def wait_until(true: Callable[[], bool]) -> None:
    """The test's own time limit ends it otherwise."""
    while not true():
        time.sleep(0.05)


class Trickle(threading.Thread):
    """Sends an event, asks on the connection that it keeps, pauses; and so on until it is over."""

    def __init__(self, producer: EventProducer, url: str, number: int) -> None:
        super().__init__(daemon=True)
        self._producer, self._url, self._number = producer, url, number
        self.over = threading.Event()
        self.failed: list[str] = []
        self.versions: list[int] = []
        self.replicas: list[str] = []

    def run(self) -> None:
        keeping = httpx.Limits(keepalive_expiry=None)
        with httpx.Client(base_url=self._url, timeout=120, limits=keeping) as client:
            turn = self._number
            while not self.over.wait(0.05):
                turn += 7
                self._producer.send(user_id=turn % USERS, item_id=turn * 3 % 40, type="click")
                self._ask(client, turn % USERS)

    def _ask(self, client: httpx.Client, user: int) -> None:
        try:
            answer = client.post("/v1/recommend", json={"user_id": user, "k": 3})
        except httpx.HTTPError as error:
            self.failed.append(repr(error))
            return
        if answer.status_code != 200:
            self.failed.append(answer.text)
            return
        self.versions.append(answer.json()["version"])
        self.replicas.append(answer.headers["x-everfresh-replica"])


class Loop(Stream):
    """What ``everfresh up`` runs in a home."""

    def pid(self, part: str) -> int:
        """0 while it is not there."""
        record = read_record(self.settings.home)
        found = record.components.get(part) if record else None
        return found.pid if found else 0

    def end(self, part: str) -> None:
        """As docs/operate.md says; returns once another process has its place."""
        before = self.pid(part)
        os.kill(before, signal.SIGTERM)
        wait_until(lambda: self.pid(part) not in (0, before))

    def replicas(self) -> list[psutil.Process]:
        found = []
        for process in psutil.Process(self.pid("ray")).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if "ServeReplica" in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def versions(self) -> list[int]:
        return FsspecWeightStore(self.settings.weights_url).versions()

    def last(self) -> WeightManifest:
        """What the newest version was made of."""
        store = FsspecWeightStore(self.settings.weights_url)
        return store.manifest(max(store.versions()))

    def await_applied(self) -> None:
        """Until the worker holds what the log holds now."""
        wanted = ends(self)
        reader = RocksHistoryReader(self.settings.state_dir, self.topic(EVENTS), 1)
        try:

            def holds() -> bool:
                metas = {number: reader.partition_meta(number) for number in wanted}
                return all((m := metas[n]) and m.applied >= end for n, end in wanted.items())

            wait_until(holds)
        finally:
            reader.close()


@pytest.fixture
def here(
    kafka: EmbeddedBroker, make_settings: Callable[..., Settings], tmp_path: Path
) -> Iterator[tuple[Loop, Machine]]:
    """The loop's home and a follower's, on another disk."""
    groups = {
        "kafka": {"bootstrap_servers": kafka.bootstrap_servers, "partitions": PARTITIONS},
        "windows": {"seconds": 2.0},
        "state": {"snapshot_every_s": 2, "snapshot_url": str(tmp_path / "snapshots")},
        "model": SMALL,
        "trainer": {"epochs": 1},
        # Nothing is held: what one window has too much of is not the question here.
        "gate": {
            **{"share": 0.0, "trial_windows": 0, "item_share": 1.0, "clock_shift": 1.0},
            "norm_jump": 1e9,
        },
        "weights": {"keep": 10_000},
        # A busy machine may keep a request waiting, which is to fail none.
        "serving": {"timeout_ms": 60_000},
    }
    loop = Loop(make_settings(**groups))
    machine = Machine(make_settings(home=tmp_path / "there", **groups))
    yield loop, machine
    machine.reader.close()


def await_both_replicas(loop: Loop, producer: EventProducer, url: str) -> None:
    """Events until each replica has answered with a version."""
    answered: set[str] = set()
    with httpx.Client(base_url=url, timeout=240) as client:
        while len(answered) < 2:
            producer.send(user_id=1, item_id=1, type="click")
            answer = client.post("/v1/recommend", json={"user_id": 1, "k": 3})
            if answer.status_code == 200:
                answered.add(answer.headers["x-everfresh-replica"])
            time.sleep(0.05)
    assert len(loop.replicas()) == 2


@contextlib.contextmanager
def trickling(producer: EventProducer, url: str) -> Iterator[list[Trickle]]:
    """Two clients, until the block ends."""
    clients = [Trickle(producer, url, number) for number in range(2)]
    for client in clients:
        client.start()
    try:
        wait_until(lambda: all(client.versions for client in clients))
        yield clients
    finally:
        for client in clients:
            client.over.set()
        for client in clients:
            client.join()


def restart_parts(loop: Loop, clients: list[Trickle]) -> None:
    """One after another, each once the one before is back at work."""
    loop.end(WORKER)
    loop.await_applied()
    loop.end(TRAINER)
    before = max(loop.versions())
    wait_until(lambda: max(loop.versions()) > before)
    wait_until(lambda: clients[0].versions[-1] > before)
    known = {name for client in clients for name in client.replicas}
    loop.replicas()[0].terminate()
    wait_until(lambda: not {name for each in clients for name in each.replicas} <= known)


def test_parts_restarted_one_after_another_fail_no_request_and_apply_nothing_twice(
    here: tuple[Loop, Machine], tmp_path: Path
) -> None:
    loop, there = here
    with contextlib.ExitStack() as stack:
        up = stack.enter_context(Command(tmp_path, "up", **settings_environment(loop.settings)))
        events = stack.enter_context(loop.producer())
        up.wait_for("The loop is up")
        url = endpoint_url(loop.settings.home)
        assert url is not None
        await_both_replicas(loop, events, url)
        with trickling(events, url) as clients:
            first = stack.enter_context(there.following())
            restart_parts(loop, clients)
            wait_until(lambda: bool(there.applied()))
            stop(first)
            second = stack.enter_context(there.following())
        events.flush()
        runs = loop.wait_tiled()
        log, end = loop.log(), ends(loop)
        wait_until(lambda: there.applied() == end)
        stop(second)
        wait_until(lambda: loop.last().trained_through == end)
        up.signal(signal.SIGTERM)
        assert up.finish() == 0, up.said()
    assert [failure for client in clients for failure in client.failed] == []
    loop.check(runs)
    assert digests(loop) == digests(there)
    assert loop.last().events == len(log)
