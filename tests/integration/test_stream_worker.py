"""The worker as a process of its own, on real Kafka and RocksDB."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from everfresh.contracts.event import Event, user_key
from everfresh.contracts.report import decode_status
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import DEAD_LETTERS, EVENTS, STATUS
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.infra.components import settings_environment
from tests.integration.stream_run import PARTITIONS, WAIT_SECONDS, Stream, send, send_raw, stop
from tests.streaming.sample_log import RawName

pytestmark = pytest.mark.integration


@pytest.fixture
def stream(kafka: EmbeddedBroker, make_settings: Callable[..., Settings]) -> Stream:
    return Stream(
        make_settings(
            kafka={"bootstrap_servers": kafka.bootstrap_servers, "partitions": PARTITIONS},
            windows={"seconds": 0.5, "grace_ms": 100},
            state={"history_length": 7},
        )
    )


def test_state_windows_and_dead_letters_say_what_the_log_says(stream: Stream) -> None:
    bad: list[tuple[bytes | None, bytes]] = [
        (None, b'{"id":"k","type":"view","time":1,"user_id":7,"item_id":1}'),
        (b"7", b"\xff\x00 not json"),
        (b"7", b"x" * 70_000),
        (b"8", b'{"id":"m","type":"view","time":1,"user_id":7,"item_id":1}'),
        (b"7", b'{"id":"t","type":"teleport","time":1,"user_id":7,"item_id":1}'),
    ]
    with stream.worker() as worker:
        with stream.producer() as producer:
            send(producer, 500, seed=1)
            # A header's name may be any bytes, and may be one of ours.
            send_raw(stream, bad, [(RawName(b"\xff\xfe"), b"1"), ("dead_topic", b"2")])
            send(producer, 500, seed=2)
        status = stream.wait(applied=1000)
        runs = stream.wait_tiled()
        stop(worker)
    stream.check(runs, tuple(value for _, value in bad))
    assert status.figures["rejected"] == len(bad)
    assert status.figures["rejected_oversize"] == 1
    letters = stream.read(DEAD_LETTERS)
    assert sorted((r.key or b"", r.value) for r in letters) == sorted(
        (key or b"", value) for key, value in bad
    )
    by_place = {(r.partition, r.offset): r for r in stream.log()}
    for letter in letters:
        assert list(letter.headers[:2]) == [("\\xff\\xfe", b"1"), ("dead_topic", b"2")]
        headers = {name: text.decode() for name, text in letter.headers}
        origin = by_place[int(headers["dead_partition"]), int(headers["dead_offset"])]
        assert (origin.key, origin.value) == (letter.key, letter.value)
        assert headers["dead_timestamp"] == str(origin.timestamp)
        assert headers["dead_topic"] == stream.topic(EVENTS)
    reasons = {dict(letter.headers)["dead_reason"] for letter in letters}
    assert reasons == {b"keyless", b"not_json", b"oversize", b"key_mismatch", b"unknown_type"}
    last = stream.last_status()
    assert last is not None
    assert last.state == "stopped"


def test_killed_in_mid_stream_nothing_is_lost_or_applied_twice(stream: Stream) -> None:
    with stream.producer() as producer:
        for burst in range(3):
            with stream.worker():  # killed at the end of this block
                send(producer, 300, seed=burst)
                stream.wait(applied=1)
                send(producer, 400, seed=10 + burst)
                producer.flush()
                time.sleep(0.1 * burst)
        with stream.worker() as worker:
            runs = stream.wait_tiled()
            stop(worker)
    stream.check(runs)


def test_a_worker_that_waits_for_its_outbox_goes_on_and_leaves_nothing_out(stream: Stream) -> None:
    state = stream.settings.state.model_copy(update={"outbox_mb": 1})
    stream.settings = stream.settings.model_copy(update={"state": state})
    bad: list[tuple[bytes | None, bytes]] = [(b"7", b"%d" % n + b"?" * 60_000) for n in range(150)]
    send_raw(stream, bad)  # several fetches, each of more than may wait
    with stream.producer() as producer:
        send(producer, 200, seed=6)
    with stream.worker() as worker:
        stream.wait(applied=200)
        runs = stream.wait_tiled()
        stop(worker)
    stream.check(runs, tuple(value for _, value in bad))
    assert sorted(r.value for r in stream.read(DEAD_LETTERS)) == sorted(value for _, value in bad)


def test_a_lost_state_directory_is_rebuilt_from_the_log(stream: Stream) -> None:
    with stream.producer() as producer, stream.worker() as worker:
        send(producer, 600, seed=4)
        producer.flush()
        stream.wait(applied=600)
        before = stream.wait_tiled()
        time.sleep(1.2)  # the group has committed that it is done
        stop(worker)
    shutil.rmtree(stream.settings.state_dir)
    with stream.worker() as worker:
        status = stream.wait(applied=600)
        runs = stream.wait_tiled()
        stop(worker)
    assert status.figures["duplicates"] == 0
    stream.check(runs)
    assert [closed for n in before for closed, _ in before[n] if closed.events] == [
        closed for n in runs for closed, _ in runs[n] if closed.events
    ]


SLOW = """
import asyncio, runpy
from everfresh.streaming.ownership import Ownership
opened = Ownership._open
async def slow(self, place, exposures):
    await asyncio.sleep(2.0 * place.partition)
    return await opened(self, place, exposures)
