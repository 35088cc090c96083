"""Protobuf values by the descriptor that the registry has of their schema; no compiler is needed.

A field is there as Protobuf tells it: one without presence (proto3's plain fields) has its default
where it was not set.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC
from importlib import import_module
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from everfresh.adapters.kafka.registry.client import RegistryClient, Schema
from everfresh.adapters.kafka.registry.wire_format import message_path, split
from everfresh.contracts.errors import EventRejected, Unreachable

_WELL_KNOWN = ("any", "duration", "empty", "field_mask", "struct", "timestamp", "wrappers")
_MESSAGE, _ENUM = 11, 14
_WRAPPERS = {
    f"google.protobuf.{name}Value"
    for name in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
}


def protobuf_decoder(registry: RegistryClient) -> Callable[[bytes], Any]:
    """A function from a value to a dict of its fields; see ``RegistryClient`` for its errors."""
    files: dict[int, Any] = {}
    classes: dict[tuple[int, tuple[int, ...]], Any] = {}

    def decode(value: bytes) -> Any:
        number, body = split(value)
        path, body = message_path(body)
        place = (number, tuple(path))
        kind = classes.get(place)
        if kind is None:
            if number not in files:
                files[number] = _file(registry.schema(number), number)
            kind = classes[place] = message_factory.GetMessageClass(
                _at(files[number], path, number)
            )
        try:
            return _fields(kind.FromString(body))
        except Exception as error:
            raise EventRejected(
                "not_protobuf", f"the value is none of schema {number}: {error!r}"
            ) from None

    return decode


def _file(schema: Schema, number: int) -> Any:
    if schema.kind != "PROTOBUF":
        raise EventRejected(
            "wire_format", f"schema {number} is {schema.kind}, and the source's format is protobuf"
        )
    pool = descriptor_pool.DescriptorPool()
    for name in _WELL_KNOWN:
        module = import_module(f"google.protobuf.{name}_pb2")
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    try:
        name = f"schema-{number}.proto"
        _add(pool, schema, name, set())
        return pool.FindFileByName(name)
    except Exception as error:
        raise Unreachable(
            f"the registry gives no descriptor of schema {number} ({error!r}); it must answer "
            "/schemas/ids/N?format=serialized"
        ) from None


def _add(pool: Any, schema: Schema, name: str, had: set[str]) -> None:
    for inner, reference in schema.references.items():
        if inner not in had:
            had.add(inner)
            _add(pool, reference, inner, had)
    file = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(schema.text))
    file.name = name
    pool.AddSerializedFile(file.SerializeToString())


def _at(file: Any, path: list[int], number: int) -> Any:
    try:
        messages = list(file.message_types_by_name.values())
        found = messages[path[0]]
        for index in path[1:]:
            found = found.nested_types[index]
        return found
    except IndexError:
        raise EventRejected(
            "wire_format", f"schema {number} has no message with the index {path}"
        ) from None


def _fields(message: Any) -> Any:
    name = message.DESCRIPTOR.full_name
    if name == "google.protobuf.Timestamp":
        return message.ToDatetime(tzinfo=UTC)
    if name in _WRAPPERS:
        return message.value
    return {field.name: _value(message, field) for field in message.DESCRIPTOR.fields}


def _value(message: Any, field: Any) -> Any:
    found = getattr(message, field.name)
    if field.type == _MESSAGE and field.message_type.GetOptions().map_entry:
        return {str(key): _plain(value, None) for key, value in found.items()}
    if field.is_repeated:
        return [_plain(each, field) for each in found]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _plain(found, field)


def _plain(value: Any, field: Any) -> Any:
    if hasattr(value, "DESCRIPTOR"):
        return _fields(value)
    if field is not None and field.type == _ENUM:
        named = field.enum_type.values_by_number.get(value)
        return named.name if named else value
    return value
