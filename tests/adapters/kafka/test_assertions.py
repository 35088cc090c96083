"""``python -O``: said at once, by every way to Kafka, instead of a broker that is never found."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kafka.protocol.schemas.fields.codecs import tagged_fields

WAYS = """
from everfresh import EventProducer
from everfresh.adapters.kafka.admin import broker_answers
from everfresh.adapters.kafka.consumers import connect_consumer
from everfresh.contracts.errors import MissingDependency
from everfresh.contracts.kafka.security import Brokers
ways = (
    lambda at: broker_answers(Brokers(at)),
    lambda at: connect_consumer(Brokers(at), ["t"]),
    EventProducer,
)
for way in ways:
    try:
        way("127.0.0.1:9")
    except MissingDependency as refusal:
        print(refusal)
"""


@pytest.mark.process
def test_without_assertions_every_way_to_kafka_is_refused() -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONOPTIMIZE": "1"}
    command = [sys.executable, "-W", "ignore", "-c", WAYS]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run without -O, and with PYTHONOPTIMIZE empty\n") == 3


def test_the_library_still_reads_inside_an_assertion() -> None:
    """Where it does not any more, the refusal can go."""
    assert "assert UnsignedVarInt32.decode(data) == 0" in inspect.getsource(tagged_fields)
