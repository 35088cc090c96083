"""The producer client on real Kafka."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer

from everfresh.contracts.errors import DeliveryError, EventRejected, Unreachable
from everfresh.contracts.event import Event
from everfresh.contracts.event_codec import EventDecoder
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.streaming.producer import EventProducer

pytestmark = pytest.mark.integration

Topic = Callable[..., str]


@pytest.fixture
def topic(kafka: EmbeddedBroker, topic_prefix: str) -> Iterator[Topic]:
    with KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers) as admin:

        def make(**configs: str) -> str:
            name = f"{topic_prefix}events"
            admin.create_topics(
                {name: {"num_partitions": 3, "replication_factor": 1, "configs": configs}}
            )
            return name

        yield make


def read(kafka: EmbeddedBroker, topic: str, number: int) -> list[Any]:
    with KafkaConsumer(
        topic,
        bootstrap_servers=kafka.bootstrap_servers,
        auto_offset_reset="earliest",
        consumer_timeout_ms=60_000,
    ) as consumer:
        records = []
        for record in consumer:
            records.append(record)
            if len(records) == number:
                break
        return records


def test_leaving_the_context_delivers_everything_in_order_per_user(
    kafka: EmbeddedBroker, topic: Topic
) -> None:
    name = topic()
    with EventProducer(kafka.bootstrap_servers, name) as producer:
        sent = [
            producer.send(user_id=number % 7, item_id=f"i{number}", type="view", value=0.5)
            for number in range(300)
        ]
    records = read(kafka, name, 300)
    decoder = EventDecoder(["view"], 65_536)
    got = [decoder.decode(r.key, r.value, r.headers) for r in records]
    assert len({event.id for event in got}) == 300
    for user in range(7):
        mine = [(r.partition, e) for r, e in zip(records, got, strict=True) if e.user_id == user]
        assert [event for _, event in mine] == [event for event in sent if event.user_id == user]
        assert len({partition for partition, _ in mine}) == 1


def test_records_carry_the_cloudevents_headers(kafka: EmbeddedBroker, topic: Topic) -> None:
    name = topic()
    event = Event("id-1", "like", 1_700_000_000_123, "anna", 5)
    with EventProducer(kafka.bootstrap_servers, name) as producer:
        assert producer.send(event) is event
    (record,) = read(kafka, name, 1)
    assert record.key == b"anna"
    assert dict(record.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"id-1",
        "ce_type": b"like",
        "ce_source": b"everfresh/producer",
        "ce_time": b"2023-11-14T22:13:20.123Z",
        "content-type": b"application/json",
    }


def test_what_the_worker_would_refuse_is_refused_before_it_is_sent(
    kafka: EmbeddedBroker, topic: Topic
) -> None:
    faults: list[tuple[str, dict[str, Any]]] = [
        ("bad_value", {"value": math.nan}),
        ("bad_value", {"value": math.inf}),
        ("bad_user_id", {"user_id": ""}),
        ("bad_user_id", {"user_id": 2**70}),
        ("bad_item_id", {"item_id": 1.5}),
        ("unknown_type", {"type": "teleport"}),
        ("bad_time", {"time": -5}),
        ("oversize", {"attributes": {"text": "x" * 70_000}}),
        ("wrong_field", {"attributes": {"thing": object()}}),
        ("bad_item_id", {"item_id": "\ud800"}),
    ]
    good: dict[str, Any] = {"user_id": 1, "item_id": 1, "type": "view"}
    with EventProducer(kafka.bootstrap_servers, topic(), actions=["view"]) as producer:
        for reason, fault in faults:
            with pytest.raises(EventRejected) as caught:
                producer.send(**{**good, **fault})
            assert caught.value.reason == reason, fault
        with pytest.raises(EventRejected, match="item_id"):
            producer.send(user_id=1, type="view")  # type: ignore[call-arg] # the point of it


def test_events_that_fail_to_arrive_are_told_with_number_and_cause(
    kafka: EmbeddedBroker, topic: Topic
) -> None:
    name = topic(**{"max.message.bytes": "1000"})
    producer = EventProducer(kafka.bootstrap_servers, name, linger_ms=0)
    long = {"text": "x" * 5000}
    producer.send(user_id=1, item_id=1, type="view", attributes=long)
    with pytest.raises(DeliveryError, match=r"1 events did not reach .*MessageSizeTooLarge"):
        producer.flush()
    producer.send(user_id=1, item_id=2, type="view")  # told once, then usable again
    producer.flush()
    producer.send(user_id=1, item_id=1, type="view", attributes=long)
    with pytest.raises(DeliveryError, match="send them again"):
        producer.close()
    assert len(read(kafka, name, 1)) == 1


def test_leaving_the_context_raises_for_lost_events_but_hides_no_other_error(
    kafka: EmbeddedBroker, topic: Topic
) -> None:
    name = topic(**{"max.message.bytes": "1000"})
    long = {"text": "x" * 5000}
    with (
        pytest.raises(DeliveryError, match="did not reach"),
        EventProducer(kafka.bootstrap_servers, name) as producer,
    ):
        producer.send(user_id=1, item_id=1, type="view", attributes=long)

    def interrupted() -> None:
        with EventProducer(kafka.bootstrap_servers, name) as producer:
            producer.send(user_id=1, item_id=1, type="view", attributes=long)
            raise KeyError("first")

    with pytest.raises(KeyError) as caught:
        interrupted()
    assert "did not reach" in caught.value.__notes__[0]


def test_a_closed_producer_takes_nothing(kafka: EmbeddedBroker, topic: Topic) -> None:
    producer = EventProducer(kafka.bootstrap_servers, topic())
    producer.close()
    producer.close()
    with pytest.raises(DeliveryError, match="closed"):
        producer.send(user_id=1, item_id=1, type="view")


def test_an_unreachable_broker_is_named() -> None:
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        EventProducer("127.0.0.1:1")


FORKED = """
import os, sys, threading
from everfresh import EventProducer

producer = EventProducer(sys.argv[1], sys.argv[2], linger_ms=10_000)
producer.send(user_id="parent", item_id=1, type="view")
producer._lock.acquire()  # as another thread may hold it at the moment of the fork
children = []
for number in range(2):
    child = os.fork()
    if child == 0:
        producer.send(user_id=f"child-{number}", item_id=2, type="view")
        producer.flush(60)
        if number:
            producer.close()
        sys.exit()  # and what is done as an interpreter ends
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
producer._lock.release()
producer.send(user_id="parent", item_id=3, type="view")
producer.close()
sys.exit(codes != [0, 0])
"""


def test_a_producer_made_before_a_fork_works_in_parent_and_children(
    kafka: EmbeddedBroker, topic: Topic
) -> None:
    name = topic()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED, kafka.bootstrap_servers, name],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert (done.returncode, done.stderr) == (0, "")
    decode = EventDecoder(["view"], 65_536).decode
    events = [decode(r.key, r.value, r.headers) for r in read(kafka, name, 4)]
    assert sorted((e.user_id, e.item_id) for e in events) == [
        ("child-0", 2),
        ("child-1", 2),
        ("parent", 1),
        ("parent", 3),
    ]
    assert len({event.id for event in events}) == 4
