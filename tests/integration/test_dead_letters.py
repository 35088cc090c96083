"""``everfresh dlq`` on a real broker: what is listed, and what goes back, once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from everfresh.adapters.kafka import redrive as module
from everfresh.adapters.kafka.dead_letters import Selection
from everfresh.adapters.kafka.redrive import Redriver
from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.contracts.dead_letter import REDRIVEN_BY, REDRIVEN_FROM
from everfresh.contracts.errors import DeliveryError, EventRejected, RunError
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import DEAD_LETTERS, EVENTS, REDRIVES, STATUS, topic_name
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.infra.cli.commands.dlq_list import run_list, run_show, selection
from everfresh.infra.cli.commands.dlq_redrive import _alone, run_redrive
from everfresh.streaming.outbox.dead_letters import dead_letter
from tests.streaming.sample_log import LogRecord

pytestmark = pytest.mark.integration
EVERY = Selection()


class Letters:
    """A dead-letter topic, filled as the worker fills it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.servers = settings.kafka.bootstrap_servers
        self.events = topic_name(settings.kafka.topic_prefix, EVENTS)
        ensure_topics(Brokers(self.servers), settings)

    def topic(self, spec: Any) -> str:
        return topic_name(self.settings.kafka.topic_prefix, spec)

    def write(self, *letters: tuple[int, int, str, bytes | None, bytes | None]) -> None:
        """Partition, offset, reason, key, value; appended a second after each other."""
        with KafkaProducer(bootstrap_servers=self.servers) as producer:
            for partition, offset, reason, key, value in letters:
                record = LogRecord(
                    offset,
                    1_700_000_000_000 + 1000 * offset,
                    key,
                    value,
                    [("ce_id", b"e%d" % offset)],
                    self.events,
                    partition,
                )
                row = dead_letter(record, EventRejected(reason, f"why {reason}"))
                producer.send(
                    self.topic(DEAD_LETTERS), row.value, key=row.key, headers=row.headers
                ).get(timeout=240)

    def came_back(self) -> list[tuple[int, bytes | None, bytes | None, dict[str, bytes]]]:
        """Partition, key, value and headers of what stands on the events topic."""
        with KafkaConsumer(
            bootstrap_servers=self.servers, auto_offset_reset="earliest", enable_auto_commit=False
        ) as consumer:
            numbers = consumer.partitions_for_topic(self.events)
            parts = [TopicPartition(self.events, number) for number in numbers]
            consumer.assign(parts)
            ends = consumer.end_offsets(parts)
            sent_back = []
            while any(consumer.position(part) < ends[part] for part in parts):
                for records in consumer.poll(timeout_ms=500).values():
                    sent_back += [(r.partition, r.key, r.value, dict(r.headers)) for r in records]
        return sorted(sent_back, key=lambda record: record[3][REDRIVEN_FROM])

    def redrive(self, chosen: Selection = EVERY, *, again: bool = False, act: bool = True) -> None:
        run_redrive(self.settings, chosen, again=again, act=act)


@pytest.fixture
def letters(kafka: EmbeddedBroker, make_settings: Callable[..., Settings]) -> Letters:
    servers = kafka.bootstrap_servers
    return Letters(make_settings(kafka={"bootstrap_servers": servers, "partitions": 2}))


THREE: list[tuple[int, int, str, bytes | None, bytes | None]] = [
    (0, 3, "wrong_partition", b"7", b"\xff\x00 oops"),
    (1, 5, "unknown_type", b"8", b'{"type":"teleport"}'),
    (0, 9, "keyless", None, b"{}"),
]


