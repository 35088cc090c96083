"""Records of a topic of another shape become events, each once, whatever happens meanwhile."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable
from typing import Any

import fastavro
import pytest

from everfresh.adapters.kafka.dead_letters import Selection
from everfresh.contracts.errors import SettingsError
from everfresh.contracts.partitioning import partition_of
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.infra.cli.commands.dlq_redrive import run_redrive
from everfresh.infra.cli.commands.topics.bridge import run_check
from tests.adapters.kafka.registry.registry_double import Registry, avro, framed
from tests.integration.source_run import WAIT_S, Source, click, refusal, stop

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
        with source.bridge() as bridge, source.bridge("--index", "1"):
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


def test_retention_that_overtakes_a_bridge_is_named_and_passed_over_only_where_that_is_accepted(
    servers: str, make_settings: Make
) -> None:
    source = Source(servers, make_settings, partitions=1)
    source.send([click(each) for each in range(10)])
    with source.bridge() as bridge:
        source.wait_events(10, bridge)
        stop(bridge)
    source.send([click(10 + each) for each in range(10)])
    source.cut(15)
    said = refusal(source.start())
    assert "begins at offset 15, and offset 10 was to be read next" in said
    assert "sources.shop.accept_gap" in said
    with source.bridge("--patient") as patient:  # as `everfresh up` runs it
        status = source.wait(lambda s: s.state == "waiting", patient)
        assert "begins at offset 15" in status.figures["reason"]
        stop(patient)
    assert len(source.events()) == 10
    with source.bridge(settings=source.with_table(accept_gap=True)) as bridge:
        source.wait_events(15, bridge)
        status = source.wait(lambda s: s.figures["read"] == 5, bridge)
        assert status.figures["gap"] == 5
        stop(bridge)
    with source.bridge() as bridge:  # with the setting as it was
        source.send([click(20)])
        source.wait_events(16, bridge)
        stop(bridge)
    assert sorted(int(event["item_id"][1:]) for event in source.events()) == [
        *range(10),
        *range(15, 21),
    ]


def test_a_source_topic_that_was_made_anew_is_named_also_while_it_is_read(
    servers: str, make_settings: Make
) -> None:
    source = Source(servers, make_settings, partitions=1)
    source.send([click(each) for each in range(3)])
    with source.bridge() as bridge:
        source.wait_events(3, bridge)
        source.delete()
        source.create(1)
        source.send([click(10 + each) for each in range(9)])  # beyond what was read of the old one
        _, said = bridge.communicate(timeout=WAIT_S)
        assert bridge.returncode == 1
        assert source.topic in said
    said = refusal(source.start())
    assert "was deleted and created again" in said
    assert len(source.events()) == 3
    with source.bridge(settings=source.with_table(accept_gap=True)) as bridge:
        source.wait_events(12, bridge)
        stop(bridge)
    with source.bridge() as bridge:
        source.send([click(30)])
        source.wait_events(13, bridge)
        stop(bridge)


def play(number: int, names: list[str], *values: object) -> bytes:
    kinds = {"who": "string", "song": "long", "track": "long", "device": "string"}
    fields = [{"name": name, "type": kinds[name]} for name in names]
    raw = io.BytesIO()
    schema = fastavro.parse_schema({"type": "record", "name": "Play", "fields": fields})
    fastavro.schemaless_writer(raw, schema, dict(zip(names, values, strict=True)))
    return framed(number, raw.getvalue())


def schema(*names: str) -> dict[str, Any]:
    kinds = {"who": "string", "song": "long", "track": "long", "device": "string"}
    fields = [{"name": name, "type": kinds[name]} for name in names]
    return avro({"type": "record", "name": "Play", "fields": fields})


def test_a_bridge_waits_for_its_registry_and_schemas_may_change_meanwhile(
    servers: str, make_settings: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = Registry()
    registry.schemas = {
        1: schema("who", "song"),
        2: schema("who", "song", "device"),  # one field more
        3: schema("who", "track"),  # one with another name
    }
    registry.code = 503
    table = {"format": "avro", "user": "who", "item": "song", "type": "view", "type_field": ""}
    table |= {"types": {}, "time": "$timestamp", "time_unit": "", "attributes": ["device"]}
    more = {"registry": {"url": registry.url}}
    source = Source(servers, make_settings, **table, **more)
    with registry.up():
        source.send([play(1, ["who", "song"], "ada", 1), b"none", None])
        with source.bridge() as bridge:
            status = source.wait(lambda s: s.state == "waiting", bridge)
            assert f"{registry.url} answers 503" in status.figures["reason"]
            assert source.events() == []
            registry.code = 200
            source.wait_events(1, bridge)
            source.send([play(2, ["who", "song", "device"], "ada", 2, "phone")])
            source.send([play(3, ["who", "track"], "ada", 3)])
            status = source.wait(lambda s: s.figures["read"] == 5, bridge)
            assert "reason" not in status.figures
            stop(bridge)
        items = {event["item_id"]: event.get("attributes") for event in source.events()}
        assert items == {1: None, 2: {"device": "phone"}}
        letters = {letter.reason: letter for letter in source.letters()}
        assert set(letters) == {"wire_format", "missing_field"}

        mended = source.with_table(**{**table, "item": "track"}, **more)
        run_redrive(mended, Selection(), again=False, act=True)
        said = capsys.readouterr().out
        assert "1 (missing_field) were sent" in said
        assert "1 of a source still cannot become events (wire_format)" in said
        run_redrive(mended, Selection(), again=False, act=True)  # each is sent once
    [event] = [each for each in source.events() if each["item_id"] == 3]
    assert event["id"] == letters["missing_field"].identity
    assert len(source.events()) == 3


def test_of_two_bridges_with_one_index_the_earlier_one_ends(
    servers: str, make_settings: Make
) -> None:
    source = Source(servers, make_settings)
    source.send([click(each) for each in range(50)])
    with source.bridge() as earlier:
        source.wait_events(50, earlier)
        with source.bridge() as later:
            source.send([click(50 + each) for each in range(50)])
            said = refusal(earlier)
            assert "--index" in said
            source.wait_events(100, later)
            stop(later)
    assert sorted(int(event["item_id"][1:]) for event in source.events()) == [*range(100)]


def test_a_check_shows_what_would_come_of_the_newest_records(
    servers: str, make_settings: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Source(servers, make_settings, where={"action": "Seen"})
    source.send([click(1), click(2, action="Left"), b"{", None])
    run_check(source.settings, "shop")
    said = " ".join(capsys.readouterr().out.split())
    assert "events 1 filtered 1 tombstones 1 rejected 1 not_json 1, first partition" in said
    assert '"item_id":"p1"' in said
    assert source.events() == []
    with pytest.raises(SettingsError, match=r"there is no source 'shops' in the settings"):
        run_check(source.settings, "shops")
