"""Real replicas on a cluster: over states that are there already, or with the stream worker.

There is no trainer: who uses this publishes the versions.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from benchmarks.harness.waiting import wait_until
from benchmarks.stage.cluster import Cluster, cluster, module, running
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.adapters.machine.endpoint_record import endpoint_answers, endpoint_url
from everfresh.adapters.state.reader import RocksHistoryReader
from everfresh.contracts.event import UserId
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.infra.components import settings_environment
from everfresh.streaming.producer import EventProducer

_START_S = 480.0
_DOOR_S = 300.0


class ServingStage:
    """Stream worker and replicas that run on a cluster."""

    def __init__(self, on: Cluster) -> None:
        self.settings = on.settings
        self.environment = on.environment
        self.replicas = on.replicas

    @property
    def url(self) -> str:
        """The HTTP door."""
        url = endpoint_url(self.settings.home)
        assert url is not None, "the stage is up"
        return url


@contextlib.contextmanager
def serving_stage(
    home: Path, users: Mapping[UserId, Sequence[int]], **groups: Any
) -> Iterator[ServingStage]:
    """Everything up with these users' histories folded, and down again afterwards.

    ``groups`` are groups of settings, such as ``serving={"replicas": 2}``.
    """
    with contextlib.ExitStack() as up:
        on = up.enter_context(cluster(home, kafka={"partitions": 2}, **groups))
        for name in ("everfresh.streaming", "everfresh.serving"):
            up.enter_context(running(module(name), on.environment(), home / f"{name}.log"))
        _fold(on.settings, users)
        wait_until(
            lambda: endpoint_answers(endpoint_url(home) or "http://127.0.0.1:1"),
            "the door",
            _DOOR_S,
        )
        yield ServingStage(on)


@contextlib.contextmanager
def replicas(settings: Settings, on: Cluster) -> Iterator[str]:
    """``python -m everfresh.serving`` alone; yields the door's URL once a version answers.

    ``settings`` are the cluster's, perhaps with another group ``serving``.
    """
    output = settings.home / "driver.out"
    environment = {**on.environment(), **settings_environment(settings)}
    environment["EVERFRESH_SERVING__RESTORE_WAIT_S"] = "0"  # of no stream worker
    with output.open("wb") as file:
        driver = ChildProcess(
            module("everfresh.serving"), stdout=file, stderr=subprocess.STDOUT, env=environment
        )
    try:
        yield _url_once_ready(output)
    finally:
        driver.stop(15.0)


def _url_once_ready(output: Path) -> str:
    """The door's URL, which the driver prints, once a version answers there."""
    announced = "serving on "
    try:
        wait_until(lambda: announced in output.read_text(), "the door", _START_S)
        url = output.read_text().split(announced)[1].split()[0]
        wait_until(lambda: responds("GET", f"{url}/readyz"), "a version", _START_S)
    except TimeoutError as error:
        raise SystemExit(f"{error}; the driver says: {output.read_text()}") from error
    return url


def responds(method: str, url: str) -> bool:
    """Whether the address answers with 200."""
    with contextlib.suppress(httpx.HTTPError):
        return httpx.request(method, url, timeout=10.0).status_code == 200
    return False


def _fold(settings: Settings, users: Mapping[UserId, Sequence[int]]) -> None:
    """Send the histories as events and wait until a reader sees the last of each."""
    topic = topic_name(settings.kafka.topic_prefix, EVENTS)
    with EventProducer(settings.kafka.bootstrap_servers, topic=topic) as events:
        for user, items in users.items():
            for item in items:
                events.send(user_id=user, item_id=item, type="view")
    reader = RocksHistoryReader(settings.state_dir, topic, settings.state.history_length)
    try:
        for user, items in users.items():
            wait_until(partial(_has, reader, user, len(items)), f"user {user}'s history")
    finally:
        reader.close()


def _has(reader: RocksHistoryReader, user: UserId, events: int) -> bool:
    state = reader.read(user)
    return state is not None and state.accepted >= events
