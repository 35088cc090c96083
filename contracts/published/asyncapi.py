"""The AsyncAPI 3.0 document of a deployment: topics, keys, headers and values, as others see them.

An operation says what everfresh does: it receives events, and sends exposures, outcomes and dead
letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from everfresh.contracts import dead_letter as dead
from everfresh.contracts import event_codec as codec
from everfresh.contracts.published.schemas import (
    RECORDS,
    EventRecord,
    PublishedRecord,
    components,
    examples_for,
)
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import DEAD_LETTERS, EVENTS, TopicSpec, topic_name

_REF = "#/components/schemas/{name}"
_BINDING = "0.5.0"


def asyncapi_document(settings: Settings, version: str) -> dict[str, Any]:
    """The document for the settings' topic prefix, event types and limits. ``version`` is
    everfresh's."""
    prefix = settings.kafka.topic_prefix
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {DEAD_LETTERS.name: _dead_letter()}
    for record in RECORDS:
        channels[record.name] = _channel(prefix, record.spec)
        verb = "receive" if record.received else "send"
        operations[f"{verb}-{record.name}"] = _operation(verb, record.spec)
        messages[record.name] = _message(record, settings.events.actions)
    channels[DEAD_LETTERS.name] = _channel(prefix, DEAD_LETTERS)
    operations[f"send-{DEAD_LETTERS.name}"] = _operation("send", DEAD_LETTERS)
    messages[EVENTS.name]["headers"] = _event_headers()
    schemas = components(settings.events.actions, _REF)
    limit = f" A value has at most {settings.events.max_bytes:,} bytes."
    schemas[EventRecord.__name__]["description"] += limit
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "everfresh",
            "version": version,
            "description": "Topics that applications write to everfresh, or read from it.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    }


def _channel(prefix: str, spec: TopicSpec) -> dict[str, Any]:
    address = topic_name(prefix, spec)
    return {
        "address": address,
        "description": spec.about,
        "messages": {spec.name: {"$ref": f"#/components/messages/{spec.name}"}},
        "bindings": {"kafka": {"topic": address, "bindingVersion": _BINDING}},
    }


def _operation(action: str, spec: TopicSpec) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{spec.name}"}}


def _message(record: PublishedRecord, actions: Sequence[str]) -> dict[str, Any]:
    return {
        "name": record.name,
        "contentType": "application/json",
        "payload": {"$ref": _REF.format(name=record.type.__name__)},
        "bindings": _key(record.key),
        "examples": [{"payload": example} for example in examples_for(record, actions)],
    }


def _key(about: str) -> dict[str, Any]:
    key = {"type": "string", "description": about}
    return {"kafka": {"key": key, "bindingVersion": _BINDING}}


def _event_headers() -> dict[str, Any]:
    """CloudEvents' Kafka binding, binary mode, and W3C trace context; none of them is needed."""
    texts = {
        codec.CE_VERSION: codec.SPEC_VERSION.decode(),
        codec.CE_ID: "The event's id, if the value has none.",
        codec.CE_TYPE: "The event's type, if the value has none.",
        codec.CE_TIME: "When it happened (RFC 3339, with an offset), if the value has no time.",
        codec.CE_SOURCE: "What made the event; it is not read.",
        codec.CONTENT_TYPE: "application/json; it is not read.",
        "traceparent": "The trace that the event is sent in (W3C); read where traces are on.",
        "tracestate": "Beside traceparent, where a tracing system has more to say.",
    }
    properties: dict[str, Any] = {
        name: {"type": "string", "description": about} for name, about in texts.items()
    }
    properties[codec.CE_VERSION] = {"type": "string", "const": codec.SPEC_VERSION.decode()}
    return {"type": "object", "properties": properties}


def _dead_letter() -> dict[str, Any]:
    texts = {
        dead.DEAD_TOPIC: "Topic of the record that was not accepted.",
        dead.DEAD_PARTITION: "Its partition, in decimals.",
        dead.DEAD_OFFSET: "Its offset, in decimals.",
        dead.DEAD_TIMESTAMP: "Its timestamp, in UTC milliseconds, in decimals.",
        dead.DEAD_REASON: "Why it was not accepted, as a short name.",
        dead.DEAD_DETAIL: "What was expected and what was found.",
    }
    return {
        "name": DEAD_LETTERS.name,
        "contentType": "application/octet-stream",
        "description": "Key and value are the original bytes. The original headers come first, "
        "then those listed here.",
        "headers": {
            "type": "object",
            "required": list(texts),
            "properties": {
                name: {"type": "string", "description": about} for name, about in texts.items()
            },
        },
        "payload": {},
        "bindings": _key("The key of the record that was not accepted."),
    }
