"""A real broker, Ray, HAProxy and replicas, and an empty echo behind the same HAProxy."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil

from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.adapters.machine.tcp_ports import accepts_connections, parse_address
from everfresh.contracts.settings import ModelSettings, RaySettings, Settings
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.infra.components import settings_environment
from everfresh.infra.ray_head import RayHead, prepare_head, remove_temporary_folder

_WAIT_S = 480.0
ECHO = "/echo"


class Stand:
    """A broker and a Ray head that run, with settings that name both."""

    def __init__(self, settings: Settings, ray: RayHead, pids: Sequence[int]) -> None:
        self.settings = settings
        self.ray = ray
        self._tops = [psutil.Process(pid) for pid in pids]

    def cpu_s(self) -> float:
        """Processor seconds so far: broker, Ray and its children (HAProxy, replicas), and wrk."""
        each = [one for top in self._tops for one in (top, *top.children(recursive=True))]
        total = 0.0
        for one in each:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += sum(one.cpu_times()[:2])
        wrk = resource.getrusage(resource.RUSAGE_CHILDREN)
        return total + wrk.ru_utime + wrk.ru_stime


@contextlib.contextmanager
def cluster(model: ModelSettings, **serving: Any) -> Iterator[Stand]:
    """A stand; everything goes in the end."""
    run_id = uuid.uuid4().hex
    ray = prepare_head(run_id, RaySettings())
    with contextlib.ExitStack() as stack:
        stack.callback(remove_temporary_folder, run_id)
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="everfresh-bench-")))
        broker = stack.enter_context(EmbeddedBroker(home / "kafka", heap_mb=256))
        settings = Settings(
            home=home,
            kafka={"bootstrap_servers": broker.bootstrap_servers},
            ray={"address": ray.address},
            model=model,
            state={"history_length": max(200, model.max_length)},
            serving=serving,
        )
        ensure_topics(broker.bootstrap_servers, settings)
        process = ChildProcess(
            ray.spec.argv,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **ray.spec.env},
        )
        stack.callback(process.stop, 5.0)
        _until(lambda: accepts_connections(*parse_address(ray.address, "ray.address")), "Ray")
        yield Stand(settings, ray, [broker.pid, process.pid])


@contextlib.contextmanager
def replicas(settings: Settings, ray: RayHead) -> Iterator[str]:
    """``python -m everfresh.serving``; yields the door's URL once every replica answers."""
    output = settings.home / "driver.out"
    environment = {**os.environ, **ray.driver_environment, **settings_environment(settings)}
    with output.open("wb") as file:
        driver = ChildProcess(
            [sys.executable, "-m", "everfresh.serving"], stdout=file, stderr=file, env=environment
        )
    try:
        line = "serving on "
        _until(lambda: line in output.read_text(), output.read_text)
        url = output.read_text().split(line)[1].split()[0]
        _until(lambda: _says_ok("GET", f"{url}/readyz"), "a version")
        yield url
    finally:
        driver.stop(15.0)


@contextlib.contextmanager
def echo(settings: Settings, ray: RayHead, url: str) -> Iterator[None]:
    """An empty deployment behind the same HAProxy, with as many replicas of its own.

    It reads nothing and says two letters; the rest is what Ray Serve and HAProxy cost anyway.
    """
    argv = [sys.executable, "-m", "benchmarks.serving.echo", settings.ray.address]
    environment = {
        **os.environ,
        **ray.driver_environment,
        "ECHO_REPLICAS": str(settings.serving.replicas),
    }
    process = ChildProcess(argv, stdout=subprocess.DEVNULL, stderr=None, env=environment)
    try:
        _until(lambda: _says_ok("POST", url + ECHO), "the echo")
        yield
    finally:
        process.stop(10.0)


def _says_ok(method: str, url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.request(method, url, timeout=10.0).status_code == 200
    return False


def _until(true: Callable[[], bool], what: str | Callable[[], str]) -> None:
    end = time.monotonic() + _WAIT_S
    while not true():
        if time.monotonic() > end:
            missing = what if isinstance(what, str) else f"the door: {what()}"
            raise SystemExit(f"waited {_WAIT_S:.0f} s for {missing}")
        time.sleep(0.1)
