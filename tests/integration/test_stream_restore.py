"""A worker that loses its disk: snapshots, retention and metrics, on real Kafka and RocksDB."""

from __future__ import annotations

import shutil
import time
import urllib.request
from collections.abc import Callable

import pytest
from kafka import KafkaAdminClient, TopicPartition

from everfresh.adapters.state.snapshots import SnapshotStore
from everfresh.contracts.report import ComponentStatus
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS
from everfresh.infra.broker.broker import EmbeddedBroker
from tests.integration.stream_run import PARTITIONS, WAIT_SECONDS, Stream, send, stop

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(kafka: EmbeddedBroker, make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(
        kafka={"bootstrap_servers": kafka.bootstrap_servers, "partitions": PARTITIONS},
        windows={"seconds": 0.5, "grace_ms": 100},
        state={"history_length": 7, "snapshot_every_s": 0.3},
    )


def applied_in_snapshots(stream: Stream) -> list[int]:
    """The greatest offset in the snapshots of each partition."""
    greatest = []
    for number in range(PARTITIONS):
        store = SnapshotStore(stream.settings.snapshots_url, stream.topic(EVENTS), number)
        manifests = [manifest for name in store.names() if (manifest := store.manifest(name))]
        greatest.append(max([manifest.applied for manifest in manifests], default=0))
    return greatest


def wait_for_snapshots(stream: Stream) -> None:
    """Until each partition has one that reaches the end of its log as it is now."""
    log = stream.log()
    ends = [max(r.offset for r in log if r.partition == n) + 1 for n in range(PARTITIONS)]
    until = time.monotonic() + WAIT_SECONDS
    while applied_in_snapshots(stream) != ends:
        assert time.monotonic() < until, (applied_in_snapshots(stream), ends)
        time.sleep(0.1)


def wait_for(stream: Stream, **figures: int) -> ComponentStatus:
    """Until the worker says so and has nothing left to read."""
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        said = stream.last_status()
        if said and said.state == "running" and said.figures["partitions"] == PARTITIONS:
            told = {name: said.figures.get(name) for name in figures}
            if told == figures and said.figures["lag"] == 0:
                return said
        time.sleep(0.1)
    raise AssertionError(f"{figures} not reached; the last word was {stream.last_status()}")


def cut(stream: Stream) -> None:
    """What retention does: everything so far goes from the log."""
    places = [TopicPartition(stream.topic(EVENTS), number) for number in range(PARTITIONS)]
    with KafkaAdminClient(bootstrap_servers=stream.servers) as admin:
        admin.delete_records(dict.fromkeys(places, -1))


def scraped(status: ComponentStatus) -> dict[str, float]:
    with urllib.request.urlopen(status.figures["metrics"], timeout=WAIT_SECONDS) as answer:
        lines = answer.read().decode().splitlines()
    return {
        name: float(value)
        for line in lines
        if not line.startswith("#")
        for name, value in [line.rsplit(" ", 1)]
    }


def test_a_lost_state_comes_back_from_a_snapshot_and_the_tail_of_the_log(
    settings: Settings,
) -> None:
    stream = Stream(settings)
    with stream.producer() as producer:
        with stream.worker() as worker:
            send(producer, 600, seed=1)
            producer.flush()
            figures = scraped(stream.wait(applied=600))
            wait_for_snapshots(stream)
            before = stream.wait_tiled()
            stop(worker)
        assert figures["everfresh_worker_applied_events_total"] == 600
        assert figures["everfresh_worker_write_seconds_count"] > 0
        assert figures["everfresh_worker_lag_records"] >= 0
        shutil.rmtree(stream.settings.state_dir)
        send(producer, 300, seed=2)
    with stream.worker() as worker:
        said = wait_for(stream, from_snapshot=PARTITIONS, applied=300)
        metrics = scraped(said)
        runs = stream.wait_tiled()
        stop(worker)
    assert "restoring" not in said.figures
    assert metrics["everfresh_worker_restored_from_snapshot_total"] == PARTITIONS
    assert metrics["everfresh_worker_restore_left_records"] == 0
    stream.check(runs)
    assert [closed for n in before for closed, _ in before[n] if closed.events] == [
        closed
        for n in before
        for closed, _ in runs[n]
        if closed.start < before[n][-1][0].end
        if closed.events
    ]


def test_where_retention_has_cut_the_log_a_snapshot_or_the_operator_decides(
    settings: Settings, make_settings: Callable[..., Settings]
) -> None:
    stream = Stream(settings)
    with stream.producer() as producer:
        with stream.worker() as worker:
            send(producer, 400, seed=3)
            producer.flush()
            wait_for_snapshots(stream)
            stop(worker)
        before = stream.states()
        cut(stream)
        shutil.rmtree(stream.settings.state_dir)
        with stream.worker() as worker:
            wait_for(stream, from_snapshot=PARTITIONS, applied=0)
            stop(worker)
        assert stream.states() == before

        shutil.rmtree(stream.settings.state_dir)
        shutil.rmtree(stream.settings.snapshots_url)
        with stream.worker() as worker:
            _, said = worker.communicate(timeout=WAIT_SECONDS)
        assert worker.returncode == 1
        assert "state.accept_truncated_log" in said
        assert said.count("\n") == 1

        stream.settings = make_settings(
            kafka={"bootstrap_servers": stream.servers, "partitions": PARTITIONS},
            windows={"seconds": 0.5, "grace_ms": 100},
            state={"history_length": 7, "accept_truncated_log": True},
        )
        send(producer, 100, seed=4)
        with stream.worker() as worker:
            status = wait_for(stream, from_log=PARTITIONS, applied=100)
            stop(worker)
    assert status.figures["truncated"] == 400
    assert sum(state.accepted for state in stream.states().values()) == 100
