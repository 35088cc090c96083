"""A real serving stage for benchmarks: Kafka, the stream worker, Ray with HAProxy, replicas.

There is no trainer on it: who uses the stage publishes the versions.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.adapters.machine.endpoint_record import endpoint_answers, endpoint_url
from everfresh.adapters.machine.tcp_ports import accepts_connections, parse_address
from everfresh.adapters.state.reader import RocksHistoryReader
from everfresh.contracts.event import UserId
from everfresh.contracts.settings import RaySettings, Settings
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.infra.components import settings_environment
from everfresh.infra.ray_head import RayHead, prepare_head, remove_temporary_folder
from everfresh.streaming.producer import EventProducer


class Stage:
    """What is up, and where."""

    def __init__(self, settings: Settings, ray: RayHead, ray_pid: int) -> None:
        self.settings = settings
        self.ray = ray
        self._ray_pid = ray_pid

    @property
    def url(self) -> str:
        """The HTTP door."""
        url = endpoint_url(self.settings.home)
        assert url is not None, "the stage is up"
        return url

    def replicas(self) -> list[psutil.Process]:
        """The replica processes."""
        found = []
        for one in psutil.Process(self._ray_pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if "ServeReplica" in " ".join(one.cmdline()):
                    found.append(one)
        return found

    def environment(self) -> dict[str, str]:
        """For processes of ours on this stage."""
        return {**os.environ, **self.ray.driver_environment, **settings_environment(self.settings)}


@contextlib.contextmanager
def stage(home: Path, users: Mapping[UserId, Sequence[int]], **groups: Any) -> Iterator[Stage]:
    """Everything up with these users' histories folded, and down again afterwards.

    ``groups`` are groups of settings, such as ``serving={"replicas": 2}``.
    """
    run_id = uuid.uuid4().hex
    with contextlib.ExitStack() as up:
        broker = up.enter_context(EmbeddedBroker(home / "kafka"))
        ray = prepare_head(run_id, RaySettings())
        up.callback(remove_temporary_folder, run_id)
        settings = Settings(
            home=home,
            kafka={"bootstrap_servers": broker.bootstrap_servers, "partitions": 2},
            ray={"address": ray.address},
            **groups,
        )
        ensure_topics(broker.bootstrap_servers, settings)
        made = up.enter_context(_running(ray.spec.argv, {**os.environ, **ray.spec.env}, home))
        until(lambda: accepts_connections(*parse_address(ray.address, "ray.address")), "Ray's head")
        found = Stage(settings, ray, made.pid)
        for module in ("everfresh.streaming", "everfresh.serving"):
            argv = [sys.executable, "-m", module]
            up.enter_context(_running(argv, found.environment(), home))
        _fold(settings, users)
        until(
            lambda: endpoint_answers(endpoint_url(home) or "http://127.0.0.1:1"), "the door", 300.0
        )
        yield found


def made_histories(users: int, length: int, items: int) -> dict[UserId, list[int]]:
    """``users`` users with ``length`` items each, drawn from 1 to ``items``; always the same."""
    chance = random.Random(5)
    return {user: [chance.randint(1, items) for _ in range(length)] for user in range(users)}


def until(true: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait; ``TimeoutError`` that names what for."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.05)


@contextlib.contextmanager
def _running(argv: Sequence[str], env: Mapping[str, str], home: Path) -> Iterator[ChildProcess]:
    with (home / f"{argv[2]}.log").open("wb") as said:
        process = ChildProcess(argv, stdout=subprocess.DEVNULL, stderr=said, env=env)
    try:
        yield process
    finally:
        process.stop(10.0)


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
            until(partial(_has, reader, user, len(items)), f"user {user}'s history")
    finally:
        reader.close()


def _has(reader: RocksHistoryReader, user: UserId, events: int) -> bool:
    state = reader.read(user)
    return state is not None and state.accepted >= events
