"""``up`` on a Kafka and a Ray that somebody else runs, at an address that is not loopback."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import httpx
import psutil
import pytest

from everfresh import EventProducer
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.adapters.machine.endpoint_record import endpoint_url
from everfresh.adapters.machine.tcp_ports import accepts_connections, free_ports
from everfresh.infra import ray_start_hook
from everfresh.infra.broker import broker, data_folder
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.infra.run.run_record import read_record
from tests.adapters.observe.tracing.collector import Collector, collecting
from tests.integration.command import ROOT, Command
from tests.integration.network_namespace import network_namespace
from tests.integration.serving_run import outside, wait_until

pytestmark = pytest.mark.integration

RAY = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
RAYS_OWN_PORTS = range(10_002, 20_000)  # Ray's default for its workers; it offers them everywhere
STORE_PORT = 9000


class Node:
    """A node of a Ray cluster, started by hand."""

    def __init__(self, folder: Path, log: Path, address: str, *options: str) -> None:
        self._log = log
        binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        with log.open("wb") as file:
            self._process = ChildProcess(
                [*RAY, f"--node-ip-address={address}", *options, "--object-store-memory=80000000"],
                stdout=file,
                stderr=file,
                env={
                    **os.environ,
                    "PATH": binaries,
                    "PYTHONPATH": str(ROOT),
                    "TMPDIR": str(folder),
                    # Its default is 15: beside a load, Ray's processes would hardly ever run.
                    "RAY_worker_niceness": "0",
                    "RAY_prestart_worker_first_driver": "0",
                    # Ray gives a node 30 s to start; a busy machine takes longer.
                    "RAY_START_HOOK": ray_start_hook.NAME,
                },
            )

    def await_ready(self) -> None:
        wait_until(lambda: "Ray runtime started" in self._log.read_text(), "Ray's node")

    def titled(self, text: str) -> dict[int, psutil.Process]:
        """Its processes with this text in their command line, by process id."""
        found = {}
        for process in psutil.Process(self._process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if text in " ".join(process.cmdline()):
                    found[process.pid] = process
        return found

    def kill(self) -> None:
        top = psutil.Process(self._process.pid)
        for process in [*top.children(recursive=True), top]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.stop(5.0)


class Clusters:
    """Kafka, and a Ray of two nodes, of which the second has most room."""

    def __init__(self, folder: Path, kafka: EmbeddedBroker, address: str) -> None:
        self.kafka = kafka
        self._sockets = Path(tempfile.mkdtemp(prefix="ef-", dir="/tmp"))
        [port] = free_ports(1, address)
        self.ray_address = f"{address}:{port}"
        head = ["--head", f"--port={port}", "--num-cpus=2", "--include-dashboard=false"]
        head.append(f"--temp-dir={self._sockets / 'ray'}")
        self.head = Node(self._sockets, folder / "head.out", address, *head)
        self.head.await_ready()
        self._folder = folder
        self.other = self.node("10.77.0.2")

    def node(self, address: str) -> Node:
        """A further node, whose label says that it is for training."""
        more = [f"--address={self.ray_address}", "--num-cpus=3", "--labels=pool=training"]
        more.append(f"--dashboard-agent-listen-port={free_ports(1, address)[0]}")
        return Node(self._sockets, self._folder / f"{address}.out", address, *more)

    def up(self, home: Path, **settings: str) -> Command:
        home.mkdir()
        servers = ("--bootstrap-servers", self.kafka.bootstrap_servers)
        return Command(home, "up", *servers, "--ray-address", self.ray_address, **settings)

    def close(self) -> None:
        self.other.kill()
        self.head.kill()
        shutil.rmtree(self._sockets, ignore_errors=True)


@pytest.fixture
def clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clusters]:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    for name, value in (
        ("ENDPOINT_URL", f"http://10.77.0.1:{STORE_PORT}"),
        ("ACCESS_KEY_ID", "test"),
        ("SECRET_ACCESS_KEY", "test"),
        ("DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(f"AWS_{name}", value)
    with network_namespace() as address:
        listeners = data_folder._PROPERTIES.replace(
            "PLAINTEXT://127.0.0.1", f"PLAINTEXT://{address}"
        )
        monkeypatch.setattr(data_folder, "_PROPERTIES", listeners)
        monkeypatch.setattr(broker, "_HOST", address)
        with EmbeddedBroker(tmp_path / "kafka", heap_mb=256) as kafka:
            made = Clusters(tmp_path, kafka, address)
            try:
                yield made
            finally:
                made.close()


class Asker:
    """Sends events and asks for recommendations until what is wanted is seen."""

    def __init__(self, servers: str, home: Path) -> None:
        self._servers = servers
        self._home = home / ".everfresh"
        self._sent = 0

    def send(self, number: int) -> None:
        with EventProducer(self._servers) as events:
            for at in range(self._sent, self._sent + number):
                events.send(type="view", user_id=at % 50, item_id=at * 7 % 40)
        self._sent += number

    def await_version(self, least: int) -> int:
        """Events and questions until an answer is of that version or a later one."""
        while True:
            self.send(100)
            response = self.ask()
            if response.status_code == 200 and response.json()["version"] >= least:
                return int(response.json()["version"])
            time.sleep(0.3)

    def ask(self) -> httpx.Response:
        url = endpoint_url(self._home)
        return httpx.post(f"{url}/v1/recommend", json={"user_id": 7, "k": 3}, timeout=240)

    def await_replicas(self, number: int, besides: frozenset[str] = frozenset()) -> frozenset[str]:
        """The names of so many replicas that have answered, none of them in ``besides``."""
        seen: set[str] = set()
        while len(seen) < number:
            response = self.ask()
            if response.status_code == 200:
                seen |= {response.headers["x-everfresh-replica"]} - besides
        return frozenset(seen)


def kill(home: Path, name: str) -> None:
    record = read_record(home / ".everfresh")
    assert record is not None
    os.kill(record.components[name].pid, signal.SIGKILL)


def traced(url: str) -> dict[str, str]:
    """Variables of `up` alone: who started Ray knows nothing of them."""
    return {
        "EVERFRESH_TRACING__ENABLED": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20s3cret",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }


def assert_traces_of_the_joined_ray(collector: Collector) -> None:
    """What trainer and replicas do there is told, by the login of `up`."""
    wait_until(lambda: bool(collector.named("version")), "a span of the trainer")
    wait_until(lambda: len(collector.named("take over")) >= 2, "one of each replica")
    services = {each.name: each.service for each in collector.spans}
    assert services["version"] == "everfresh-trainer"
    assert services["take over"] == "everfresh-replica"
    sent = [{name.lower(): value for name, value in each.items()} for each in collector.headers]
    assert {each.get("authorization") for each in sent} == {"Bearer s3cret"}


def test_what_dies_is_started_again_and_another_loop_beside_it_is_refused(
    clusters: Clusters, tmp_path: Path
) -> None:
    first = tmp_path / "first"
    fast = {"EVERFRESH_WINDOWS__SECONDS": "1", "EVERFRESH_SERVING__HOST": "10.77.0.1"}
    asker = Asker(clusters.kafka.bootstrap_servers, first)
    with collecting() as (collector, url), clusters.up(first, **fast, **traced(url)) as up:
        up.wait_for("The loop is up")
        version = asker.await_version(1)
        assert_traces_of_the_joined_ray(collector)
        replicas = clusters.head.titled("ServeReplica")
        assert len(replicas) == 2
        assert len(clusters.head.titled("TrainerActor")) == 1
        clusters.other.await_ready()
        assert not clusters.other.titled("ServeReplica")

        # HAProxy is seen where the operator wants it, and what is behind it is not.
        doors = outside(list(clusters.head.titled("haproxy").values()))
        assert {address for address, _, _ in doors} == {"10.77.0.1"}
        assert len({port for _, port, _ in doors}) == 2
        behind = [*replicas.values(), *clusters.head.titled("ProxyActor").values()]
        assert {port for _, port, _ in outside(behind)} <= set(RAYS_OWN_PORTS)

        known = asker.await_replicas(2)
        for name in ("worker", "trainer"):
            kill(first, name)
        next(iter(replicas.values())).kill()
        with clusters.up(tmp_path / "second", EVERFRESH_KAFKA__TOPIC_PREFIX="two.") as second:
            for name in ("worker", "trainer"):
                up.wait_for(f"{name} was started again")
            assert second.finish() == 1
            said = second.said().splitlines()
            error = [line for line in said if line.startswith("error: ")]
        assert len(error) == 1, said
        assert f"already, that of home {first.resolve() / '.everfresh'}" in error[0], error

        asker.await_replicas(1, besides=known)
        asker.await_version(version + 1)
        assert len(set(clusters.head.titled("ServeReplica")) & set(replicas)) == 1
        up.signal(signal.SIGTERM)
        assert up.finish() == 0, up.said()
        assert not clusters.head.titled("Serve"), "nothing of it stays in the Ray of others"


@contextlib.contextmanager
def object_store(address: str) -> Iterator[None]:
    """A server that speaks S3, with one bucket, where all nodes know it to be."""
    server = ChildProcess(
        [sys.executable, "-m", "moto.server", "-H", address, "-p", str(STORE_PORT)]
    )
    try:
        wait_until(lambda: accepts_connections(address, STORE_PORT), "the object store")
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir("bucket")
        yield
    finally:
        server.stop(1.0)


def test_a_node_that_leaves_takes_the_trainer_along_and_another_goes_on(
    clusters: Clusters, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    settings = {
        "EVERFRESH_WINDOWS__SECONDS": "1",
        "EVERFRESH_WEIGHTS__URL": "s3://bucket/weights",
        "EVERFRESH_TRAINER__NODE_LABELS": '["pool=training"]',
        "EVERFRESH_SERVING__REPLICAS": "1",
    }
    asker = Asker(clusters.kafka.bootstrap_servers, home)
    with object_store("10.77.0.1"):
        clusters.other.await_ready()
        with clusters.up(home, **settings) as up:
            up.wait_for("The loop is up")
            asker.await_version(1)
            assert len(clusters.other.titled("TrainerActor")) == 1
            assert not clusters.head.titled("TrainerActor")
            clusters.other.kill()
            assert asker.ask().status_code == 200
            clusters.other = clusters.node("10.77.0.3")
            # Meanwhile one more version may have come from the node that left.
            wait_until(lambda: bool(clusters.other.titled("TrainerActor")), "a trainer there")
            asker.await_version(asker.await_version(1) + 2)
            up.signal(signal.SIGTERM)
            assert up.finish() == 0, up.said()
