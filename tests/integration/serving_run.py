"""Serving on a real Ray with its HAProxy, a real broker and RocksDB: what its tests share."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from rocksdict import Options, Rdict

from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.adapters.machine.tcp_ports import accepts_connections, parse_address
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.settings import RaySettings, Settings
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.infra.components import settings_environment
from everfresh.infra.ray_head import RayHead, prepare_head, remove_temporary_folder
from tests.serving.replica_in_memory import PARTITION, state_pairs

USER, HISTORY, OFFSET = "known", [3, 5, 7], 41
LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
TOKEN = "let-me-in"
STOP_SECONDS = 600.0  # the longest that a driver may take; then it is killed, which is a failure


class ServingRun:
    """A Ray of this module's own, a home with one known user, and the driver on them."""

    def __init__(self, ray: RayHead, process: ChildProcess, settings: Settings) -> None:
        self.ray = ray
        self.ray_pid = process.pid
        self.settings = settings
        self.store = FsspecWeightStore(settings.weights_url)
        self.output = settings.home / "driver.out"

    def start(self, **environment: str) -> ChildProcess:
        """``python -m everfresh.serving``, as the supervisor starts it."""
        env = {**os.environ, **self.ray.driver_environment, **settings_environment(self.settings)}
        with self.output.open("wb") as file:
            return ChildProcess(
                [sys.executable, "-m", "everfresh.serving"],
                stdout=file,
                stderr=file,
                env={**env, **environment},
            )

    def url(self) -> str:
        """The door, once the driver has said where it is."""
        line = "serving on "

        def said() -> list[str]:
            return [text for text in self.output.read_text().splitlines() if text.startswith(line)]

        wait_until(lambda: bool(said()), "the door")
        return said()[0].removeprefix(line)

    def grpc_address(self) -> str:
        """The gRPC door, which the driver names before the other."""
        line = "gRPC on "
        said = [text for text in self.output.read_text().splitlines() if text.startswith(line)]
        return said[0].removeprefix(line)

    def processes(self) -> list[psutil.Process]:
        """Ray's processes, Serve's and HAProxy among them."""
        top = psutil.Process(self.ray_pid)
        return [top, *top.children(recursive=True)]

    def settled(self) -> set[psutil.Process]:
        """All of them, once two seconds have changed none: HAProxy is reloaded as replicas join."""
        while True:
            before = set(self.processes())
            time.sleep(2.0)
            if set(self.processes()) == before:
                return before

    def titled(self, text: str) -> list[psutil.Process]:
        """Those with this text in their command line, which Ray's actors rewrite."""
        matching = []
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                if text in " ".join(process.cmdline()):
                    matching.append(process)
        return matching


def wait_until(true: Callable[[], bool], what: str, seconds: float = 600.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.05)


@contextlib.contextmanager
def serving_run(kafka: EmbeddedBroker, home: Path) -> Iterator[ServingRun]:
    """A Ray head, topics and state; serving itself is started by each test."""
    run_id = uuid.uuid4().hex
    ray = prepare_head(run_id, RaySettings())
    settings = Settings(
        home=home,
        kafka={
            "bootstrap_servers": kafka.bootstrap_servers,
            "topic_prefix": f"t{run_id[:8]}.",
            "partitions": 1,
        },
        ray={"address": ray.address},
        # No stream worker is beside it, so that nothing would end the wait for one.
        serving={
            **{"replicas": 2, "poll_ms": 1000, "push_bytes": 0, "admin_token": TOKEN},
            "restore_wait_s": 0,
            # A client on a busy machine may take seconds to send what it asks.
            "timeout_ms": 30_000,
        },
    )
    ensure_topics(Brokers(kafka.bootstrap_servers), settings)
    topic = topic_name(settings.kafka.topic_prefix, EVENTS)
    settings.state_dir.mkdir()
    state = Rdict(str(settings.state_dir / f"{topic}-{PARTITION}"), Options(raw_mode=True))
    for key, value in state_pairs(USER, HISTORY, OFFSET).items():
        state[key] = value
    process = ChildProcess(
        ray.spec.argv,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **ray.spec.env},
    )
    try:
        wait_until(
            lambda: accepts_connections(*parse_address(ray.address, "ray.address")), "Ray's head"
        )
        run = ServingRun(ray, process, settings)
        yield run
        # The last driver's: a thread of it that fails says so there alone.
        assert "Traceback" not in run.output.read_text()
    finally:
        process.stop(5.0)
        remove_temporary_folder(run_id)
        state.close()


def outside(processes: list[psutil.Process]) -> list[tuple[str, int, str]]:
    """Listening sockets of these processes that others than this machine can reach."""
    return [
        (connection.laddr.ip, connection.laddr.port, process.name())
        for process in processes
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.ip not in LOOPBACK
    ]
