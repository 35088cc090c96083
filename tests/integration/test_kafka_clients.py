"""Sinks and tails on a real broker: what goes missing is counted, nobody waits."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from msgspec import structs

from everfresh.adapters.kafka.exposure_sink import KafkaExposureSink
from everfresh.adapters.kafka.report_sink import KafkaReportSink
from everfresh.adapters.kafka.tail import ObservedRecord, RecordTail
from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.adapters.kafka.window_source import KafkaWindowSource
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.report import ComponentStatus, WindowReport, encode_report
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, EXPOSURES, REPORTS, STATUS, WINDOWS, topic_name
from everfresh.contracts.window import FORMAT, SliceClosed, encode_slice_record
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.infra.cli.board import watcher as watcher_module
from everfresh.infra.cli.board.watcher import Watcher
from tests.adapters.kafka.topic_records import read_topic
from tests.conformance.test_sinks import REPORT, exposure, status

pytestmark = pytest.mark.integration

Make = Callable[..., Settings]
CODECS = ("gzip", "zstd", "lz4", "snappy")


@pytest.fixture
def servers(kafka: EmbeddedBroker, make_settings: Make) -> str:
    ensure_topics(Brokers(kafka.bootstrap_servers), make_settings())
    return kafka.bootstrap_servers


def write_raw(servers: str, topic: str, *values: bytes | None, key: bytes = b"key") -> None:
    with KafkaProducer(bootstrap_servers=servers) as producer:
        for value in values:
            producer.send(topic, value, key=key, partition=0).get(timeout=240)


def take(tail: RecordTail, number: int) -> list[ObservedRecord]:
    out: list[ObservedRecord] = []
    for _ in range(50):
        out.extend(tail.poll(200))
        if len(out) >= number:
            break
    return out


def test_a_tail_reads_from_the_beginning_and_then_what_comes(
    servers: str, topic_prefix: str
) -> None:
    sink = KafkaReportSink(Brokers(servers), topic_prefix)
    sink.window(REPORT)
    sink.flush()
    with RecordTail(Brokers(servers), topic_prefix) as tail:
        assert take(tail, 1) == [REPORT]
        assert tail.poll(50) == []
        sink.status(status("w"))
        assert take(tail, 1) == [status("w")]
    sink.close()


def test_a_tail_from_the_end_sees_only_what_comes_after_it(servers: str, topic_prefix: str) -> None:
    sink = KafkaExposureSink(Brokers(servers), topic_prefix)
    sink.send(exposure(1))
    sink.flush()
    with RecordTail(Brokers(servers), topic_prefix, [EXPOSURES], from_end=True) as tail:
        sink.send(exposure(2))
        sink.flush()
        assert take(tail, 1) == [exposure(2)]
    sink.close()


def test_a_tail_of_the_last_records_has_so_many_of_each_topic_and_every_status(
    servers: str, topic_prefix: str
) -> None:
    sink = KafkaReportSink(Brokers(servers), topic_prefix)
    for label in range(5):
        sink.window(structs.replace(REPORT, label=label))
        sink.status(status(f"w{label}"))
    sink.flush()
    with RecordTail(Brokers(servers), topic_prefix, last=2) as tail:
        seen = take(tail, 7)
        assert [one.label for one in seen if isinstance(one, WindowReport)] == [3, 4]
        sink.status(status("later"))
        assert take(tail, 1) == [status("later")]
    with RecordTail(Brokers(servers), topic_prefix, last=100) as tail:
        assert len(take(tail, 11)) == 11
    sink.close()


def test_a_board_follows_while_somebody_asks_and_no_longer(
    servers: str,
    topic_prefix: str,
    make_settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sink = KafkaReportSink(Brokers(servers), topic_prefix)
    sink.window(REPORT)
    sink.flush()
    settings = make_settings(kafka={"bootstrap_servers": servers, "topic_prefix": topic_prefix})
    watcher = Watcher(settings)
    seen = msgspec.json.decode(watcher.ask())
    assert [row["label"] for row in seen["windows"]] == [REPORT.label]
    sink.window(structs.replace(REPORT, label=REPORT.label + 1))
    sink.flush()
    while len(msgspec.json.decode(watcher.ask())["windows"]) < 2:
        pass
    monkeypatch.setattr(watcher_module, "IDLE_S", 0.0)
    (following,) = [thread for thread in threading.enumerate() if thread.name == "board"]
    following.join()
    monkeypatch.undo()
    assert len(msgspec.json.decode(watcher.ask())["windows"]) == 2, "it begins anew"
    watcher.close()
    sink.close()


def test_foreign_records_and_tombstones_are_skipped_and_counted(
    servers: str, topic_prefix: str
) -> None:
    topic = topic_name(topic_prefix, STATUS)
    own = encode_report(status("w"))
    tomorrow = structs.replace(status("w"), time=time.time_ns() // 1_000_000 + 86_400_000)
    write_raw(servers, topic, b"{", b'{"component":"\xff"}', own, None)
    write_raw(servers, topic, encode_report(tomorrow), key=b"w")
    sink = KafkaReportSink(Brokers(servers), topic_prefix)
    sink.status(status("w"))
    sink.close()
    with RecordTail(Brokers(servers), topic_prefix, [STATUS]) as tail:
        assert tail.read_to_end() == [status("w")]
        assert tail.skipped == 4
        where = f"{topic} partition 0 offset 4: its time lies 86"
        assert tail.left_out().startswith(
            f"left out: 4 records that everfresh did not write, the last at {where}"
        )


async def values_read_by_the_workers_client(servers: str, topic: str) -> list[bytes | None]:
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=servers, group_id=None, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        return [(await consumer.getone()).value for _ in CODECS]
    finally:
        await consumer.stop()


def test_whatever_codec_a_cluster_compresses_with_every_reader_reads(
    servers: str, topic_prefix: str
) -> None:
    topics = [topic_name(topic_prefix, spec) for spec in (EVENTS, STATUS, WINDOWS)]
    slices = [SliceClosed(FORMAT, 0, label, 0, 0, 0, 0, 0, "") for label in range(len(CODECS))]
    for codec, closed in zip(CODECS, slices, strict=True):
        with KafkaAdminClient(bootstrap_servers=servers) as admin:
            configs = {"compression.type": codec}
            admin.alter_configs(
                [ConfigResource(ConfigResourceType.TOPIC, topic, configs) for topic in topics]
            )
        write_raw(servers, topics[0], codec.encode() * 500)
        write_raw(servers, topics[1], encode_report(status("w")), key=b"w")
        write_raw(servers, topics[2], encode_slice_record(closed))
    assert asyncio.run(values_read_by_the_workers_client(servers, topics[0])) == [
        codec.encode() * 500 for codec in CODECS
    ]
    with RecordTail(Brokers(servers), topic_prefix, [STATUS]) as tail:
        assert tail.read_to_end() == [status("w")] * len(CODECS)
    source = KafkaWindowSource(Brokers(servers), topic_prefix)
    assert [record for _, _, record in source.poll(30_000)] == slices
    source.close()


def test_an_empty_topic_is_read_at_once(servers: str, topic_prefix: str) -> None:
    assert read_topic(servers, topic_prefix, REPORTS) == []


def test_foreign_records_among_the_windows_are_left_out_and_named(
    servers: str, topic_prefix: str
) -> None:
    ours = SliceClosed(FORMAT, 0, 7, 0, 0, 0, 0, 0, "")
    garbage = [b"not ours", b"\xff", None, encode_slice_record(ours)[:-1]]
    write_raw(servers, topic_name(topic_prefix, WINDOWS), *garbage, encode_slice_record(ours))
    source = KafkaWindowSource(Brokers(servers), topic_prefix)
    assert source.poll(30_000) == [(0, 4, ours)]
    assert source.left_out() == (
        4,
        f"{topic_prefix}windows partition 0 offset 3 is no slice record: Input data was truncated",
    )
    source.close()


@pytest.mark.parametrize("sink", [KafkaExposureSink, KafkaReportSink])
def test_a_sink_without_its_topic_is_named_at_the_start(
    kafka: EmbeddedBroker, sink: Callable[[Brokers, str], object]
) -> None:
    with pytest.raises(Unreachable, match=r"nothing can be written to nosuch\."):
        sink(Brokers(kafka.bootstrap_servers), "nosuch.")


def test_without_a_broker_sends_return_at_once_and_losses_are_counted(
    tmp_path: Path, make_settings: Make, topic_prefix: str
) -> None:
    with EmbeddedBroker(tmp_path / "data", heap_mb=256) as broker:
        ensure_topics(Brokers(broker.bootstrap_servers), make_settings())
        exposures = KafkaExposureSink(Brokers(broker.bootstrap_servers), topic_prefix)
        reports = KafkaReportSink(Brokers(broker.bootstrap_servers), topic_prefix)
        exposures.send(exposure(0))
        assert exposures.flush()
    for number in range(1, 11):
        exposures.send(exposure(number))
        reports.status(ComponentStatus("w", "worker", number, "running", {}))
    assert not exposures.flush(timeout_s=0.2)
    for sink in (exposures, reports):
        sink.close(timeout_s=0.2)
    assert exposures.failed() == 10
    assert reports.failed() == 10