Ownership._open = slow
runpy.run_module("everfresh.streaming", run_name="__main__", alter_sys=True)
"""


def test_while_others_are_still_restored_a_silent_partition_closes_nothing_unread(
    stream: Stream,
) -> None:
    with stream.producer() as producer, stream.worker() as worker:
        for seed in range(3):
            send(producer, 150, seed=seed)
            producer.flush()
            time.sleep(0.6)
        stream.wait(applied=450)
        before = stream.wait_tiled()
        time.sleep(1.2)  # the group has committed that it is done
        stop(worker)
    shutil.rmtree(stream.settings.state_dir)
    worker = stream.start(program=("-c", SLOW))
    try:
        assert stream.wait(applied=450).figures["late"] == 0
        stop(worker)
    finally:
        worker.kill()
        worker.communicate()
    again = stream.runs_again()
    for number, runs in before.items():
        closed = [closed_slice for closed_slice, _ in runs if closed_slice.events]
        assert [closed_slice for closed_slice in again[number] if closed_slice.events] == closed


def test_what_makes_work_impossible_is_one_line(
    stream: Stream, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    with stream.worker() as worker:
        with stream.producer() as producer:
            send(producer, 10, seed=5)
        stream.wait(applied=10)
        second = stream.start()
        _, said = second.communicate(timeout=WAIT_SECONDS)
        assert second.returncode == 1
        assert said.startswith("error: another stream worker with index 0 runs on")
        assert said.count("\n") == 1
        stop(worker)
    stream.settings = make_settings(
        home=tmp_path / "home",
        kafka={"bootstrap_servers": stream.servers, "partitions": PARTITIONS},
        windows={"seconds": 0.7},
    )
    changed = stream.start()
    _, said = changed.communicate(timeout=WAIT_SECONDS)
    assert changed.returncode == 1
    assert said.startswith("error: the state of partition")
    assert said.count("\n") == 1


def test_without_a_broker_the_worker_says_so_in_one_line(
    make_settings: Callable[..., Settings],
) -> None:
    settings = make_settings(kafka={"bootstrap_servers": "127.0.0.1:1"})
    done = subprocess.run(
        [sys.executable, "-m", "everfresh.streaming"],
        env={**os.environ, **settings_environment(settings)},
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_a_raw_event_without_headers_is_accepted(stream: Stream) -> None:
    event = Event("plain", "view", 1_700_000_000_000, 7, 1)
    send_raw(stream, [(user_key(7), msgspec.json.encode(event))])
    with stream.worker() as worker:
        stream.wait(applied=1)
        stop(worker)
    assert stream.states()[7].history[0].item == 1


def test_a_partition_that_moves_to_another_worker_goes_on_where_it_was(stream: Stream) -> None:
    with stream.producer() as producer, stream.worker() as first:
        send(producer, 300, seed=6)
        stream.wait(applied=300)
        with stream.worker("--index", "1") as second:
            until = time.monotonic() + WAIT_SECONDS
            while time.monotonic() < until:
                send(producer, 20, seed=7)
                time.sleep(0.2)
                said = [decode_status(word.value) for word in stream.read(STATUS)[-2:]]
                if [word.figures["partitions"] for word in said] == [1, 1]:
                    break
            send(producer, 300, seed=8)
            producer.flush()
            runs = stream.wait_tiled()
            stop(first)
            stop(second)
    stream.check(runs)
    applied = {w.component: w for w in map(decode_status, (r.value for r in stream.read(STATUS)))}
    assert sum(w.figures["applied"] for w in applied.values()) == len(stream.log())


def test_transaction_markers_are_holes_that_stop_nothing(stream: Stream) -> None:
    topic = stream.topic(EVENTS)
    with (
        stream.worker() as worker,
        KafkaProducer(bootstrap_servers=stream.servers, transactional_id=topic) as producer,
    ):
        producer.init_transactions()
        for number in range(6):
            producer.begin_transaction()
            for user in range(8):
                event = Event(f"{number}-{user}", "view", 1_700_000_000_000, user, number)
                producer.send(topic, key=user_key(user), value=msgspec.json.encode(event))
            producer.commit_transaction()
            time.sleep(0.1)
        stream.wait(48)  # until the lag is 0: what lies behind the last record is none
        runs = stream.wait_tiled()
        stop(worker)
    log = stream.log()
    assert max(r.offset for r in log) + 1 > len(log) / PARTITIONS
    assert sum(closed.events for n in runs for closed, _ in runs[n]) == len(log) == 48
    assert {state.accepted for state in stream.states().values()} == {6}


def test_records_that_retention_removed_unread_are_named(stream: Stream) -> None:
    with stream.producer() as producer:
        with stream.worker() as worker:
            send(producer, 100, seed=9)
            stream.wait(applied=100)
            stop(worker)
        send(producer, 100, seed=10)
    places = [TopicPartition(stream.topic(EVENTS), number) for number in range(PARTITIONS)]
    with KafkaAdminClient(bootstrap_servers=stream.servers) as admin:
        admin.delete_records(dict.fromkeys(places, -1))
    with stream.worker() as worker:
        _, said = worker.communicate(timeout=WAIT_SECONDS)
    assert worker.returncode == 1
    assert "retention removed" in said
    assert said.count("\n") == 1
