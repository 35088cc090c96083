"""``up`` and what an operator does beside it: replay, recommend, status, a kill, down."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import ClassVar

import pytest
from kafka import KafkaProducer

from everfresh.adapters.machine.endpoint_record import endpoint_url
from everfresh.contracts.settings import load_settings
from everfresh.infra.broker.jars import kafka_jars
from everfresh.infra.run.run_record import read_record
from tests.adapters.observe.tracing.collector import Collector, collecting
from tests.adapters.observe.tracing.recorded import traceparent
from tests.integration.command import Command, run

pytestmark = pytest.mark.integration

FAST = {"EVERFRESH_WINDOWS__SECONDS": "1"}

OTHERS = {"LC_ALL": "POSIX", "JAVA_TOOL_OPTIONS": "-XX:+UseG1GC", "RAY_ADDRESS": "ray://nowhere:1"}
"""What a stranger's environment may hold."""


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """A folder with a name and a length that a stranger's may have, and with modules of theirs."""
    folder = tmp_path / "Übung [x] #1"
    folder.mkdir()
    for name in ("kafka", "msgspec"):
        (folder / f"{name}.py").write_text("raise SystemExit('not the library')")
    return folder


class Proxy(StreamRequestHandler):
    """Refuses everything, and keeps what it was asked for."""

    asked: ClassVar[list[str]] = []

    def handle(self) -> None:
        self.asked.append(self.rfile.readline(500).decode(errors="replace").strip())
        self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")


@pytest.fixture
def proxies() -> Iterator[dict[str, str]]:
    """Variables that name a proxy. At the end it has been asked for nothing: neither for this
    machine, nor for any host on the internet."""
    kafka_jars(load_settings().kafka.jars_url, lambda _: None)  # that is not to count
    Proxy.asked.clear()
    with ThreadingTCPServer(("127.0.0.1", 0), Proxy) as server:
        answering = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        answering.start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        yield dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), address)
        server.shutdown()
        answering.join()
    assert Proxy.asked == []


# Its topic is not there, which is to stop nothing else.
SOURCE = {"topic": "shop", "user": "user", "item": "item", "type": "view"}
SOURCES = {"EVERFRESH_SOURCES": json.dumps({"shop": SOURCE})}


T = 1_700_000_000_000


def events(path: Path, number: int, first: int = 0) -> Path:
    with path.open("w") as file:
        for i in range(first, first + number):
            event = {"type": "view", "user_id": i % 50, "item_id": i * 7 % 40, "time": T + i}
            file.write(json.dumps(event) + "\n")
    return path


def assert_offered(home: Path) -> None:
    """All processes of the run offer metrics, where Prometheus looks for them."""
    offered = ""
    for targets in (home / "run" / "metrics").glob("*.json"):
        ((address,),) = [group["targets"] for group in json.loads(targets.read_text())]
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=240) as answer:
            offered += answer.read().decode()
    for pattern in (
        r"^everfresh_worker_applied_events_total [1-9]",
        r"^everfresh_trainer_trained_windows_total [1-9]",
        r"^everfresh_guard_waiting 0",
        r'^everfresh_replica_request_duration_seconds_count\{interface="http",'
        r'outcome="answered",route="recommend"\} [1-9]',
        r'^everfresh_replica_request_problems_total\{problem="no-version-yet"\} [0-9]',
    ):
        assert re.search(pattern, offered, re.MULTILINE), pattern


def assert_shown(greeting: str) -> None:
    """The live page has all parts and a version that went live everywhere."""
    found = re.search(r"live page +(http://127\.0\.0\.1:\d+)/", greeting)
    assert found, greeting
    with urllib.request.urlopen(f"{found[1]}/", timeout=240) as answer:
        assert b"<title>everfresh</title>" in answer.read()
    while True:
        with urllib.request.urlopen(f"{found[1]}/figures.json", timeout=240) as answer:
            now = json.loads(answer.read())
        assert (now["error"], now["stream"]["workers"]) == ("", 1)
        if now["freshness"] and len(now["serving"]["replicas"]) == 2 and now["trainer"]:
            break
        time.sleep(0.5)
    assert now["stream"]["applied"] == 4000
    assert now["serving"]["version"] >= 2
    assert now["freshness"]["total_s"] > 0
    assert now["dead_letters"] == 0


EVENT, ASKED = 0xE1, 0xA1
"""Traces of a producer and of who asks."""


def send_traced(home: Path) -> None:
    """By a producer of somebody else's: one event with the trace that it is sent in."""
    record = read_record(home)
    assert record is not None
    with KafkaProducer(bootstrap_servers=record.bootstrap_servers) as producer:
        value = {"id": "traced", "type": "view", "time": 1, "user_id": 7, "item_id": 3}
        headers = [("traceparent", traceparent(trace=EVENT))]
        producer.send("everfresh.events", json.dumps(value).encode(), b"7", headers=headers)
        producer.flush()


