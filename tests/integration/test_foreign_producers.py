"""Producers in other languages: their events are accepted, in the partitions that ours choose."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from kafka import KafkaConsumer, TopicPartition

from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.contracts.event_codec import EventDecoder
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.partitioning import partition_of
from everfresh.contracts.published.asyncapi import asyncapi_document
from everfresh.contracts.published.schemas import RECORDS, json_schema
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.infra.broker.jars import kafka_jars

pytestmark = pytest.mark.integration
PRODUCERS = Path(__file__).parents[2] / "examples" / "producers"
ASYNCAPI = "@asyncapi/specs@6.11.1"
WAIT_S = 240.0


@pytest.fixture(scope="module")
def npm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The JavaScript example with what it needs, and the schema of AsyncAPI itself."""
    if not shutil.which("npm"):
        pytest.skip("npm is not installed: the JavaScript producer was not run")
    folder = tmp_path_factory.mktemp("npm") / "javascript"
    shutil.copytree(PRODUCERS / "javascript", folder, ignore=shutil.ignore_patterns("node_modules"))
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-save", ASYNCAPI]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"npm cannot fetch kafkajs: {done.stderr.strip()[-300:]}")
    return folder


def check_events(servers: str, topic: str, settings: Settings) -> None:
    """Three events by the contract, each user's in one partition: that of our own producer."""
    decode = EventDecoder(settings.events.actions, settings.events.max_bytes).decode
    schema = Draft202012Validator(json_schema(RECORDS[0], settings.events.actions))
    seen = []
    with KafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest") as consumer:
        places = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
        consumer.assign(places)
        ends = consumer.end_offsets(places)
        assert sum(ends.values()) == 3
        while any(consumer.position(place) < ends[place] for place in places):
            for records in consumer.poll(timeout_ms=500).values():
                seen += records
    for record in seen:
        event = decode(record.key, record.value, record.headers)
        schema.validate(json.loads(record.value))
        assert record.partition == partition_of(str(event.user_id).encode(), len(places))
    users = [decode(r.key, r.value, r.headers).user_id for r in seen]
    assert sorted(map(str, users)) == ["42", "ada", "ada"]
    assert 42 in users


def run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=WAIT_S
    )
    assert done.returncode == 0, done.stderr
    assert "3 events are in the log" in done.stdout


def test_a_javascript_producer_writes_by_the_contract(
    kafka: EmbeddedBroker, npm: Path, topic_prefix: str, make_settings: Callable[..., Settings]
) -> None:
    settings, servers = make_settings(kafka={"partitions": 7}), kafka.bootstrap_servers
    ensure_topics(Brokers(servers), settings)
    topic = topic_name(topic_prefix, EVENTS)
    run(["node", "emit_events.mjs", servers, topic], npm)
    check_events(servers, topic, settings)


def test_a_java_producer_writes_by_the_contract(
    kafka: EmbeddedBroker, topic_prefix: str, make_settings: Callable[..., Settings]
) -> None:
    if not shutil.which("javac"):
        pytest.skip("no Java compiler (JDK 17) is installed: the Java producer was not run")
    settings, servers = make_settings(kafka={"partitions": 7}), kafka.bootstrap_servers
    ensure_topics(Brokers(servers), settings)
    topic = topic_name(topic_prefix, EVENTS)
    jars = kafka_jars(settings.kafka.jars_url, lambda _: None)
    folder = PRODUCERS / "java"
    run(["java", "-cp", f"{jars}/*", "EmitEvents.java", servers, topic], folder)
    check_events(servers, topic, settings)


def test_the_asyncapi_document_is_one(npm: Path, make_settings: Callable[..., Settings]) -> None:
    schema = npm / "node_modules" / "@asyncapi" / "specs" / "schemas" / "3.0.0.json"
    document = asyncapi_document(make_settings(), "1.2.3")
    faults = Draft7Validator(json.loads(schema.read_text())).iter_errors(document)
    assert [fault.message for fault in faults] == []