def test_letters_are_listed_newest_first_and_by_filter(
    letters: Letters, capsys: pytest.CaptureFixture[str]
) -> None:
    run_list(letters.settings, EVERY, 20, oldest=False, as_json=False)
    assert "no dead letters" in capsys.readouterr().out
    letters.write(*THREE)
    letters.write(*THREE[:2])  # delivered again after a crash

    def listed(chosen: Selection, limit: int = 20, *, oldest: bool = False) -> list[Any]:
        run_list(letters.settings, chosen, limit, oldest=oldest, as_json=True)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    rows = listed(EVERY)
    assert [row["reason"] for row in rows] == ["keyless", "unknown_type", "wrong_partition"]
    assert rows[1] == {
        "place": "0:1",
        "topic": letters.events,
        "partition": 1,
        "offset": 5,
        "timestamp": 1_700_000_005_000,
        "reason": "unknown_type",
        "detail": "why unknown_type",
        "redriven": False,
        "headers": {"ce_id": "e5"},
        "key": "8",
        "value": '{"type":"teleport"}',
    }
    assert rows[0]["key"] is None
    assert "value_base64" in rows[2]
    assert [letter["offset"] for letter in listed(EVERY, 1, oldest=True)] == [3]
    assert [letter["offset"] for letter in listed(selection("keyless", "", -1, ""))] == [9]
    assert [letter["offset"] for letter in listed(selection("", letters.events, 0, ""))] == [9, 3]
    assert listed(selection("", "other", -1, "")) == []
    assert len(listed(selection("", "", -1, "1h"))) == 3
    time.sleep(1.1)
    assert listed(selection("", "", -1, "1s")) == []
    run_list(letters.settings, EVERY, 2, oldest=False, as_json=False)
    said = capsys.readouterr().out
    assert "the newest 2 of 3: " in said
    run_show(letters.settings, "0:0", raw=False)
    assert r"\xff\x00 oops" in capsys.readouterr().out
    with pytest.raises(RunError, match="no dead letter at 0:99"):
        run_show(letters.settings, "0:99", raw=False)


