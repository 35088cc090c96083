"""A stream worker on real Kafka, and what its topics and state say."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from rocksdict import AccessType, Options, Rdict

from everfresh.adapters.kafka.header_names import forgive_header_names
from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.contracts.event import UserId
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.report import ComponentStatus, decode_status
from everfresh.contracts.sequence import UserState
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, STATUS, WINDOWS, TopicSpec, topic_name
from everfresh.contracts.window import Place, SliceClosed, decode_slice_record
from everfresh.infra.components import settings_environment
from everfresh.streaming.outbox.rows import OutboxRow
from everfresh.streaming.producer import EventProducer
from tests.streaming.sample_log import LogRecord, expected_states, slices, states, targets

PARTITIONS = 2
WAIT_SECONDS = 240.0  # a bound for what never comes; what comes late on a busy machine is fine


class Stream:
    """One run's topics, home and worker."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.servers = settings.kafka.bootstrap_servers
        ensure_topics(Brokers(self.servers), settings)

    def topic(self, spec: TopicSpec) -> str:
        return topic_name(self.settings.kafka.topic_prefix, spec)

    @contextmanager
    def worker(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        process = self.start(*arguments)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def start(
        self, *arguments: str, program: Sequence[str] = ("-m", "everfresh.streaming")
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *program, *arguments],
            env={**os.environ, **settings_environment(self.settings), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )

    def producer(self) -> EventProducer:
        return EventProducer(self.servers, self.topic(EVENTS))

    def read(self, spec: TopicSpec) -> list[Any]:
        """Everything the topic holds now, in order per partition."""
        forgive_header_names()
        with KafkaConsumer(
            bootstrap_servers=self.servers,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            isolation_level="read_committed",
            request_timeout_ms=300_000,
        ) as consumer:
            topic = self.topic(spec)
            places = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
            consumer.assign(places)
            ends = consumer.end_offsets(places)
            records_read: list[Any] = []
            while any(consumer.position(place) < ends[place] for place in places):
                for records in consumer.poll(timeout_ms=500).values():
                    records_read += records
            return sorted(records_read, key=lambda record: (record.partition, record.offset))

    def log(self) -> list[LogRecord]:
        return [
            LogRecord(r.offset, r.timestamp, r.key, r.value, list(r.headers), r.topic, r.partition)
            for r in self.read(EVENTS)
        ]

    def last_status(self) -> ComponentStatus | None:
        words = self.read(STATUS)
        return decode_status(words[-1].value) if words else None

    def wait(self, applied: int) -> ComponentStatus:
        """Until the worker has applied so many events, lags nowhere and has delivered all."""
        until = time.monotonic() + WAIT_SECONDS
        status = None
        while time.monotonic() < until:
            status = self.last_status()
            if status and status.state == "running":
                figures = status.figures
                done = figures["applied"] >= applied and figures["partitions"] == PARTITIONS
                if done and figures["lag"] == figures["undelivered"] == 0:
                    return status
            time.sleep(0.1)
        raise AssertionError(f"{applied} events were not applied; the last word was {status}")

    def wait_tiled(self) -> dict[int, list[Any]]:
        """Runs by partition, once every record of the log stands in a closed slice."""
        log = self.log()
        ends = {n: max(r.offset for r in log if r.partition == n) + 1 for n in range(PARTITIONS)}
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            runs = {n: self.runs(n) for n in ends}
            if all(runs[n] and runs[n][-1][0].end == end for n, end in ends.items()):
                return runs
            time.sleep(0.2)
        raise AssertionError("the windows do not reach the end of the log")

    def runs(self, partition: int) -> list[Any]:
        """Slices of a partition as a reader keeps them: a repeated label is dropped, and parts
        wait for their slice to be closed."""
        values = [r.value for r in self.read(WINDOWS) if r.partition == partition]
        while values and not isinstance(decode_slice_record(values[-1]), SliceClosed):
            values.pop()
        rows = [OutboxRow("windows", partition, None, value, []) for value in values]
        kept: dict[Place, Any] = {}
        for closed, parts in slices(rows):
            kept.setdefault(closed.place, (closed, parts))
        return list(kept.values())

    def runs_again(self) -> dict[int, list[SliceClosed]]:
        """What each partition closed after it had begun anew with the first label."""
        closed_again: dict[int, list[SliceClosed]] = {number: [] for number in range(PARTITIONS)}
        for record in self.read(WINDOWS):
            closed = decode_slice_record(record.value)
            if isinstance(closed, SliceClosed):
                if closed.start == 0 and closed.events:
                    closed_again[record.partition].clear()
                closed_again[record.partition].append(closed)
        return closed_again

    def states(self) -> dict[UserId, UserState]:
        by_user: dict[UserId, UserState] = {}
        for number in range(PARTITIONS):
            path = self.settings.state_dir / f"{self.topic(EVENTS)}-{number}"
            database = Rdict(str(path), Options(raw_mode=True), access_type=AccessType.read_only())
            by_user |= states(dict(database.items()), self.settings.state.history_length)
            database.close()
        return by_user

    def check(self, runs: dict[int, list[Any]], refused: tuple[bytes, ...] = ()) -> None:
        """State and windows say what the log says, less the refused values."""
        log = self.log()
        length = self.settings.state.history_length
        for number in range(PARTITIONS):
            mine = [record for record in log if record.partition == number]
            good = [record for record in mine if record.value not in refused]
            expected = {
                user: msgspec.structs.replace(state, partition=number)
                for user, state in expected_states(good, length).items()
            }
            ours = {u: s for u, s in self.states().items() if s.partition == number}
            assert ours == expected
            edge = 0
            for closed, _ in runs[number]:
                assert closed.start == edge
                edge = closed.end
            assert edge == mine[-1].offset + 1
            trained_on = targets(runs[number])
            assert len(trained_on) == sum(state.accepted for state in expected.values())
            assert sum(c.events + c.rejected for c, _ in runs[number]) == len(mine)


def send(producer: EventProducer, number: int, seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(number):
        user = choose.choice([choose.randrange(30), f"u{choose.randrange(30)}"])
        producer.send(user_id=user, item_id=choose.randrange(100), type="click")


def stop(worker: subprocess.Popen[str]) -> None:
    worker.send_signal(signal.SIGTERM)
    _, said = worker.communicate(timeout=WAIT_SECONDS)
    assert (worker.returncode, said) == (0, "")


def send_raw(
    stream: Stream,
    records: list[tuple[bytes | None, bytes]],
    headers: Sequence[tuple[str, bytes]] = (),
) -> None:
    with KafkaProducer(bootstrap_servers=stream.servers, acks="all") as producer:
        for key, value in records:
            sent = producer.send(stream.topic(EVENTS), value, key=key, headers=list(headers))
            sent.get(timeout=WAIT_SECONDS)
