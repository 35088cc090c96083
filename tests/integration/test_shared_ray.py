"""Several applications on one Ray Serve, ours and others; replicas that follow the load."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.adapters.machine.tcp_ports import free_ports
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.infra.broker.broker import EmbeddedBroker
from tests.integration.serving_run import (
    STOP_SECONDS,
    USER,
    ServingRun,
    serving_run,
    wait_until,
)
from tests.serving.replica_in_memory import publish

pytestmark = pytest.mark.integration


@pytest.fixture
def run(kafka: EmbeddedBroker, tmp_path: Path) -> Iterator[ServingRun]:
    home = tmp_path / "first"
    home.mkdir()
    with serving_run(kafka, home) as made:
        made.output.touch()
        yield made


def named(run: ServingRun, name: str, **serving: object) -> ServingRun:
    """The same home by another name in the Ray; with a home of its own unless it is the first."""
    beside = copy.copy(run)
    home = run.settings.home.parent / name
    home.mkdir(exist_ok=True)
    tree = run.settings
    beside.settings = tree.model_copy(
        update={
            "home": home,
            "kafka": tree.kafka.model_copy(update={"topic_prefix": f"{name}."}),
            "ray": tree.ray.model_copy(update={"application": name}),
            "serving": tree.serving.model_copy(
                update={"replicas": 1, "route_prefix": f"/{name}", **serving}
            ),
        }
    )
    beside.store = FsspecWeightStore(beside.settings.weights_url)
    beside.output = home / "driver.out"
    ensure_topics(beside.settings.kafka.brokers, beside.settings)
    publish(beside.store, 1)
    return beside


def neighbour(run: ServingRun, name: str, *more: str) -> None:
    """Somebody else's application, at ``/NAME``; returns once it answers."""
    argv = [sys.executable, "-m", "tests.integration.neighbour", run.settings.ray.address, name]
    env = {**os.environ, **run.ray.driver_environment}
    subprocess.run([*argv, *more], env=env, check=True, timeout=STOP_SECONDS)


def answers(url: str) -> int:
    body = {"user_id": USER, "k": 3}
    return httpx.post(f"{url}/v1/recommend", json=body, timeout=240).status_code


def await_gone(url: str) -> None:
    """Until the door knows no such path; it hears of it a moment later."""
    wait_until(lambda: httpx.get(f"{url}/healthz").status_code == 404, f"{url} to be gone")


def end(driver: ChildProcess, by: signal.Signals) -> None:
    os.kill(driver.pid, by)
    wait_until(lambda: driver.poll() is not None, "the driver's end", STOP_SECONDS)


def stop(driver: ChildProcess) -> None:
    end(driver, signal.SIGTERM)
    assert driver.poll() == 0


def test_behind_the_door_of_others_ours_come_and_go_and_theirs_stay(run: ServingRun) -> None:
    [port] = free_ports(1)
    neighbour(run, "theirs", "--start", str(port))
    theirs = f"http://127.0.0.1:{port}/theirs"
    shop = named(run, "shop")
    first = shop.start()
    assert shop.url() == f"http://127.0.0.1:{port}/shop"
    assert "no gRPC" in shop.output.read_text()
    assert answers(shop.url()) == 200

    assert httpx.get(theirs).text == "theirs"

    # Killed, it leaves its application; started again, it takes over that one alone.
    end(first, signal.SIGKILL)
    second = shop.start()
    assert answers(shop.url()) == 200
    assert httpx.get(theirs).text == "theirs"
    stop(second)
    await_gone(f"http://127.0.0.1:{port}/shop")
    assert httpx.get(theirs).text == "theirs"


class Load(threading.Thread):
    """Asks again after each answer, after a pause."""

    def __init__(self, url: str, pause_s: float) -> None:
        super().__init__(daemon=True)
        self._pause_s = pause_s
        self.over = threading.Event()
        self.answers: list[int | str] = []
        self._url = url

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=240) as client:
            while not self.over.is_set():
                try:
                    body = {"user_id": USER, "k": 3}
                    self.answers.append(client.post("v1/recommend", json=body).status_code)
                except httpx.HTTPError as error:
                    self.answers.append(repr(error))
                self.over.wait(self._pause_s)


def test_the_door_of_ours_stays_for_others_and_replicas_follow_the_load(run: ServingRun) -> None:
    shop = named(run, "shop", replicas="1..2", leave_after_s=1.0)
    first = shop.start()
    url = shop.url()
    door = url.removesuffix("/shop")

    def replicas() -> int:
        return len(run.titled("ServeReplica:shop"))

    assert replicas() == 1
    # The last one goes on to the end, so that whoever leaves is seen to drop no request.
    load = [*(Load(url, 0.0) for _ in range(6)), Load(url, 0.3)]
    for each in load:
        each.start()
    wait_until(lambda: replicas() == 2, "a replica that joins")
    news = named(run, "news")
    second = news.start()
    assert news.url() == f"{door}/news"
    neighbour(run, "theirs")
    for each in load[:-1]:
        each.over.set()
    wait_until(lambda: replicas() == 1, "a replica that leaves")
    load[-1].over.set()
    for each in load:
        each.join()
    said = [answer for each in load for answer in each.answers]
    assert set(said) == {200}, [answer for answer in said if answer != 200][:3]

    # Who opened the door leaves; it stays, and HAProxy still follows who comes and goes.
    stop(first)
    assert answers(news.url()) == 200
    assert httpx.get(f"{door}/theirs").text == "theirs"
    await_gone(url)
    os.kill(run.titled("ServeReplica:news")[0].pid, signal.SIGKILL)

    def replaced() -> bool:
        try:
            return answers(news.url()) == 200
        except httpx.HTTPError:  # it was being answered by the one that was killed
            return False

    wait_until(replaced, "the one that takes its place")
    stop(second)
    assert httpx.get(f"{door}/theirs").text == "theirs"

    # The same home, behind the door that it once opened.
    third = shop.start()
    assert shop.url() == url
    assert answers(url) == 200
    stop(third)
    assert httpx.get(f"{door}/theirs").text == "theirs"