def assert_traced(home: Path, collector: Collector) -> None:
    """The traced event leads to the version that learnt it, and to an answer of that or a later
    one."""
    send_traced(home)
    (folded,) = collector.wait("process everfresh.events")
    assert folded.ids[0] == f"{EVENT:032x}"
    (window,) = folded.links
    while not (learnt := [span for span in collector.named("version") if span.parent == window]):
        time.sleep(0.2)
    (version,) = learnt
    while len([each for each in collector.named("take over") if each.parent == version.ids]) < 2:
        time.sleep(0.2)
    assert window in [span.ids for span in collector.named("window")]
    request = urllib.request.Request(
        f"{endpoint_url(home)}/v1/recommend",
        json.dumps({"user_id": 7}).encode(),
        {"content-type": "application/json", "traceparent": traceparent(trace=ASKED).decode()},
    )
    with urllib.request.urlopen(request, timeout=240) as answered:
        answer = json.loads(answered.read())
    (asked,) = collector.wait("POST /v1/recommend")
    assert asked.ids[0] == f"{ASKED:032x}"
    assert asked.attributes["everfresh.version"] == answer["version"]
    assert set(asked.links) <= {span.ids for span in collector.named("version")}
    assert len(asked.links) == 1


def version_of(said: str) -> int:
    match = re.search(r"weights version (\d+)", said)
    assert match, said
    return int(match[1])


def recommend_with_version(cwd: Path, least: int) -> str:
    """Ask again until a version that high answers; the test's own time limit ends it otherwise."""
    while True:
        code, said = run(cwd, "recommend", "7")
        if code == 0 and version_of(said) >= least:
            return said
        time.sleep(0.5)


def assert_the_loop_obeys(cwd: Path, version: int) -> None:
    """It rolls back to that version, and starts an experiment."""
    code, said = run(cwd, "rollback", str(version))
    assert code == 0, said
    assert f"version {version} is the current one, epoch 2" in said
    assert "live on 2 of 2 replicas" in said
    code, said = run(cwd, "experiment", "start", "green", "--coverage", "0.5")
    assert code == 0, said
    assert "green runs: control 0.5, treatment 0.5, for 50 % (definition version 0)" in said
    assert "followed by 2 of 2 replicas" in said


@pytest.fixture
def collector() -> Iterator[tuple[Collector, dict[str, str]]]:
    """Where the loop's traces go, and the variables that say so."""
    with collecting() as (collector, url):
        yield (
            collector,
            {
                "EVERFRESH_TRACING__ENABLED": "true",
                "OTEL_EXPORTER_OTLP_ENDPOINT": url,
                "OTEL_BSP_SCHEDULE_DELAY": "200",
            },
        )


def status_once(folder: Path, shown: str) -> str:
    """What the command says once it shows this; the test's own limit ends it otherwise."""
    said = ""
    while not re.search(shown, said):
        code, said = run(folder, "status")
        assert code == 0, said
    return said


def test_a_loop_that_is_up(
    tmp_path: Path, proxies: dict[str, str], collector: tuple[Collector, dict[str, str]]
) -> None:
    file = events(tmp_path / "events.jsonl", 4000)
    with Command(
        tmp_path, "up", **FAST, **OTHERS, **SOURCES, **proxies, **collector[1], TMPDIR=str(tmp_path)
    ) as up:
        up.wait_for("The loop is up")

        code, said = run(tmp_path, "recommend", "7")
        assert code == 1
        assert said.startswith("error: the recommender answered 503")

        code, said = run(tmp_path, "replay", str(file), "--format", "jsonl", "--speed", "800")
        assert code == 0, said
        assert re.search(r"4,000 events are in the log; .*\n4,000 of them were accepted", said)
        answer = recommend_with_version(tmp_path, 2)
        assert "source model" in answer
        assert re.search(r"up to offset \d+ of partition \d", answer)

        said = status_once(tmp_path, r"bridge-shop +.?.? *waiting")
        for words in ("worker-0", "trainer", "replica", "events: 4,000 records", "freshness"):
            assert words in said
        assert re.search(r"metrics http://127\.0\.0\.1:\d+/metrics", said)

        assert_offered(tmp_path / ".everfresh")
        assert_shown(up.said())

        code, said = run(tmp_path, "state", "7", "--last", "3")
        assert code == 0, said
        assert "user 7: 80 events accepted, the newest 3 shown" in said
        assert "reaches the log's end" in said
        code, said = run(tmp_path, "dlq", "list")
        assert (code, said) == (0, "no dead letters\n")

        code, said = run(tmp_path, "up")
        assert code == 1
        assert "is up already" in said

        record = read_record(tmp_path / ".everfresh")
        assert record is not None
        os.kill(record.components["worker"].pid, signal.SIGKILL)
        up.wait_for("worker was ended by SIGKILL; it is started again")
        up.wait_for("worker was started again")
        version = version_of(recommend_with_version(tmp_path, 2))
        more = events(tmp_path / "more.jsonl", 4000, first=4000)  # the same again are duplicates
        code, said = run(tmp_path, "replay", str(more), "--format", "jsonl", "--speed", "2000")
        assert code == 0, said
        version = version_of(recommend_with_version(tmp_path, version + 1))
        assert_traced(tmp_path / ".everfresh", collector[0])

        assert_the_loop_obeys(tmp_path, version - 1)

        code, said = run(tmp_path, "down")
        assert code == 0, said
        assert "has stopped" in said
        assert up.finish() == 0, up.said()
        assert up.left() == []
    home = tmp_path / ".everfresh"
    assert read_record(home) is None
    everything = [home, *home.rglob("*")]
    assert {path.name for path in home.iterdir()} >= {"kafka", "logs", "run", "state", "weights"}
    assert [path for path in everything if path.lstat().st_mode & 0o077] == []
