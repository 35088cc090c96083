"""Exposures and feedback on real Kafka become outcomes, whatever comes first and whatever dies."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from kafka.partitioner import murmur2

from everfresh.adapters.kafka.exposure_sink import KafkaExposureSink
from everfresh.contracts.event import Event, UserId, user_key
from everfresh.contracts.exposure import Exposure, decode_exposure
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.outcome import Outcome, decode_outcome
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import DEAD_LETTERS, EVENTS, EXPOSURES, OUTCOMES
from everfresh.infra.broker.broker import EmbeddedBroker
from tests.integration.stream_run import PARTITIONS, WAIT_SECONDS, Stream, stop
from tests.streaming.expected_joins import Entry, expected_outcomes

pytestmark = pytest.mark.integration

HORIZON_S = 4.0  # much longer than what comes between; if not, the logs say so too
USERS: list[UserId] = [*range(12), *(f"user-{number}" for number in range(12))]


@pytest.fixture
def stream(kafka: EmbeddedBroker, make_settings: Callable[..., Settings]) -> Stream:
    return Stream(
        make_settings(
            kafka={"bootstrap_servers": kafka.bootstrap_servers, "partitions": PARTITIONS},
            windows={"seconds": 0.5, "grace_ms": 100},
            joins={"horizon_s": HORIZON_S},
        )
    )


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def expose(stream: Stream, requests: list[tuple[str, UserId]]) -> None:
    sink = KafkaExposureSink(Brokers(stream.servers), stream.settings.kafka.topic_prefix)
    for request, user in requests:
        arm = "even" if len(request) % 2 == 0 else "odd"
        sink.send(Exposure(request, user, 5, arm, 3, 1, "model", ["a", "b"], [0.5, 0.1], 0, 9))
    assert sink.flush()
    sink.close()


def answer(stream: Stream, requests: list[tuple[str, UserId]], item: str) -> None:
    with stream.producer() as producer:
        for request, user in requests:
            producer.send(user_id=user, item_id=item, type="click", request_id=request)


def entry(record: Any, made: Exposure | Event) -> Entry:
    return Entry(record.offset, record.timestamp, (made.user_id, made.request_id))


def expected(stream: Stream) -> dict[str, list[int]]:
    """Offsets of the feedback by outcome id, as the two logs say."""
    feedback_offsets: dict[str, list[int]] = {}
    logs: list[tuple[list[Any], Callable[[bytes], Any]]] = [
        (stream.read(EXPOSURES), decode_exposure),
        (stream.read(EVENTS), msgspec.json.Decoder(Event).decode),
    ]
    for number in range(PARTITIONS):
        shown, heard = (
            [entry(record, decode(record.value)) for record in log if record.partition == number]
            for log, decode in logs
        )
        here, _ = expected_outcomes(shown, heard, round(HORIZON_S * 1000))
        feedback_offsets |= {f"{number}-{offset}": answers for offset, answers in here.items()}
    return feedback_offsets


def outcomes(stream: Stream) -> dict[str, Outcome]:
    """By id, of which a repeat must be the same; once there are as many as the logs say."""
    wanted, until = len(expected(stream)), time.monotonic() + WAIT_SECONDS
    by_id: dict[str, Outcome] = {}
    while time.monotonic() < until and len(by_id) < wanted:
        time.sleep(0.2)
        for record in stream.read(OUTCOMES):
            outcome = decode_outcome(record.value)
            assert by_id.setdefault(outcome.id, outcome) == outcome
            assert record.key == outcome.id.encode()
            assert record.partition == int(outcome.id.partition("-")[0])
    return by_id


def heard(stream: Stream, since_ms: int, **figures: int) -> dict[str, Any]:
    """What a worker started since then says, once its figures have come so far."""
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        status = stream.last_status()
        if status is not None and status.time >= since_ms:
            said = status.figures
            if all(said[name] >= number for name, number in figures.items()):
                return said
        time.sleep(0.1)
    raise AssertionError(f"{figures} was not reached; the last word was {status}")


def test_exposures_and_feedback_of_a_user_meet_in_one_partition(stream: Stream) -> None:
    requests = [(f"r{number}", user) for number, user in enumerate(USERS)]
    expose(stream, requests)
    answer(stream, requests, "a")
    places = {
        spec.name: {record.key: record.partition for record in stream.read(spec)}
        for spec in (EVENTS, EXPOSURES)
    }
    owners = {user_key(user): (murmur2(user_key(user)) & 0x7FFFFFFF) % PARTITIONS for user in USERS}
    assert places[EVENTS.name] == places[EXPOSURES.name] == owners
    assert set(owners.values()) == set(range(PARTITIONS))


def test_outcomes_follow_from_the_two_logs_over_restarts_and_kill_9(stream: Stream) -> None:
    first, second, third = (
        [(f"{kind}{number}", user) for number, user in enumerate(USERS)]
        for kind in ("first", "second", "third")
    )
    with stream.worker():  # killed at the end of this block
        heard(stream, 0, partitions=PARTITIONS)
        answer(stream, first, "b")  # before its exposure
        expose(stream, second)
        heard(stream, 0, applied=len(first), exposures=len(second))
    expose(stream, first)
    answer(stream, second, "a")
    answer(stream, second, "elsewhere")
    began = now_ms()
    with stream.worker() as worker:
        heard(stream, began, applied=2 * len(second), exposures=len(first))
        stop(worker)
    expose(stream, [*third, third[0]])
    answer(stream, [("never shown", 1)], "a")
    began = now_ms()
    with stream.worker() as worker:
        joined = outcomes(stream)
        said = heard(stream, began, unmatched=1)
        stop(worker)
    assert {
        name: [feedback.offset for feedback in outcome.feedback] for name, outcome in joined.items()
    } == expected(stream)
    assert said["rejected_repeated_request"] == 1
    (letter,) = stream.read(DEAD_LETTERS)
    assert dict(letter.headers)["dead_topic"].decode() == stream.topic(EXPOSURES)
    positions = {
        (feedback.item_id, feedback.position)
        for outcome in joined.values()
        for feedback in outcome.feedback
    }
    assert positions == {("a", 0), ("b", 1), ("elsewhere", None)}
