from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from everfresh.adapters.kafka.admin import broker_answers
from everfresh.adapters.kafka.report_sink import KafkaReportSink
from everfresh.adapters.kafka.tail import RecordTail
from everfresh.adapters.kafka.topics import end_offsets, ensure_topics
from everfresh.adapters.kafka.window_source import KafkaWindowSource
from everfresh.adapters.machine.tcp_ports import free_ports
from everfresh.contracts.errors import SettingsError, Unreachable
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import (
    ALL,
    EVENTS,
    EXPOSURES,
    OUTCOMES,
    WINDOWS,
    TopicSpec,
    creation_config,
    topic_name,
)
from everfresh.infra.broker.broker import EmbeddedBroker

pytestmark = pytest.mark.integration

APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}
Make = Callable[..., Settings]


def create(kafka: EmbeddedBroker, name: str, partitions: int, configs: dict[str, str]) -> None:
    with KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers) as admin:
        topic = {"num_partitions": partitions, "replication_factor": 1, "configs": configs}
        admin.create_topics({name: topic}, wait_for_metadata=True)


def configs_of(kafka: EmbeddedBroker, topic: str) -> dict[str, str]:
    with KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers) as admin:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        described = admin.describe_configs([resource], config_filter="all")
    return {name: setting["value"] for name, setting in described["topic"][topic].items()}


def alter(kafka: EmbeddedBroker, topic: str, configs: dict[str, str]) -> None:
    """What the command that a message names does."""
    with KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)])


def test_every_topic_of_the_table_is_made_as_it_says(
    kafka: EmbeddedBroker, make_settings: Make, topic_prefix: str
) -> None:
    partitions = ensure_topics(
        Brokers(kafka.bootstrap_servers), make_settings(kafka={"partitions": 3})
    )
    assert partitions == {topic_name(topic_prefix, spec): spec.partitions or 3 for spec in ALL}
    for spec in ALL:
        found = configs_of(kafka, topic_name(topic_prefix, spec))
        wanted = creation_config(spec, 1, 65_536)
        assert {name: found[name] for name in wanted} == wanted


def test_more_copies_than_brokers_are_refused_in_the_brokers_words(
    kafka: EmbeddedBroker, make_settings: Make
) -> None:
    with pytest.raises(SettingsError) as caught:
        ensure_topics(Brokers(kafka.bootstrap_servers), make_settings(kafka={"replication": 3}))
    said = str(caught.value)
    assert "cannot have kafka.replication = 3 copies" in said
    assert "only 1 broker(s) are registered" in said
    assert "at most the number of brokers that run, or start the missing ones first" in said
    assert "CreateTopicsRequest" not in said


def test_a_second_time_changes_nothing(kafka: EmbeddedBroker, make_settings: Make) -> None:
    first = ensure_topics(Brokers(kafka.bootstrap_servers), make_settings(kafka={"partitions": 2}))
    again = ensure_topics(Brokers(kafka.bootstrap_servers), make_settings(kafka={"partitions": 5}))
    assert again == first


def test_the_other_topics_follow_the_partitions_that_events_have_already(
    kafka: EmbeddedBroker, make_settings: Make, topic_prefix: str
) -> None:
    create(kafka, topic_name(topic_prefix, EVENTS), 5, APPEND_TIME)
    partitions = ensure_topics(
        Brokers(kafka.bootstrap_servers), make_settings(kafka={"partitions": 2})
    )
    assert partitions[topic_name(topic_prefix, EVENTS)] == 5
    for spec in (WINDOWS, EXPOSURES, OUTCOMES):
        assert partitions[topic_name(topic_prefix, spec)] == 5


def test_windows_with_too_few_partitions_are_refused(
    kafka: EmbeddedBroker, make_settings: Make, topic_prefix: str
) -> None:
    create(kafka, topic_name(topic_prefix, WINDOWS), 1, {})
    with pytest.raises(SettingsError, match=r"windows has 1 partitions and .*events has 4"):
        ensure_topics(Brokers(kafka.bootstrap_servers), make_settings())


def test_exposures_with_another_number_of_partitions_are_refused(
    kafka: EmbeddedBroker, make_settings: Make, topic_prefix: str
) -> None:
    create(kafka, topic_name(topic_prefix, EXPOSURES), 6, APPEND_TIME)
    with pytest.raises(SettingsError, match=r"exposures has 6 partitions and .*events has 4"):
        ensure_topics(Brokers(kafka.bootstrap_servers), make_settings())


@pytest.mark.parametrize("spec", [EVENTS, EXPOSURES])
def test_an_events_topic_without_append_time_is_refused_with_the_remedy(
    kafka: EmbeddedBroker, make_settings: Make, topic_prefix: str, spec: TopicSpec
) -> None:
    create(kafka, topic_name(topic_prefix, spec), 4, {})
    with pytest.raises(SettingsError, match=r"CreateTime.*kafka-configs\.sh .*--alter"):
        ensure_topics(Brokers(kafka.bootstrap_servers), make_settings())


