"""One suite for every ``DefinitionLog``; on Kafka the replicas' follower reads along."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

from everfresh.adapters.assigners.in_memory import MemoryDefinitionLog
from everfresh.adapters.kafka.definitions.following import DefinitionFollower
from everfresh.adapters.kafka.definitions.reading import DefinitionReader
from everfresh.adapters.kafka.definitions.writing import KafkaDefinitionLog
from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.contracts.experiments.assignment import Assignments
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.ports import DefinitionLog
from everfresh.contracts.settings import Settings
from tests.contracts.experiments.definitions import define

Log = tuple[DefinitionLog, Callable[[], Assignments]]
"""The log, and who is assigned by it once all that was written is known."""


@contextlib.contextmanager
def in_memory() -> Iterator[Log]:
    log = MemoryDefinitionLog()
    yield log, lambda: Assignments(list(log.read()[1].values()))


@contextlib.contextmanager
def on_kafka(servers: str, settings: Settings) -> Iterator[Log]:
    brokers, prefix = Brokers(servers), settings.kafka.topic_prefix
    ensure_topics(brokers, settings)
    follower = DefinitionFollower(lambda: DefinitionReader(brokers, prefix))

    def followed() -> Assignments:
        until = time.monotonic() + 240  # for what never comes
        while follower.figures()["experiments_read"] < log.read()[0]:
            assert time.monotonic() < until
            time.sleep(0.02)
        return follower.definitions()

    with contextlib.closing(follower), KafkaDefinitionLog(brokers, prefix) as log:
        yield log, followed


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
def opened(request: pytest.FixtureRequest, make_settings: Callable[..., Settings]) -> Iterator[Log]:
    if request.param == "memory":
        made = in_memory()
    else:
        made = on_kafka(request.getfixturevalue("kafka").bootstrap_servers, make_settings())
    with made as log:
        yield log


def test_a_definition_is_known_by_its_offset_until_another_or_none_takes_its_place(
    opened: Log,
) -> None:
    log, assignments = opened
    assert log.read() == (0, {})
    assert assignments().names() == []
    green, blue = define("green"), define("blue", coverage=0.5)
    wider = define("green", since=0, changed=9)
    assert [log.write("green", green), log.write("blue", blue)] == [0, 1]
    assert log.read() == (2, {"green": (0, green), "blue": (1, blue)})
    assert log.write("green", wider) == 2
    assert log.read() == (3, {"green": (2, wider), "blue": (1, blue)})
    assert [log.before("green", version) for version in (0, 2, 3)] == [None, green, wider]
    made = assignments()
    assert made.names() == ["green", "blue"]
    assert made.assign(7).definition_version == 2
    assert log.write("green", None) == 3
    assert log.read() == (4, {"blue": (1, blue)})
    assert assignments().names() == ["blue"]
