"""A source on real Kafka, its bridge as a process, and what came of its records."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Producer
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import NewTopic

from everfresh.adapters.kafka.dead_letters import DeadLetterReader, Selection
from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.contracts.dead_letter import DeadLetter
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.report import ComponentStatus, decode_status
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, STATUS
from everfresh.infra.components import settings_environment
from tests.integration.stream_run import Stream

WAIT_S = 240.0
SHOP = {"user": "visitor.id", "item": "sku", "type_field": "action", "time": "ts"}
SHOP |= {"time_unit": "s"}
TYPES = {"AddToCart": "like", "Seen": "view"}


class Source:
    """The source ``shop``: a topic of its own, and everything of one deployment."""

    def __init__(
        self, servers: str, make: Callable[..., Settings], partitions: int = 2, **table: Any
    ) -> None:
        self.servers = servers
        self._make = make
        self.topic = f"shop-{os.urandom(4).hex()}"
        self.settings = self.with_table(**table)
        self.stream = Stream(self.settings)
        self.create(partitions)

    def with_table(self, **table: Any) -> Settings:
        kafka = {"bootstrap_servers": self.servers, "partitions": 2}
        registry = table.pop("registry", {})
        fields = {"topic": self.topic, **SHOP, "types": TYPES, **table}
        made = self._make(kafka=kafka, sources={"shop": fields}, registry=registry)
        ensure_topics(Brokers(self.servers), made)
        return made

    def create(self, partitions: int = 2, **config: str) -> None:
        with KafkaAdminClient(bootstrap_servers=self.servers) as admin:
            admin.create_topics([NewTopic(self.topic, partitions, 1, topic_configs=config)])

    def delete(self) -> None:
        with KafkaAdminClient(bootstrap_servers=self.servers) as admin:
            admin.delete_topics([self.topic])

    def cut(self, offset: int) -> None:
        """Remove the records before that offset from partition 0, as retention does."""
        with KafkaAdminClient(bootstrap_servers=self.servers) as admin:
            admin.delete_records({TopicPartition(self.topic, 0): offset})

    def send(
        self, values: Sequence[bytes | None], *, aborted: Sequence[bytes] = (), **options: Any
    ) -> None:
        """Write them, in a transaction with ``transactional.id``; ``aborted`` before, in one that
        is taken back."""
        producer = Producer({"bootstrap.servers": self.servers, **options})
        transactional = "transactional.id" in options
        if transactional:
            producer.init_transactions()
            producer.begin_transaction()
            for value in aborted:
                producer.produce(self.topic, value)
            producer.flush()
            producer.abort_transaction()
            producer.begin_transaction()
        for number, value in enumerate(values):
            producer.produce(self.topic, value, key=str(number % 17))
            producer.poll(0)
        producer.flush()
        if transactional:
            producer.commit_transaction()

    def start(self, *arguments: str, settings: Settings | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "everfresh.streaming.sources", "shop", *arguments],
            env={**os.environ, **settings_environment(settings or self.settings)},
            stderr=subprocess.PIPE,
            text=True,
        )

    @contextmanager
    def bridge(
        self, *arguments: str, settings: Settings | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        process = self.start(*arguments, settings=settings)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(record.value) for record in self.stream.read(EVENTS)]

    def letters(self) -> list[DeadLetter]:
        prefix = self.settings.kafka.topic_prefix
        reader = DeadLetterReader(Brokers(self.servers), prefix, [self.topic])
        return list(reader.read(Selection()))

    def status(self) -> ComponentStatus | None:
        last = None
        for record in self.stream.read(STATUS):
            if record.key == b"bridge-shop":
                last = decode_status(record.value)
        return last

    def wait(self, what: Callable[[ComponentStatus], bool], process: Any = None) -> ComponentStatus:
        until, status = time.monotonic() + WAIT_S, None
        while time.monotonic() < until:
            status = self.status()
            if status is not None and what(status):
                return status
            assert process is None or process.poll() is None, process.communicate()
            time.sleep(0.1)
        raise AssertionError(f"it did not come; the last word was {status}")

    def wait_events(self, number: int, process: Any) -> None:
        until = time.monotonic() + WAIT_S
        while len(self.events()) < number:
            assert time.monotonic() < until, len(self.events())
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=WAIT_S)
    assert (process.returncode, said) == (0, "")


def refusal(process: subprocess.Popen[str]) -> str:
    """The line with which it ended."""
    _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1, said
    assert said.count("\n") == 1, said
    return said


def click(number: int, user: int | str | None = None, **more: Any) -> bytes:
    seen = {"visitor": {"id": number % 7 if user is None else user}, "sku": f"p{number}"}
    return json.dumps({**seen, "action": "Seen", "ts": 1_782_907_200 + number, **more}).encode()
