"""Services, machines, load and steps together, and the comparison of the states at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.cluster.changes import change
from benchmarks.cluster.load import Asked, Probe, Requests, Seen, Stream
from benchmarks.cluster.network import machine
from benchmarks.cluster.services import Store, balancer, services
from benchmarks.cluster.site import START_S, Site, ask, url
from benchmarks.cluster.states import Disk, read_log
from benchmarks.harness.steps import Step
from benchmarks.harness.waiting import wait_until
from everfresh.contracts.event import Event
from everfresh.streaming.producer import DEFAULT_TOPIC

_TOPIC = DEFAULT_TOPIC
_KNOWN = 2_000
"""The users of so many events are asked for, from the moment at which these were sent on."""


class Outcome(msgspec.Struct, frozen=True):
    """What was seen. ``states`` counts the users whose state is wrong, by machine."""

    steps: list[Step]
    asked: list[Asked]
    seen: list[Seen]
    ages_ms: list[float]
    states: dict[str, int]
    users: int
    events: int


def measure(
    folder: Path, events: Sequence[Event], rate: float, calm_s: float, store: Store
) -> Outcome:
    """All steps, at ``rate`` events a second; ``calm_s`` seconds of load stand between two."""
    with (
        services(folder / "services", store) as found,
        machine(1, folder) as one,
        machine(2, folder) as two,
        machine(3, folder) as three,
        balancer(folder, [one, two, three]),
    ):
        stream = Stream(found.brokers, _TOPIC, events, rate)
        requests = Requests(sorted({int(event.user_id) for event in events[:_KNOWN]}))
        site = Site(found, requests.so_far)
        probe = Probe(found.brokers, _TOPIC, url(two))
        with site.step("first machine: worker, trainer, replica"):
            site.start(one)
            wait_until(lambda: ask(one, "healthz")[0] in (200, 503), "a first door", START_S)
            stream.start()
            site.await_ready(one)
            wait_until(lambda: stream.sent >= _KNOWN, "the first events", START_S)
            site.await_fresh(one)
        requests.start()
        probe.start()
        try:
            change(site, one, two, three, calm_s)
        finally:
            for load in (probe, stream):
                load.over.set()
        probe.stop()
        stream.stop()
        requests.stop()
        log = read_log(found.brokers, _TOPIC)
        states: dict[str, int] = {}
        for on in (two, three):
            disk = Disk(on.home, _TOPIC)
            wait_until(lambda disk=disk: disk.holds(log), f"{on.name} to apply all", START_S)
            states[on.name] = disk.wrong(log)
            disk.close()
        for on in (two, three):
            site.stop(on)
        return Outcome(
            site.steps,
            requests.asked,
            probe.seen,
            probe.ages_ms,
            states,
            len(log.users),
            sum(log.ends.values()),
        )
