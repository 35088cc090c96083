"""The examples do what they say, on a real broker."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import KafkaProducer

from everfresh.adapters.kafka.topics import end_offsets, ensure_topics
from everfresh.contracts.exposure import Exposure
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.outcome import Feedback, Outcome, encode_outcome
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, OUTCOMES, topic_name
from everfresh.infra.broker.broker import EmbeddedBroker

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.integration
def test_emit_events_puts_its_events_into_the_log(
    kafka: EmbeddedBroker, topic_prefix: str, make_settings: Callable[..., Settings]
) -> None:
    servers = kafka.bootstrap_servers
    ensure_topics(Brokers(servers), make_settings())
    topic = topic_name(topic_prefix, EVENTS)
    command = [sys.executable, EXAMPLES / "emit_events.py", servers, topic]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "3 events are in the log" in done.stdout
    assert sum(end_offsets(Brokers(servers), topic).values()) == 3


@pytest.mark.integration
def test_outcomes_by_arm_counts_each_outcome_once(
    kafka: EmbeddedBroker, topic_prefix: str, make_settings: Callable[..., Settings]
) -> None:
    servers = kafka.bootstrap_servers
    ensure_topics(Brokers(servers), make_settings())
    topic = topic_name(topic_prefix, OUTCOMES)
    clicked = Feedback(7, 2, 2, "click", "a", 0, None)
    elsewhere = Feedback(8, 2, 2, "click", "z", None, None)
    with KafkaProducer(bootstrap_servers=servers) as producer:
        for number, (arm, heard) in enumerate(
            [("new", [clicked]), ("new", [elsewhere]), ("old", []), ("old", [])]
        ):
            name = {"new": "green", "old": None}[arm]
            shown = Exposure(f"r{number}", 1, 1, arm, 3, 0, "model", ["a"], [0.5], experiment=name)
            outcome = Outcome(f"0-{number}", 1, 100, shown, heard)
            for _ in range(2):  # as after a crash
                producer.send(topic, encode_outcome(outcome), key=outcome.id.encode())
    command = [sys.executable, EXAMPLES / "outcomes_by_arm.py", servers, topic]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()[1:]] == [
        ["green/new", "3", "2", "1", "0.500"],
        ["old", "3", "2", "0", "0.000"],
    ]
