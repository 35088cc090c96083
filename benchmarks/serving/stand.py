"""A real broker, Ray, HAProxy and replicas, and an empty echo behind the same HAProxy."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from contracts.settings import ModelSettings, RaySettings, Settings
from infra.components import settings_environment
from infra.kafka.broker import EmbeddedBroker
from infra.kafka.topics import ensure_topics
from infra.leash import LeashedProcess
from infra.ports import answers, parse_address
from infra.ray_cluster import Head, head, remove_temporary_folder

_WAIT_S = 180.0
ECHO = "/echo"


@contextlib.contextmanager
def cluster(model: ModelSettings, **serving: Any) -> Iterator[tuple[Settings, Head]]:
    """A broker and a Ray head, with settings that name both; everything goes in the end."""
    run_id = uuid.uuid4().hex
    ray = head(run_id, RaySettings())
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
        process = LeashedProcess(
            ray.spec.argv,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **ray.spec.env},
        )
        stack.callback(process.stop, 5.0)
        _until(lambda: answers(*parse_address(ray.address, "ray.address")), "Ray")
        yield settings, ray


@contextlib.contextmanager
def replicas(settings: Settings, ray: Head) -> Iterator[str]:
    """``python -m serving``; yields the door's URL once every replica answers."""
    output = settings.home / "driver.out"
    environment = {**os.environ, **ray.drivers, **settings_environment(settings)}
    with output.open("wb") as file:
        driver = LeashedProcess(
            [sys.executable, "-m", "serving"], stdout=file, stderr=file, env=environment
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
def echo(settings: Settings, ray: Head, url: str) -> Iterator[None]:
    """An empty deployment behind the same HAProxy, with as many replicas of its own.

    It reads nothing and says two letters; the rest is what Ray Serve and HAProxy cost anyway.
    """
    argv = [sys.executable, "-m", "benchmarks.serving.echo", settings.ray.address]
    environment = {**os.environ, **ray.drivers, "ECHO_REPLICAS": str(settings.serving.replicas)}
    process = LeashedProcess(argv, stdout=subprocess.DEVNULL, stderr=None, env=environment)
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
