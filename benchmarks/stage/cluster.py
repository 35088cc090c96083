"""A real broker and a Ray head, with settings that name both."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.harness.waiting import wait_until
from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.adapters.machine.tcp_ports import accepts_connections, parse_address
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.settings import RaySettings, Settings
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.infra.components import settings_environment
from everfresh.infra.ray_head import RayHead, prepare_head, remove_temporary_folder

_RAY_S = 480.0


class Cluster:
    """A broker and a Ray head that run."""

    def __init__(self, settings: Settings, ray: RayHead, broker_pid: int, ray_pid: int) -> None:
        self.settings = settings
        self.ray = ray
        self._broker = psutil.Process(broker_pid)
        self._ray = psutil.Process(ray_pid)

    def environment(self) -> dict[str, str]:
        """For processes of everfresh on this cluster."""
        return {**os.environ, **self.ray.driver_environment, **settings_environment(self.settings)}

    def replicas(self) -> list[psutil.Process]:
        """The replicas' processes."""
        replicas = []
        for process in self._ray.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if "ServeReplica" in " ".join(process.cmdline()):
                    replicas.append(process)
        return replicas

    def cpu_s(self) -> float:
        """CPU seconds so far: broker, Ray and its children (HAProxy, replicas).

        The children of this process that have ended, such as a load generator, count as well.
        """
        total = 0.0
        for top in (self._broker, self._ray):
            for process in (top, *top.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    total += sum(process.cpu_times()[:2])
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return total + ended.ru_utime + ended.ru_stime


@contextlib.contextmanager
def cluster(home: Path, *, heap_mb: int = 384, **groups: Any) -> Iterator[Cluster]:
    """Both started in ``home``, with topics; everything ends with the block.

    ``groups`` are groups of settings, such as ``serving={"replicas": 2}``.
    """
    run_id = uuid.uuid4().hex
    kafka = groups.pop("kafka", {})
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(EmbeddedBroker(home / "kafka", heap_mb=heap_mb))
        ray = prepare_head(run_id, RaySettings())
        stack.callback(remove_temporary_folder, run_id)
        settings = Settings(
            home=home,
            kafka={"bootstrap_servers": broker.bootstrap_servers, **kafka},
            ray={"address": ray.address},
            **groups,
        )
        ensure_topics(Brokers(broker.bootstrap_servers), settings)
        environment = {**os.environ, **ray.spec.env}
        process = stack.enter_context(running(ray.spec.argv, environment, home / "ray.log"))
        wait_until(
            lambda: accepts_connections(*parse_address(ray.address, "ray.address")), "Ray", _RAY_S
        )
        yield Cluster(settings, ray, broker.pid, process.pid)


@contextlib.contextmanager
def running(
    argv: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[ChildProcess]:
    """A process that ends with the block and writes what it says on standard error to ``log``."""
    with log.open("wb") as file:
        process = ChildProcess(argv, stdout=subprocess.DEVNULL, stderr=file, env=environment)
    try:
        yield process
    finally:
        process.stop(10.0)


def module(name: str) -> list[str]:
    """The command that runs a module by this interpreter."""
    return [sys.executable, "-m", name]
