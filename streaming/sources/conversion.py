"""From a record of a source to what is written of it: an event, a dead letter, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from everfresh.adapters.kafka.registry.avro import avro_decoder
from everfresh.adapters.kafka.registry.client import RegistryClient
from everfresh.adapters.kafka.registry.wire_format import is_framed
from everfresh.contracts.errors import EventRejected
from everfresh.contracts.event import Event
from everfresh.contracts.event_codec import EventDecoder, event_headers
from everfresh.contracts.foreign import UNREADABLE
from everfresh.contracts.settings import Settings, SourceSettings
from everfresh.streaming.sources.mapping import Headers, SourceMapping, SourceRecord

_ORIGIN = b"everfresh/bridge/"
_FRAME = 5
_CONTEXT = ("traceparent", "tracestate")
_LONGEST = 512
"""Bytes beyond which a header of these is no trace context."""
TOMBSTONE, FILTERED = "tombstone", "filtered"


class Converted(msgspec.Struct, frozen=True):
    """An event as it is written to the topic ``events``."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    event: Event


class Conversion:
    """One source's. ``Unreachable`` where the registry is asked and does not answer."""

    def __init__(self, name: str, settings: Settings) -> None:
        source = settings.sources[name]
        self._mapping = SourceMapping(source)
        self._decode = _value_decoder(source, settings)
        self._check = EventDecoder(settings.events.actions, settings.events.max_bytes)
        self._origin = _ORIGIN + name.encode()
        self._carries = settings.tracing.enabled
        self.reads_headers = self._mapping.reads_headers or self._carries

    def convert(
        self, place: str, timestamp: int, key: bytes | None, headers: Headers, value: bytes | None
    ) -> Converted | str:
        """An event, or why there is none (:data:`TOMBSTONE`, :data:`FILTERED`); ``EventRejected``
        for a record that becomes a dead letter."""
        if value is None:
            return TOMBSTONE
        fields = self._decode(value)
        event = self._mapping.event(SourceRecord(place, timestamp, key, headers, fields))
        if event is None:
            return FILTERED
        event_key, encoded = self._check.encode(event)
        written = event_headers(event, self._origin)
        if self._carries:  # the event stands in the trace that its record stood in
            written += [
                (name, content)
                for name, content in headers
                if name in _CONTEXT and content and len(content) <= _LONGEST
            ]
        return Converted(event_key, encoded, written, event)


def _value_decoder(source: SourceSettings, settings: Settings) -> Callable[[bytes], Any]:
    if source.format == "json":
        return _json_decoder()
    registry = RegistryClient(settings.registry)
    if source.format == "avro":
        return avro_decoder(registry)
    from everfresh.adapters.kafka.registry.protobuf import protobuf_decoder  # noqa: PLC0415 - slow

    return protobuf_decoder(registry)


def _json_decoder() -> Callable[[bytes], Any]:
    read = msgspec.json.Decoder(dict[str, Any]).decode

    def decode(value: bytes) -> Any:
        try:
            return read(value[_FRAME:] if is_framed(value) else value)
        except UNREADABLE as error:
            raise EventRejected("not_json", f"a JSON object was expected: {error}") from None

    return decode
