"""What became of the events of a replay, as a real worker and its dead letters say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from everfresh.contracts.event import Event
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.streaming.producer import EventProducer
from everfresh.streaming.replay import settling
from everfresh.streaming.replay.places import EventPlaces
from everfresh.streaming.replay.progress import Outcome
from tests.integration.stream_run import PARTITIONS, Stream, stop

pytestmark = pytest.mark.integration


def events(number: int, action: str = "view") -> list[Event]:
    return [Event(f"{action}{n}", action, 1000 + n, n % 9, n) for n in range(number)]


def replay(stream: Stream, sent: Sequence[Event]) -> Outcome:
    prefix = stream.settings.kafka.topic_prefix
    asking, places = settling.Settling(Brokers(stream.servers), prefix), EventPlaces()
    with EventProducer(stream.servers, stream.topic(EVENTS), on_delivered=places.note) as producer:
        for event in sent:
            producer.send(event)
    places.close()
    assert len(places) == len(sent)
    return asking.run(places, lambda outcome: None, lambda: False)


def test_a_replay_knows_what_became_of_its_events(
    kafka: EmbeddedBroker, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = {"bootstrap_servers": kafka.bootstrap_servers, "partitions": PARTITIONS}
    stream = Stream(make_settings(kafka=servers, windows={"seconds": 0.5, "grace_ms": 100}))
    with stream.worker() as worker:
        monkeypatch.setattr(settling, "_STALL_S", 240.0)
        first = replay(stream, events(200) + events(3, "teleport"))
        assert first == Outcome(203, {"unknown_type": 3}, settled=True)
        # A longer file: what it has in common with the one before is there already.
        assert replay(stream, events(250)) == Outcome(250, {"duplicate_id": 200}, settled=True)
        stop(worker)
    monkeypatch.setattr(settling, "_STALL_S", 0.5)
    assert replay(stream, events(20, "click")) == Outcome(0, {}, settled=False)
