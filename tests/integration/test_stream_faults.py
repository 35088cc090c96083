"""What may happen to log, disk and clock while a worker runs, on real Kafka."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from everfresh.contracts.event import Event, user_key
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import DEAD_LETTERS, EVENTS
from everfresh.infra.broker.broker import EmbeddedBroker
from tests.integration.stream_run import PARTITIONS, WAIT_SECONDS, Stream, send, stop

pytestmark = pytest.mark.integration
HOUR_MS = 3_600_000


@pytest.fixture
def stream(kafka: EmbeddedBroker, make_settings: Callable[..., Settings]) -> Stream:
    return Stream(
        make_settings(
            kafka={"bootstrap_servers": kafka.bootstrap_servers, "partitions": PARTITIONS},
            windows={"seconds": 0.5, "grace_ms": 100},
            state={"history_length": 7},
        )
    )


def last_words(worker: subprocess.Popen[str]) -> str:
    """What a worker that cannot go on says: one line."""
    _, said = worker.communicate(timeout=WAIT_SECONDS)
    assert worker.returncode == 1
    assert said.count("\n") == 1, said
    return said


def test_a_topic_recreated_while_the_worker_runs_is_named(stream: Stream) -> None:
    topic = stream.topic(EVENTS)
    with stream.producer() as producer, stream.worker() as worker:
        send(producer, 50, seed=1)
        stream.wait(applied=50)
        with KafkaAdminClient(bootstrap_servers=stream.servers) as admin:
            admin.delete_topics([topic])
            while topic in admin.list_topics():
                time.sleep(0.1)
            options = {"num_partitions": PARTITIONS, "configs": EVENTS.config}
            admin.create_topics({topic: {**options, "replication_factor": 1}})
        assert "recreated" in last_words(worker)


def test_partitions_added_while_the_worker_runs_stop_it(stream: Stream) -> None:
    with stream.producer() as producer, stream.worker() as worker:
        send(producer, 50, seed=2)
        stream.wait(applied=50)
        with KafkaAdminClient(bootstrap_servers=stream.servers) as admin:
            admin.create_partitions({stream.topic(EVENTS): PARTITIONS + 1})
        said = last_words(worker)
    assert f"has {PARTITIONS + 1} partitions, its state was folded from {PARTITIONS}" in said


def test_retention_that_overtakes_a_running_worker_is_named(stream: Stream) -> None:
    places = [TopicPartition(stream.topic(EVENTS), number) for number in range(PARTITIONS)]
    with stream.producer() as producer, stream.worker() as worker:
        send(producer, 50, seed=3)
        stream.wait(applied=50)
        worker.send_signal(signal.SIGSTOP)
        for burst in range(3):
            send(producer, 50, seed=burst)
            producer.flush()
        with KafkaAdminClient(bootstrap_servers=stream.servers) as admin:
            admin.delete_records(dict.fromkeys(places, -1))
        send(producer, 50, seed=4)
        producer.flush()
        worker.send_signal(signal.SIGCONT)
        assert "retention removed" in last_words(worker)


def test_what_an_aborted_transaction_wrote_is_no_event(stream: Stream) -> None:
    topic = stream.topic(EVENTS)
    with (
        stream.worker() as worker,
        KafkaProducer(bootstrap_servers=stream.servers, transactional_id=topic) as producer,
    ):
        producer.init_transactions()
        for number in range(8):
            producer.begin_transaction()
            for user in range(6):
                event = Event(f"{number}-{user}", "view", 1_700_000_000_000, user, number)
                value = msgspec.json.encode(event) if number % 4 else b"aborted"
                producer.send(topic, key=user_key(user), value=value)
            producer.flush()
            if number % 2:
                producer.commit_transaction()
            else:
                producer.abort_transaction()
            time.sleep(0.2)
        runs = stream.wait_tiled()
        stop(worker)
    stream.check(runs)
    assert {state.accepted for state in stream.states().values()} == {4}
    assert stream.read(DEAD_LETTERS) == []


def test_an_open_transaction_keeps_the_window_of_its_records_open(stream: Stream) -> None:
    topic = stream.topic(EVENTS)
    with (
        stream.worker() as worker,
        KafkaProducer(bootstrap_servers=stream.servers, transactional_id=topic) as producer,
    ):
        producer.init_transactions()
        for number in range(2):
            producer.begin_transaction()
            for user in range(6):
                event = Event(f"{number}-{user}", "view", 1_700_000_000_000, user, number)
                producer.send(topic, key=user_key(user), value=msgspec.json.encode(event))
            producer.flush()
            time.sleep(2.0 * number)  # several windows and their grace
            producer.commit_transaction()
        runs = stream.wait_tiled()
        stop(worker)
    stream.check(runs)
    last = stream.last_status()
    assert last is not None
    assert (last.figures["applied"], last.figures["late"]) == (12, 0)


def test_a_full_disk_stops_the_worker_with_nothing_half_applied(stream: Stream) -> None:
    cramped = (
        "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000));"
        "runpy.run_module('everfresh.streaming', run_name='__main__', alter_sys=True)"
    )
    with stream.producer() as producer:
        worker = stream.start(program=("-c", cramped))
        for burst in range(40):
            send(producer, 100, seed=burst)
            producer.flush()
            if worker.poll() is not None:
                break
        said = last_words(worker)
        assert "cannot be written" in said
        with stream.worker() as again:
            runs = stream.wait_tiled()
            stop(again)
    stream.check(runs)


@pytest.mark.parametrize("ahead_ms", [HOUR_MS, -HOUR_MS])
def test_a_clock_an_hour_off_changes_no_window(stream: Stream, ahead_ms: int) -> None:
    """Labels follow the broker's time: idle partitions close no label before it is over."""
    wrong = (
        "import everfresh.streaming.__main__ as m; right = m._now_ms;"
        f"m._now_ms = lambda: right() + {ahead_ms}; m.run_main(m.main)"
    )
    worker = stream.start(program=("-c", wrong))
    try:
        with stream.producer() as producer:
            for burst in range(4):
                send(producer, 30, seed=burst)
                producer.flush()
                time.sleep(0.7)
        runs = stream.wait_tiled()
        status = stream.wait(applied=120)
        stop(worker)
    finally:
        worker.kill()
        worker.communicate()
    stream.check(runs)
    appended = {(r.partition, r.offset): r.timestamp for r in stream.log()}
    for number in runs:
        for closed, _ in runs[number]:
            periods = {
                appended[number, offset] // 500 for offset in range(closed.start, closed.end)
            }
            assert periods <= {closed.label}
    assert abs(status.figures["clock_ahead_ms"] - ahead_ms) < 60_000