def test_the_original_bytes_come_as_they_are(
    letters: Letters, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    letters.write(THREE[0])
    run_show(letters.settings, "0:0", raw=True)
    assert capfdbinary.readouterr().out == b"\xff\x00 oops"


def test_each_letter_goes_back_once_with_its_bytes_to_where_its_key_belongs(
    letters: Letters, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everfresh.streaming.outbox.dead_letters.MAX_ORIGINAL_BYTES", 1000)
    letters.write(*THREE, (0, 11, "oversize", b"9", b"x" * 1001))
    letters.redrive(act=False)
    said = capsys.readouterr().out
    assert f"1 (keyless) would be sent to {letters.events}" in said
    assert "nothing was sent: add --yes" in said
    assert "1 were cut for their length" in said
    assert letters.came_back() == []
    letters.redrive(selection("unknown_type", "", -1, ""))
    letters.redrive()
    said = capsys.readouterr().out
    assert f"1 (unknown_type) were sent to {letters.events}" in said
    assert "1 were sent before; --again sends them once more" in said
    letters.redrive()
    assert "no dead letters were sent" in capsys.readouterr().out
    assert [record[:3] for record in letters.came_back()] == [
        (1, b"7", b"\xff\x00 oops"),
        (0, None, b"{}"),
        (1, b"8", b'{"type":"teleport"}'),
    ]
    headers = letters.came_back()[0][3]
    assert len(headers.pop(REDRIVEN_BY)) == 32
    assert headers == {
        "ce_id": b"e3",
        REDRIVEN_FROM: f"{letters.events}/0/3/1700000003000".encode(),
    }
    letters.redrive(selection("", "", -1, "", ["0:1"]), again=True)
    assert len(letters.came_back()) == 4


class Killed(BaseException):
    pass


@pytest.mark.parametrize("after", [1, 5, "marks"])
def test_a_redrive_killed_midway_sends_each_letter_once_in_the_end(
    letters: Letters, monkeypatch: pytest.MonkeyPatch, after: int | str
) -> None:
    monkeypatch.setattr(module, "BATCH", 4)
    letters.write(*((n % 2, n, "not_json", b"k", b"%d" % n) for n in range(1, 7)))
    produce, mark, sent = Redriver._produce, Redriver._mark, [0]

    def killed_before_producing(self: Redriver, letter: Any, identity: str) -> Any:
        if sent[0] == after:
            raise Killed
        sent[0] += 1
        future = produce(self, letter, identity)
        future.get(timeout=240)
        return future

    def killed_before_the_last_mark(self: Redriver, what: Any) -> None:
        if after == "marks" and isinstance(what, module._Sent):
            raise Killed
        mark(self, what)

    with monkeypatch.context() as patched:
        patched.setattr(Redriver, "_produce", killed_before_producing)
        patched.setattr(Redriver, "_mark", killed_before_the_last_mark)
        with pytest.raises(Killed):
            letters.redrive()
    arrived = letters.came_back()
    assert len(arrived) == (4 if after == "marks" else after)
    letters.redrive()
    values = [value or b"" for _, _, value, _ in letters.came_back()]
    assert sorted(values) == [b"%d" % n for n in range(1, 7)]
    letters.redrive()
    assert len(letters.came_back()) == 6


def test_what_cannot_be_sent_is_named(letters: Letters) -> None:
    letters.write((7, 1, "not_json", b"k", b"v"))
    with pytest.raises(DeliveryError, match="has no partition 7 any more"):
        letters.redrive()
    with _alone(letters.settings.home.resolve()), pytest.raises(RunError, match="is running"):
        letters.redrive()


FOREIGN_MARKS = [
    b"nonsense",
    b"\xff",
    None,
    b'{"type":"begun","letters":["x"],"ends":{"t":{"-1":5}}}',
    b'{"type":"sent","letters":[7]}',
]
UNKNOWN_TOPIC = b'{"type":"begun","letters":["x"],"ends":{"no-such-topic":{"0":5}}}'


def test_what_strangers_write_hides_no_letter_and_sends_nothing_elsewhere(
    letters: Letters, capsys: pytest.CaptureFixture[str]
) -> None:
    first = (0, 1, "not_json", b"k", b"v")
    letters.write(first)
    with KafkaProducer(bootstrap_servers=letters.servers) as producer:
        for mark in [*FOREIGN_MARKS, UNKNOWN_TOPIC]:
            producer.send(letters.topic(REDRIVES), mark, key=b"k").get(timeout=240)
        producer.send(letters.topic(DEAD_LETTERS), b"\x1b[31m no letter").get(timeout=240)
        # A forged letter that comes later than all others, and one that is from elsewhere.
        origins = [(letters.events, 10**17, 10**13), (letters.topic(STATUS), 1, 5)]
        for topic, offset, timestamp in origins:
            forged = LogRecord(offset, timestamp, b"k", b"forged", [], topic, 0)
            row = dead_letter(forged, EventRejected("not_json", "forged"))
            producer.send(letters.topic(DEAD_LETTERS), row.value, headers=row.headers).get(
                timeout=60
            )
        # And records that only say that they are a letter sent again.
        began = b'{"type":"begun","letters":["%s"],"ends":{"%s":{"0":0}},"batch":"b"}'
        name = f"{letters.events}/0/2/{1_700_000_000_000 + 2000}".encode()
        mark = began % (name, letters.events.encode())
        producer.send(letters.topic(REDRIVES), mark).get(timeout=240)
        for headers in ([(REDRIVEN_FROM, name)], [(REDRIVEN_FROM, name), (REDRIVEN_BY, b"a")]):
            producer.send(letters.events, b"claims", headers=headers, partition=0).get(timeout=240)
    letters.write((0, 2, "not_json", b"k", b"w"))
    run_list(letters.settings, EVERY, 20, oldest=False, as_json=False)
    said = capsys.readouterr().out
    assert "of 3: not_json 3" in said
    assert "left out: 7 records" in said
    letters.redrive(selection("", letters.events, 0, "", ["0:0", "0:4"]))
    assert f"2 (not_json) were sent to {letters.events}" in capsys.readouterr().out
    values = [value for _, _, value, _ in letters.came_back()]
    assert [value for value in values if value != b"claims"] == [b"v", b"w"]
