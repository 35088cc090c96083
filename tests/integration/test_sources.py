"""Records of a topic of another shape become events, each once, whatever happens meanwhile."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from everfresh.contracts.partitioning import partition_of
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS
from everfresh.infra.broker.broker import EmbeddedBroker
from tests.integration.source_run import Source, click, stop

pytestmark = pytest.mark.integration
Make = Callable[..., Settings]


@pytest.fixture
def servers(kafka: EmbeddedBroker) -> str:
    return kafka.bootstrap_servers


def test_records_of_another_shape_become_events_and_the_rest_has_its_place(
    servers: str, make_settings: Make
) -> None:
    source = Source(servers, make_settings, where={"action": ["Seen", "AddToCart", "Broken"]})
    source.send([click(1), click(2, action="AddToCart"), click(3, action="Left"), None, b"{"])
    source.send(
        [click(4, user="ada", action="Broken"), click(5)],
        aborted=[click(6)],
        **{"transactional.id": source.topic, "compression.type": "zstd"},
    )
    with source.bridge() as bridge:
        status = source.wait(lambda s: s.figures["read"] == 7 and s.figures.get("lag") == 0, bridge)
        stop(bridge)
    assert sorted(event["item_id"] for event in source.events()) == ["p1", "p2", "p5"]
    [liked] = [event for event in source.events() if event["item_id"] == "p2"]
    assert liked["type"] == "like"
    assert liked["time"] == 1_782_907_202_000
    for record in source.stream.read(EVENTS):
        assert record.partition == partition_of(record.key, 2)
    letters = {letter.reason: letter for letter in source.letters()}
    assert set(letters) == {"not_json", "unknown_type"}
    assert letters["not_json"].topic == source.topic
    assert letters["not_json"].value == b"{"
    figures = status.figures
    assert [figures[name] for name in ("events", "filtered", "tombstones", "rejected")] == [
        3,
        1,
        1,
        2,
    ]


def test_killed_at_any_moment_a_bridge_loses_nothing_and_doubles_nothing(
    servers: str, make_settings: Make
) -> None:
    source = Source(servers, make_settings)
    number, choose = 6_000, random.Random(5)
    source.send([click(each) for each in range(number)])
    bad = [b"[%d]" % each for each in range(20)]
    source.send(bad)
    for _ in range(4):
        with source.bridge() as bridge:
            seen = len(source.events())
            if seen < number:
                source.wait_events(seen + 1, bridge)
            time.sleep(choose.uniform(0, 0.05))
            bridge.kill()
        source.send([click(number + each) for each in range(500)])
        number += 500
    with source.bridge() as bridge:
        source.wait_events(number, bridge)
        source.wait(lambda s: s.figures.get("lag") == 0, bridge)
        stop(bridge)
    items = [event["item_id"] for event in source.events()]
    assert sorted(items) == sorted(f"p{each}" for each in range(number))
    assert sorted(letter.value or b"" for letter in source.letters()) == sorted(bad)
