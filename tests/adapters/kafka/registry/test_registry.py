"""Values by a registry's schemas: Avro and Protobuf, references, and a registry that is away."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import pytest
from google.protobuf import descriptor_pb2, timestamp_pb2
from hypothesis import given
from hypothesis import strategies as st

from everfresh.adapters.kafka.registry.avro import avro_decoder
from everfresh.adapters.kafka.registry.client import RegistryClient
from everfresh.adapters.kafka.registry.protobuf import protobuf_decoder
from everfresh.adapters.kafka.registry.wire_format import message_path
from everfresh.contracts.errors import EventRejected, SettingsError, Unreachable
from everfresh.contracts.settings import RegistrySettings
from tests.adapters.kafka.registry.registry_double import Registry, avro, framed, protobuf

TIME = datetime(2026, 7, 1, 12, tzinfo=UTC)
PLACE = {"type": "record", "name": "Place", "fields": [{"name": "city", "type": "string"}]}
CLICK = {
    "type": "record",
    "name": "Click",
    "fields": [
        {"name": "user", "type": "long"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "place", "type": ["null", "Place"]},
    ],
}
REFERENCE = [{"name": "Place", "subject": "place", "version": 1}]


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry().up() as up:
        yield up


def client(registry: Registry, **more: Any) -> RegistryClient:
    return RegistryClient(RegistrySettings(url=registry.url, **more))


def written(schema: Any, value: Any) -> bytes:
    raw = io.BytesIO()
    fastavro.schemaless_writer(raw, fastavro.parse_schema(schema), value)
    return raw.getvalue()


def click() -> bytes:
    whole = {**CLICK, "fields": [*CLICK["fields"][:2], {"name": "place", "type": ["null", PLACE]}]}
    return written(whole, {"user": 7, "at": TIME, "place": {"city": "Bern"}})


def test_avro_is_read_by_the_schema_it_was_written_with(registry: Registry) -> None:
    registry.subjects["place", 1] = avro(PLACE, id=3)
    registry.schemas[4] = avro(CLICK, references=REFERENCE)
    decode = avro_decoder(client(registry))
    for _ in range(3):
        assert decode(framed(4, click())) == {"user": 7, "at": TIME, "place": {"city": "Bern"}}
    assert len(registry.asked) == 2  # each schema once


def click_file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="click.proto", package="shop", syntax="proto3")
    file.dependency.extend(["place.proto", "google/protobuf/timestamp.proto"])
    file.message_type.add(name="Other")
    message = file.message_type.add(name="Click")
    kinds = descriptor_pb2.FieldDescriptorProto
    rows = [
        ("user", 1, kinds.TYPE_INT64, ""),
        ("at", 2, kinds.TYPE_MESSAGE, ".google.protobuf.Timestamp"),
        ("place", 3, kinds.TYPE_MESSAGE, ".shop.Place"),
        ("kind", 4, kinds.TYPE_ENUM, ".shop.Kind"),
    ]
    for name, number, kind, of in rows:
        label = kinds.LABEL_OPTIONAL
        message.field.add(name=name, number=number, type=kind, type_name=of or None, label=label)
    kind = file.enum_type.add(name="Kind")
    kind.value.add(name="SEEN", number=0)
    kind.value.add(name="BOUGHT", number=1)
    return file


def place_file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="place.proto", package="shop", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    message = file.message_type.add(name="Place")
    message.field.add(name="city", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    return file


def protobuf_click() -> bytes:
    at = timestamp_pb2.Timestamp(seconds=int(TIME.timestamp())).SerializeToString()
    city = b"\x0a\x04Bern"
    return (
        b"\x08\x07"
        + b"\x12"
        + bytes([len(at)])
        + at
        + b"\x1a"
        + bytes([len(city)])
        + city
        + b"\x20\x01"
    )


def test_protobuf_is_read_by_the_registrys_descriptor(registry: Registry) -> None:
    registry.subjects["place", 1] = protobuf(place_file(), id=3)
    reference = [{"name": "place.proto", "subject": "place", "version": 1}]
    registry.schemas[5] = protobuf(click_file(), references=reference)
    decode = protobuf_decoder(client(registry))
    second = b"\x02\x02"  # one index, and it is 1
    expected = {"user": 7, "at": TIME, "place": {"city": "Bern"}, "kind": "BOUGHT"}
    assert decode(framed(5, second + protobuf_click())) == expected
    empty = {"user": 0, "at": None, "place": None, "kind": "SEEN"}
    assert decode(framed(5, second)) == empty
    assert decode(framed(5, b"\x00")) == {}  # the first message, which has no fields
    assert len(registry.asked) == 2
    for wrong in (b"\x02\x08", b"\x02", b"", second + b"\x08"):
        with pytest.raises(EventRejected):
            decode(framed(5, wrong))


@given(st.binary(max_size=12))
def test_whatever_stands_for_a_message_index_is_one_or_refused(raw: bytes) -> None:
    try:
        path, rest = message_path(raw)
    except EventRejected:
        return
    assert path
    assert raw.endswith(rest)


def test_bytes_of_another_form_are_refused_by_name(registry: Registry) -> None:
    registry.schemas[4] = avro(PLACE)
    registry.schemas[6] = {"schema": "{}", "schemaType": "JSON"}
    decode = avro_decoder(client(registry))
    for value, reason in (
        (b"{}", "wire_format"),
        (b"", "wire_format"),
        (framed(4, b"\x09"), "not_avro"),
        (framed(4, b""), "not_avro"),
        (framed(6, b""), "wire_format"),
        (framed(77, b""), "unknown_schema"),
    ):
        with pytest.raises(EventRejected) as caught:
            decode(value)
        assert caught.value.reason == reason
    with pytest.raises(EventRejected, match="format is protobuf"):
        protobuf_decoder(client(registry))(framed(4, b"\x00"))


def test_a_registry_that_is_away_or_refuses_is_waited_for_and_named(
    registry: Registry, tmp_path: Path
) -> None:
    registry.schemas[4] = avro(PLACE)
    for code, words in ((500, "answers 500"), (503, "answers 503"), (301, "answers 301")):
        registry.code = code
        with pytest.raises(Unreachable, match=words):
            client(registry).schema(4)
    registry.code = 200
    secret = tmp_path / "secret"
    secret.write_text("pass\n")
    secret.chmod(0o600)
    registry.login = base64.b64encode(b"ann:pass").decode()
    with pytest.raises(Unreachable, match=r"registry\.username"):
        client(registry).schema(4)
    assert client(registry, username="ann", password_file=str(secret)).schema(4).kind == "AVRO"
    secret.chmod(0o644)
    with pytest.raises(SettingsError, match=r"registry\.password_file"):
        client(registry, username="ann", password_file=str(secret))
    gone = RegistryClient(RegistrySettings(url="http://127.0.0.1:9"))
    with pytest.raises(Unreachable, match="does not answer"):
        gone.schema(4)
