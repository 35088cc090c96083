"""The steps: a worker killed, its machine lost, another in its place, a swap, restarts of all."""

from __future__ import annotations

import signal
import time

from benchmarks.cluster.network import Machine
from benchmarks.cluster.site import START_S, Site, version_of
from benchmarks.harness.waiting import wait_until
from everfresh.infra.components import FOLLOWER, SERVING, TRAINER, WORKER

ADDED = "second machine added: follower, replica"
REPLACED = "third machine in its place"
INTERRUPTS = (
    ADDED,
    "replica killed",
    "door killed",
    "serving restarted",
    "second machine restarted",
)
"""Steps in which the second machine does not answer for a while."""
_REPLICA = "ray::ServeReplica:everfresh:Replica"


def change(site: Site, one: Machine, two: Machine, three: Machine, calm_s: float) -> None:
    """What goes wrong, and what an operator does, while events and requests go on.

    ``one`` answers already. ``calm_s`` seconds of load follow on each step that needs none.
    """
    with site.step(ADDED):
        site.start(two, "--follow")
        site.await_ready(two)
    with site.step("both answer"):
        time.sleep(calm_s)
    with site.step("worker killed"):
        site.end_part(one, WORKER, signal.SIGKILL)
        site.await_fresh(one)
    with site.step("first machine lost"):
        one.lose()
        time.sleep(calm_s)
    with site.step(REPLACED):
        site.start(three)
        site.await_ready(three)
    with site.step("next version on both"):
        _await_version(two, three)
    _restart_parts(site, two, three)
    with site.step("second machine restarted"):
        site.stop(two)
        site.start(two, "--follow")
        site.await_ready(two)
        time.sleep(calm_s)
    with site.step("third machine restarted"):
        site.stop(three)
        site.start(three)
        site.await_fresh(three)
        time.sleep(calm_s)


def _restart_parts(site: Site, two: Machine, three: Machine) -> None:
    """Each part by itself; on the second machine those that answer, on the third the others."""
    with site.step("worker restarted"):
        site.end_part(three, WORKER)
        site.await_fresh(three)
    with site.step("trainer restarted"):
        site.end_part(three, TRAINER)
        _await_version(two, three)
    with site.step("follower restarted"):
        site.end_part(two, FOLLOWER)
        site.await_fresh(two)
    with site.step("replica killed"):
        site.kill(two, _REPLICA)
        site.await_ready(two)
    with site.step("door killed"):
        site.kill(two, "haproxy")
        site.await_ready(two)
    with site.step("serving restarted"):
        site.end_part(two, SERVING)
        site.await_ready(two)


def _await_version(two: Machine, three: Machine) -> None:
    before = max(version_of(two), version_of(three))
    wait_until(lambda: min(version_of(two), version_of(three)) > before, "a version", START_S)
