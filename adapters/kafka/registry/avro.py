"""Avro values by the schema they were written with. The one file that names fastavro."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from importlib import import_module
from typing import Any

from everfresh.adapters.kafka.registry.client import RegistryClient, Schema
from everfresh.adapters.kafka.registry.wire_format import split
from everfresh.contracts.errors import EventRejected, MissingDependency, Unreachable


def avro_decoder(registry: RegistryClient) -> Callable[[bytes], Any]:
    """A function from a value to what it says; see ``RegistryClient`` for its errors."""
    try:
        fastavro: Any = import_module("fastavro")
    except ImportError:
        raise MissingDependency(
            "a source in Avro needs fastavro: pip install 'everfresh[sources]'"
        ) from None
    parsed: dict[int, Any] = {}

    def decode(value: bytes) -> Any:
        number, body = split(value)
        schema = parsed.get(number)
        if schema is None:
            schema = parsed[number] = _parsed(fastavro, registry.schema(number), number)
        try:
            return fastavro.schemaless_reader(io.BytesIO(body), schema, None)
        except Exception as error:
            raise EventRejected(
                "not_avro", f"the value is none of schema {number}: {error!r}"
            ) from None

    return decode


def _parsed(fastavro: Any, schema: Schema, number: int) -> Any:
    if schema.kind != "AVRO":
        raise EventRejected(
            "wire_format", f"schema {number} is {schema.kind}, and the source's format is avro"
        )
    named: dict[str, Any] = {}
    try:
        _add(fastavro, schema, named)
        return fastavro.parse_schema(json.loads(schema.text), named_schemas=named)
    except Exception as error:
        raise Unreachable(f"schema {number} of the registry is no Avro schema: {error!r}") from None


def _add(fastavro: Any, schema: Schema, named: dict[str, Any]) -> None:
    for reference in schema.references.values():
        _add(fastavro, reference, named)
        fastavro.parse_schema(json.loads(reference.text), named_schemas=named)
