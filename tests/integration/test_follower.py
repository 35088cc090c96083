"""A follower on another machine's disk: beside a worker, without it, and killed; on real Kafka."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, TopicPartition

from everfresh.adapters.state.snapshots import SnapshotStore
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS
from everfresh.infra.broker.broker import EmbeddedBroker
from tests.integration.follower_machine import Machine, digests, ends
from tests.integration.stream_run import PARTITIONS, WAIT_SECONDS, Stream, send, stop

pytestmark = pytest.mark.integration

LENGTH = 7


def wait_until(what: Callable[[], object], name: str, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while not what():
        assert time.monotonic() < until, name
        assert process.poll() is None, (name, process.communicate())
        time.sleep(0.05)


@pytest.fixture
def here(
    kafka: EmbeddedBroker, make_settings: Callable[..., Settings], tmp_path: Path
) -> Iterator[tuple[Stream, Machine]]:
    """The worker's machine and the follower's; they share no disk but the snapshot store."""
    state = {"history_length": LENGTH, "snapshot_every_s": 0.3}
    groups = {
        "kafka": {"bootstrap_servers": kafka.bootstrap_servers, "partitions": PARTITIONS},
        "windows": {"seconds": 0.5, "grace_ms": 100, "stretch_events": 150},
        "state": state | {"snapshot_url": str(tmp_path / "bucket")},
    }
    worker = Stream(make_settings(**groups))
    machine = Machine(make_settings(home=tmp_path / "there", **groups))
    yield worker, machine
    machine.reader.close()


def snapshots_reach(stream: Stream) -> dict[int, int]:
    reached = {}
    for number in range(PARTITIONS):
        store = SnapshotStore(stream.settings.snapshots_url, stream.topic(EVENTS), number)
        manifests = [manifest for name in store.names() if (manifest := store.manifest(name))]
        reached[number] = max([manifest.applied for manifest in manifests], default=0)
    return reached


def cut(stream: Stream) -> None:
    """What retention does: everything so far goes from the log."""
    places = [TopicPartition(stream.topic(EVENTS), number) for number in range(PARTITIONS)]
    with KafkaAdminClient(bootstrap_servers=stream.servers) as admin:
        admin.delete_records(dict.fromkeys(places, -1))


def test_a_follower_holds_what_the_worker_holds_and_goes_on_when_either_is_killed(
    here: tuple[Stream, Machine],
) -> None:
    stream, there = here
    with stream.producer() as producer:
        with stream.worker() as worker:
            send(producer, 600, seed=1)
            producer.flush()
            stream.wait(applied=600)
            wanted = ends(stream)
            wait_until(lambda: snapshots_reach(stream) == wanted, "snapshots", worker)
        # The worker was killed, and what it read is gone from the log: a snapshot has it.
        cut(stream)
        send(producer, 300, seed=2)
        producer.flush()
        follower = there.follower()
        try:
            wait_until(lambda: there.applied() == ends(stream), "the tail of the log", follower)
            wait_until(lambda: there.coverage.age_ms() is not None, "marks", follower)
            assert there.coverage.missing() == []
            before = there.reader.read(1)
            assert before is not None
            wait_until(lambda: there.said().figures["from_snapshot"] == 2, "status", follower)
            producer.send(user_id=1, item_id=4711, type="click")
            producer.flush()
            wait_until(
                lambda: (now := there.reader.read(1)) and now.history[-1].item == 4711,
                "an event while no worker runs",
                follower,
            )
        finally:
            follower.kill()
            follower.communicate()
        send(producer, 200, seed=3)
        producer.flush()
    again = there.follower()
    wait_until(lambda: there.applied() == ends(stream), "what came while it was dead", again)
    wait_until(lambda: there.said().figures.get("lag") == 0, "status", again)
    assert there.said().figures["from_snapshot"] == 0  # its own disk was enough
    stop(again)
    with stream.worker() as worker:
        wait_until(lambda: snapshots_reach(stream) == ends(stream), "the worker's end", worker)
        stop(worker)
    assert digests(stream) == digests(there)
