"""What goes wrong in a round. Each fault strikes, and names what heals it and when."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable

from benchmarks.crash_storm.cluster import Cluster, RestartedProcess

Heal = tuple[float, Callable[[], None]]
"""At this time (``time.monotonic``) call this."""


class Faults:
    """Chooses and strikes; choices come from ``choose``. ``session_s`` is the workers'.

    The first three are a worker and the broker killed and a machine lost, so that even the
    shortest storm has them; what can happen after that depends on who is up by then.
    """

    def __init__(self, cluster: Cluster, choose: random.Random, session_s: float) -> None:
        self._cluster = cluster
        self._choose = choose
        self._session_s = session_s
        self._certain = ["lose machine", "kill broker", "kill worker"]

    def strike(self) -> tuple[str, list[Heal]]:
        """One fault of those that can happen now: its name, and how it ends."""
        cluster = self._cluster
        up = [cluster.workers[slot] for slot in cluster.running()]
        down = [worker for worker in cluster.workers.values() if not worker.wanted]
        kinds: list[Callable[[], tuple[str, list[Heal]]]] = [self._kill_broker, self._lose]
        if up:
            victim = self._choose.choice(up)
            if self._certain:
                certain = {"kill broker": self._kill_broker, "lose machine": self._lose}
                return certain.get(self._certain.pop(), lambda: self._kill(victim))()
            kinds += 2 * [lambda: self._kill(victim)]
            kinds += [lambda: self._freeze(victim)]
        if cluster.trainer:
            kinds += 3 * [self._kill_trainer]
        if down:
            kinds += 2 * [lambda: self._add(self._choose.choice(down))]
        if len(up) > 1:
            kinds += [lambda: self._remove(victim)]
        return self._choose.choice(kinds)()

    def _kill(self, victim: RestartedProcess) -> tuple[str, list[Heal]]:
        victim.kill()
        pause = self._choose.choice([0.0, 0.5, self._session_s + 0.5])
        return "kill worker", [(time.monotonic() + pause, victim.start)]

    def _freeze(self, victim: RestartedProcess) -> tuple[str, list[Heal]]:
        """Stopped for longer than its session lasts: it wakes up owning what it has lost."""
        victim.signal(signal.SIGSTOP)
        at = time.monotonic() + self._session_s + self._choose.choice([-1.0, 1.0])
        return "freeze worker", [(at, lambda: victim.signal(signal.SIGCONT))]

    def _kill_broker(self) -> tuple[str, list[Heal]]:
        self._cluster.broker.kill()
        return "kill broker", []

    def _kill_trainer(self) -> tuple[str, list[Heal]]:
        trainer = self._cluster.trainer
        assert trainer is not None
        trainer.kill()
        pause = self._choose.choice([0.0, 1.0])
        return "kill trainer", [(time.monotonic() + pause, trainer.start)]

    def _lose(self) -> tuple[str, list[Heal]]:
        machines = sorted({machine for machine, _ in self._cluster.running()})
        self._cluster.lose(self._choose.choice(machines or ["a"]))
        return "lose machine", []

    def _add(self, worker: RestartedProcess) -> tuple[str, list[Heal]]:
        worker.start()
        return "add worker", []

    def _remove(self, victim: RestartedProcess) -> tuple[str, list[Heal]]:
        victim.stop()
        return "remove worker", []
