"""The steps: a worker killed, its machine lost, another in its place, a swap, rolling restarts."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import msgspec

from benchmarks.cluster.load import Asked, Probe, Requests, Stream
from benchmarks.cluster.network import Machine, machine
from benchmarks.cluster.services import MACHINE_PORT, Services, balancer, services
from benchmarks.cluster.states import Disk, read_log
from benchmarks.harness.waiting import wait_until
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.contracts.event import Event
from everfresh.infra.run.run_record import read_record
from everfresh.streaming.producer import DEFAULT_TOPIC

_TOPIC = DEFAULT_TOPIC
_START_S, _STOP_S = 300.0, 60.0
_SETTINGS = {
    "KAFKA__PARTITIONS": "2",
    "WINDOWS__SECONDS": "4",
    "STATE__SNAPSHOT_EVERY_S": "10",
    "SERVING__HOST": "0.0.0.0",
    "SERVING__PORT": str(MACHINE_PORT),
    "SERVING__REPLICAS": "1",
    "SERVING__STATE_WAIT_MS": "10000",
}


class Step(msgspec.Struct, frozen=True):
    """A step by its name, with its beginning and end (monotonic seconds)."""

    name: str
    began: float
    ended: float


class Outcome(msgspec.Struct, frozen=True):
    """What was seen."""

    steps: list[Step]
    asked: list[Asked]
    visible_s: list[float]
    ages_ms: list[float]
    states: dict[str, int]
    users: int
    events: int


class _Site:
    """The machines, and what runs on each."""

    def __init__(self, found: Services) -> None:
        self.steps: list[Step] = []
        self._settings = {
            **found.settings,
            **{f"EVERFRESH_{name}": value for name, value in _SETTINGS.items()},
        }
        self._running: dict[str, ChildProcess] = {}

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        print(f"{name} …", flush=True)
        yield
        self.steps.append(Step(name, began, time.monotonic()))
        print(f"  {self.steps[-1].ended - began:.1f} s", flush=True)

    def start(self, on: Machine, *words: str) -> None:
        """``everfresh up`` there; returns when the process is started."""
        self._running[on.name] = on.everfresh("up.out", "up", *words, **self._settings)

    def await_ready(self, on: Machine) -> None:
        """Until its door says that it is ready."""

        def is_ready() -> bool:
            if (code := self._running[on.name].poll()) is not None:
                said = (on.home / "up.out").read_text()[-2000:]
                raise RuntimeError(f"{on.name} ended with {code}: {said}")
            with contextlib.suppress(httpx.HTTPError):
                return httpx.get(f"{url(on)}/readyz", trust_env=False).status_code == 200
            return False

        wait_until(is_ready, f"{on.name} to answer", _START_S)

    def stop(self, on: Machine) -> None:
        """As an operator stops it."""
        process = self._running.pop(on.name)
        os.kill(process.pid, signal.SIGTERM)
        wait_until(lambda: process.poll() is not None, f"{on.name} to stop", _STOP_S)


def url(on: Machine) -> str:
    """Its door."""
    return f"http://{on.address}:{MACHINE_PORT}"


def version_of(on: Machine) -> int:
    """What it answers with; 0 where it does not say."""
    with contextlib.suppress(httpx.HTTPError, ValueError, KeyError):
        return int(httpx.get(f"{url(on)}/v1/version", trust_env=False).json()["version"])
    return 0


def measure(folder: Path, events: Sequence[Event], calm_s: float) -> Outcome:
    """All steps. ``calm_s`` seconds of load stand between two."""
    with (
        services(folder / "services") as found,
        machine(1, folder) as one,
        machine(2, folder) as two,
        machine(3, folder) as three,
        balancer(folder, [one, two, three]),
    ):
        site = _Site(found)
        stream = Stream(found.brokers, _TOPIC, events)
        requests = Requests(sorted({int(event.user_id) for event in events[:2000]}))
        probe = Probe(found.brokers, _TOPIC, url(two))
        with site.step("first machine: worker, trainer, replica"):
            site.start(one)
            _await_door(one)
            stream.start()
            site.await_ready(one)
        with site.step("second machine: follower, replica"):
            site.start(two, "--follow")
            site.await_ready(two)
        requests.start()
        probe.start()
        _change(site, (one, two, three), calm_s)
        for thread in (probe, stream):
            thread.over.set()
            thread.join()
        requests.stop()
        log = read_log(found.brokers, _TOPIC)
        states: dict[str, int] = {}
        for on in (two, three):
            disk = Disk(on.home, _TOPIC)
            wait_until(lambda disk=disk: disk.holds(log), f"{on.name} to apply all", _START_S)
            states[on.name] = disk.wrong(log)
            disk.close()
        for on in (two, three):
            site.stop(on)
        return Outcome(
            site.steps,
            requests.asked,
            probe.took_s,
            probe.ages_ms,
            states,
            len(log.users),
            sum(log.ends.values()),
        )


def _change(site: _Site, machines: tuple[Machine, Machine, Machine], calm_s: float) -> None:
    """What goes wrong, and what an operator does, while events and requests go on."""
    one, two, three = machines
    with site.step("both answer"):
        time.sleep(calm_s)
    with site.step("worker killed"):
        record = read_record(one.home / ".everfresh")
        assert record is not None
        os.kill(record.components["worker"].pid, signal.SIGKILL)
        time.sleep(calm_s)
    with site.step("first machine lost"):
        one.lose()
        time.sleep(calm_s)
    with site.step("third machine in its place"):
        before = version_of(two)
        site.start(three)
        site.await_ready(three)
    with site.step("next version on both"):
        wait_until(lambda: min(version_of(two), version_of(three)) > before, "a version", _START_S)
    with site.step("second machine restarted"):
        site.stop(two)
        site.start(two, "--follow")
        site.await_ready(two)
        time.sleep(calm_s)
    with site.step("third machine restarted"):
        site.stop(three)
        site.start(three)
        site.await_ready(three)
        time.sleep(calm_s)


def _await_door(on: Machine) -> None:
    """Until something answers there, a version or not."""

    def answers() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{url(on)}/healthz", trust_env=False).status_code in (200, 503)
        return False

    wait_until(answers, f"{on.name}'s door", _START_S)
