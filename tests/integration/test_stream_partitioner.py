"""Two producers, of which one has librdkafka's own partitioner: no event of a user is left out."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import msgspec
import pytest
from confluent_kafka import Producer

from everfresh.contracts.event import Event, user_key
from everfresh.contracts.partitioning import partition_of
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import DEAD_LETTERS, EVENTS
from everfresh.infra.broker.broker import EmbeddedBroker
from tests.integration.stream_run import PARTITIONS, Stream, stop

pytestmark = pytest.mark.integration
USERS = 20


def test_events_of_another_partitioner_reach_their_users_once(
    kafka: EmbeddedBroker, make_settings: Callable[..., Settings]
) -> None:
    stream = Stream(
        make_settings(
            kafka={"bootstrap_servers": kafka.bootstrap_servers, "partitions": PARTITIONS},
            windows={"seconds": 0.5},
            events={"misplaced": "forward"},
        )
    )
    with stream.worker() as worker:
        stream.wait(applied=0)
        with stream.producer() as ours:
            for user in range(USERS):
                ours.send(user_id=user, item_id=1, type="view")
        theirs = Producer({"bootstrap.servers": stream.servers})
        for user in range(USERS):
            event = Event(f"other-{user}", "view", 1_700_000_000_000, user, 2)
            theirs.produce(stream.topic(EVENTS), msgspec.json.encode(event), user_key(user))
        theirs.flush()
        status = stream.wait(applied=2 * USERS)
        stop(worker)
    log = stream.log()
    misplaced = [r for r in log if partition_of(r.key or b"", PARTITIONS) != r.partition]
    assert len(misplaced) == status.figures["misplaced"] == len(log) - 2 * USERS > 0
    histories = {user: [e.item for e in state.history] for user, state in stream.states().items()}
    assert histories == {user: [1, 2] for user in range(USERS)}
    assert stream.read(DEAD_LETTERS) == []
    shutil.rmtree(stream.settings.state_dir)
    with stream.worker() as worker:
        stream.wait(applied=2 * USERS)
        stop(worker)
    assert stream.log() == log  # what was forwarded is not forwarded once more
    assert len(stream.read(DEAD_LETTERS)) == len(misplaced)
