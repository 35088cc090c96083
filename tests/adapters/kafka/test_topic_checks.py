"""What is refused and what is only said of topics that exist."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from everfresh.adapters.kafka.topic_checks import check_topic
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import (
    ALL,
    CLOCK,
    DEAD_LETTERS,
    EVENTS,
    EXPERIMENTS,
    EXPOSURES,
    ITEMS,
    OUTCOMES,
    REPORTS,
    STATUS,
    WINDOWS,
    TopicSpec,
    creation_config,
)

Make = Callable[..., Settings]
LOG = tuple(spec for spec in ALL if spec not in (STATUS, EXPERIMENTS, ITEMS))
READ = (EVENTS, EXPOSURES, WINDOWS)


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: str(spec.name))
@pytest.mark.parametrize("replication", [1, 2, 3])
def test_what_everfresh_creates_passes_its_own_checks(
    spec: TopicSpec, replication: int, make_settings: Make
) -> None:
    settings = make_settings(events={"max_bytes": 4_000_000})
    config = creation_config(spec, replication, 4_000_000)
    assert check_topic(spec, config, replication, settings) == []


def test_a_longer_event_finds_room_in_a_new_topic() -> None:
    assert int(creation_config(EVENTS, 1, 4_000_000)["max.message.bytes"]) > 4_000_000


@pytest.mark.parametrize(
    ("setting", "value", "refused", "warned"),
    [
        ("cleanup.policy", "compact", LOG, ()),
        ("cleanup.policy", "compact,delete", (*LOG, EXPERIMENTS, ITEMS), ()),
        ("delete.retention.ms", "86400000", (), (ITEMS,)),
        ("cleanup.policy", "delete", (EXPERIMENTS, ITEMS), (STATUS,)),
        ("message.timestamp.type", "CreateTime", (EVENTS, EXPOSURES, CLOCK), ()),
        ("max.message.bytes", "60000", (WINDOWS, OUTCOMES, DEAD_LETTERS), (EVENTS,)),
        ("min.insync.replicas", "4", ALL, ()),
        ("min.insync.replicas", "3", (), ()),
        ("unclean.leader.election.enable", "true", (), ALL),
        ("retention.bytes", "1000000", (), (*READ, DEAD_LETTERS)),
        ("retention.ms", "60000", (), (*READ, DEAD_LETTERS)),
        ("retention.ms", "-1", (), ()),
        ("compression.type", "zstd", (), ()),
        ("compression.type", "uncompressed", (), ()),
    ],
)
def test_a_topic_that_loses_or_blocks_records_is_refused_or_said(
    setting: str,
    value: str,
    refused: tuple[TopicSpec, ...],
    warned: tuple[TopicSpec, ...],
    make_settings: Make,
) -> None:
    settings = make_settings()
    for spec in ALL:
        config = {**creation_config(spec, 3, 65_536), setting: value}
        findings = check_topic(spec, config, 3, settings)
        assert [each.serves for each in findings] == [False] * (spec in refused) + [True] * (
            spec in warned
        )
        for each in findings:
            line = each.line(Brokers("b:9092"))
            assert f"has {setting}={value}, wanted {each.wanted}: " in line
            assert "kafka-configs.sh --bootstrap-server b:9092 --alter" in line
            mended = {**config, setting: each.wanted}
            assert check_topic(spec, mended, 3, settings) == []


def test_a_window_longer_than_the_log_is_kept_is_said(make_settings: Make) -> None:
    settings = make_settings(windows={"seconds": 86_400.0})
    config = {**creation_config(EVENTS, 1, 65_536), "retention.ms": "200000000"}
    (finding,) = check_topic(EVENTS, config, 1, settings)
    assert finding.serves
    assert int(finding.wanted) >= 4 * 86_400_000


def test_what_a_cluster_does_not_tell_is_not_guessed(make_settings: Make) -> None:
    config: dict[str, str | None] = dict(creation_config(REPORTS, 1, 65_536))
    for setting in ("min.insync.replicas", "retention.ms", "compression.type"):
        config[setting] = None
    assert check_topic(REPORTS, config, 1, make_settings()) == []