def test_all_that_existing_topics_lack_is_said_at_once_with_the_commands(
    kafka: EmbeddedBroker, make_settings: Make, topic_prefix: str
) -> None:
    compacted = {**APPEND_TIME, "cleanup.policy": "compact", "min.insync.replicas": "2"}
    create(kafka, topic_name(topic_prefix, EVENTS), 1, compacted)
    create(kafka, topic_name(topic_prefix, WINDOWS), 1, {"retention.bytes": "1000000"})
    warnings: list[str] = []
    with pytest.raises(SettingsError) as raised:
        ensure_topics(Brokers(kafka.bootstrap_servers), make_settings(), warnings.append)
    assert warnings == []
    said = str(raised.value)
    for topic, setting, found, wanted in (
        ("events", "cleanup.policy", "compact", "delete"),
        ("events", "min.insync.replicas", "2", "1"),
        ("windows", "max.message.bytes", "1048588", "8388608"),
    ):
        name = topic_prefix + topic
        assert f"topic {name} has {setting}={found}, wanted {wanted}: " in said
        assert f"--entity-name {name} --add-config {setting}={wanted}" in said
        alter(kafka, name, {setting: wanted})
    ensure_topics(Brokers(kafka.bootstrap_servers), make_settings(), warnings.append)
    assert [line.partition(",")[0] for line in warnings] == [
        f"topic {topic_prefix}windows has retention.bytes=1000000"
    ]


def test_topics_made_by_somebody_else_are_listed_with_the_commands_that_mend_them(
    kafka: EmbeddedBroker, make_settings: Make, topic_prefix: str
) -> None:
    brokers = Brokers(kafka.bootstrap_servers)
    settings = make_settings(kafka={"create_topics": False, "partitions": 3})
    create(kafka, topic_name(topic_prefix, EVENTS), 2, {})
    create(kafka, topic_name(topic_prefix, WINDOWS), 2, {"retention.bytes": "1000000"})
    with pytest.raises(SettingsError) as raised:
        ensure_topics(brokers, settings)
    said = str(raised.value)
    assert "\n" not in said
    assert f"topic {topic_prefix}events has message.timestamp.type=CreateTime, wanted" in said
    assert f"topic {topic_prefix}windows has max.message.bytes=1048588, wanted 8388608" in said
    assert f"topic {topic_prefix}windows has retention.bytes=1000000, wanted -1" in said
    assert "events is missing" not in said
    at = f"--bootstrap-server {kafka.bootstrap_servers}"
    made = re.findall(
        rf"kafka-topics\.sh {at} --create --topic (\S+) --partitions (\d) --replication-factor 1"
        r"((?: --config \S+=[^. ]+(?:\.[^. ]+)*)+)",
        said,
    )
    missing = [spec for spec in ALL if spec not in (EVENTS, WINDOWS)]
    assert [name for name, _, _ in made] == [topic_name(topic_prefix, spec) for spec in missing]
    for name, partitions, options in made:  # what the commands do
        configs = dict(option.split("=") for option in options.split(" --config ")[1:])
        create(kafka, name, int(partitions), configs)
    for topic, setting, wanted in re.findall(
        rf"kafka-configs\.sh {at} --alter --entity-type topics --entity-name (\S+) "
        r"--add-config ([^= ]+)=([\w-]+)",
        said,
    ):
        alter(kafka, topic, {setting: wanted})
    warnings: list[str] = []
    partitions = ensure_topics(brokers, settings, warnings.append)
    assert warnings == []
    assert partitions == {topic_name(topic_prefix, spec): spec.partitions or 2 for spec in ALL}


def test_end_offsets_are_told_by_partition(
    kafka: EmbeddedBroker, make_settings: Make, topic_prefix: str
) -> None:
    ensure_topics(Brokers(kafka.bootstrap_servers), make_settings(kafka={"partitions": 2}))
    topic = topic_name(topic_prefix, EVENTS)
    with KafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        for _ in range(5):
            producer.send(topic, b"x", partition=1)
    assert end_offsets(Brokers(kafka.bootstrap_servers), topic) == {0: 0, 1: 5}


def test_a_topic_that_is_not_there_has_no_end_offsets(kafka: EmbeddedBroker) -> None:
    assert end_offsets(Brokers(kafka.bootstrap_servers), "nosuch") == {}


def test_without_a_broker_every_client_says_so_in_a_line(make_settings: Make) -> None:
    (port,) = free_ports(1)
    servers = f"127.0.0.1:{port}"
    settings = make_settings()
    for use in (
        lambda: ensure_topics(Brokers(servers), settings),
        lambda: end_offsets(Brokers(servers), "t"),
        lambda: KafkaWindowSource(Brokers(servers), "p."),
        lambda: KafkaReportSink(Brokers(servers), "p."),
        lambda: RecordTail(Brokers(servers), "p."),
    ):
        with pytest.raises(Unreachable, match=f"no Kafka broker answers at {servers}: it accepts"):
            use()
    assert not broker_answers(Brokers(servers))


@pytest.mark.parametrize("servers", ["", "localhost", "localhost:kafka", "a:1,,b:2", "h:70000"])
def test_an_address_that_is_none_is_a_wrong_setting(make_settings: Make, servers: str) -> None:
    with pytest.raises(SettingsError, match=r"kafka\.bootstrap_servers must be host:port"):
        ensure_topics(Brokers(servers), make_settings())


def test_a_missing_topic_is_named_with_what_creates_it(kafka: EmbeddedBroker) -> None:
    with pytest.raises(Unreachable, match=r"topic nosuch\.windows does not exist.*everfresh up"):
        KafkaWindowSource(Brokers(kafka.bootstrap_servers), "nosuch.")
