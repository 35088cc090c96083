"""The examples do what they say, on a real broker."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.settings import Settings
from contracts.topics import EVENTS, topic_name
from infra.kafka.broker import EmbeddedBroker
from infra.kafka.topics import ensure_topics, log_positions

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.integration
def test_emit_events_puts_its_events_into_the_log(
    kafka: EmbeddedBroker, topic_prefix: str, make_settings: Callable[..., Settings]
) -> None:
    servers = kafka.bootstrap_servers
    ensure_topics(servers, make_settings())
    topic = topic_name(topic_prefix, EVENTS)
    command = [sys.executable, EXAMPLES / "emit_events.py", servers, topic]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "3 events are in the log" in done.stdout
    assert sum(position.end for position in log_positions(servers, topic, "none")) == 3
