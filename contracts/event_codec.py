"""Decodes a record's bytes into an event, or gives one countable reason why not.

The same rules hold on both sides of the log: the producer runs what it is about to send through
:class:`EventDecoder`, the stream worker everything it reads. Needs msgspec and nothing else.

Reasons: ``keyless``, ``oversize``, ``unsupported_version``, ``not_json``, ``missing_field``,
``wrong_field``, ``unknown_type``, ``bad_user_id``, ``bad_item_id``, ``bad_time``, ``bad_value``,
``key_mismatch``; and ``in_the_future``, which the worker adds, since it needs the append time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec

from everfresh.contracts.errors import EventRejected
from everfresh.contracts.event import MAX_ID_BYTES, Event, user_key
from everfresh.contracts.foreign import MAX_TIME_MS, UNREADABLE

CE_VERSION = "ce_specversion"
CE_ID = "ce_id"
CE_TYPE = "ce_type"
CE_SOURCE = "ce_source"
CE_TIME = "ce_time"
CONTENT_TYPE = "content-type"
SPEC_VERSION = b"1.0"

MAX_VALUE = 3.4028234663852886e38
"""The largest finite 32-bit float: values are kept in that precision."""

Headers = Sequence[tuple[str, bytes]]

_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_SURELY_FITS = MAX_ID_BYTES // 4  # characters; UTF-8 takes at most four bytes for one
_Id = (
    Annotated[int, msgspec.Meta(ge=_INT_MIN, le=_INT_MAX)]
    | Annotated[str, msgspec.Meta(min_length=1, max_length=_SURELY_FITS)]
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
REASON_OF_FIELD = {
    "user_id": "bad_user_id",
    "item_id": "bad_item_id",
    "time": "bad_time",
    "value": "bad_value",
}
"""Why an event is rejected for one of these fields; ``wrong_field`` for another."""


class PlainEvent(Event, frozen=True):
    """An :class:`Event` that needs no further look at its fields, the type's name apart.

    What decodes as this, :class:`EventDecoder` accepts; what does not, it may accept all the same.
    """

    id: Annotated[str, msgspec.Meta(min_length=1)]
    time: Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS)]
    user_id: _Id
    item_id: _Id
    value: Annotated[float, msgspec.Meta(ge=-MAX_VALUE, le=MAX_VALUE)] | None = None


class EventDecoder:
    """Decodes and validates records; immutable, so one may be shared.

    ``actions`` are the accepted event types, ``None`` where any non-empty type will do;
    ``max_bytes`` is the longest accepted value.
    """

    def __init__(self, actions: Iterable[str] | None, max_bytes: int) -> None:
        self._actions = None if actions is None else frozenset(actions)
        self._max_bytes = max_bytes
        self._decode_fields = msgspec.json.Decoder(Event).decode
        self._encode = msgspec.json.Encoder().encode

    def decode(self, key: bytes | None, value: bytes | None, headers: Headers) -> Event:
        """The event of one record; raises :class:`EventRejected` and nothing else.

        Fields that the value lacks are taken from the CloudEvents headers; where both name one,
        the value holds.
        """
        if not key:
            raise EventRejected("keyless", "the record key must be the user id, found none")
        if value is None:
            raise EventRejected("not_json", "the record has no value")
        self._check_size(value)
        for name, content in headers:
            if name == CE_VERSION:
                if content != SPEC_VERSION:
                    raise EventRejected(
                        "unsupported_version", f"{CE_VERSION} 1.0 expected, found {content!r}"
                    )
                break
        try:
            event = self._decode_fields(value)
        except UNREADABLE:
            event = _decode_slowly(value, headers)
        self._check(event, key)
        return event

    def encode(self, event: Event) -> tuple[bytes, bytes]:
        """Key and value of an event at hand; ``EventRejected`` where :meth:`decode` would raise it.

        For events that were read from JSON: numbers that JSON does not have are not looked for.
        """
        try:
            key, value = user_key(event.user_id), self._encode(event)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise EventRejected(
                "wrong_field", f"the event cannot be written as JSON: {error}"
            ) from None
        self._check_size(value)
        self._check(event, key)
        return key, value

    def _check_size(self, value: bytes) -> None:
        if len(value) > self._max_bytes:
            raise EventRejected(
                "oversize", f"at most {self._max_bytes} bytes are accepted, found {len(value)}"
            )

    def _check(self, event: Event, key: bytes) -> None:
        _check_id("bad_user_id", "user_id", event.user_id)
        _check_id("bad_item_id", "item_id", event.item_id)
        if user_key(event.user_id) != key:
            raise EventRejected(
                "key_mismatch", f"the key must be the user id {event.user_id!r}, found {key!r}"
            )
        if not event.id:
            raise EventRejected("wrong_field", "id must not be empty")
        if self._actions is not None and event.type not in self._actions:
            raise EventRejected(
                "unknown_type", f"one of {sorted(self._actions)} expected, found {event.type!r}"
            )
        if not event.type:
            raise EventRejected("wrong_field", "type must not be empty")
        if not 0 <= event.time <= MAX_TIME_MS:
            raise EventRejected(
                "bad_time", f"UTC milliseconds since 1970 expected, found {event.time}"
            )
        if event.value is not None and not -MAX_VALUE <= event.value <= MAX_VALUE:
            raise EventRejected(
                "bad_value", f"a finite 32-bit number expected, found {event.value}"
            )


def in_the_future(time: int, appended: int) -> EventRejected:
    """Why an event of ``time`` is not accepted at ``appended``, both UTC ms."""
    return EventRejected(
        "in_the_future",
        f"time {time} is {time - appended} ms later than the broker's; check the producer's clock",
    )


def _check_id(reason: str, field: str, value: int | str) -> None:
    if isinstance(value, int):
        if not _INT_MIN <= value <= _INT_MAX:
            raise EventRejected(reason, f"{field} must fit 64 bits signed, found {value}")
        return
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise EventRejected(reason, f"{field} is not valid Unicode text") from None
    if not 1 <= size <= MAX_ID_BYTES:
        raise EventRejected(reason, f"{field} must have 1 to {MAX_ID_BYTES} bytes, found {size}")


def _decode_slowly(value: bytes, headers: Headers) -> Event:
    """Decode what the fast path refused: completed from the headers, or a reason found."""
    try:
        fields = msgspec.json.decode(value)
    except UNREADABLE as error:
        raise EventRejected("not_json", str(error)) from None
    if not isinstance(fields, dict):
        raise EventRejected("wrong_field", "the value must be a JSON object")
    _complete(fields, headers)
    for name in Event.__struct_fields__:
        if name not in fields and name in ("id", "type", "time", "user_id", "item_id"):
            raise EventRejected("missing_field", f"{name} is missing")
    try:
        return msgspec.convert(fields, Event)
    except UNREADABLE as error:
        path = str(error).rpartition("at `$.")[2].rstrip("`")
        field = path.partition("[")[0].partition(".")[0]
        reason = REASON_OF_FIELD.get(field, "wrong_field")
        raise EventRejected(reason, str(error)) from None


def _complete(fields: dict[str, Any], headers: Headers) -> None:
    for name, content in headers:
        field = {CE_ID: "id", CE_TYPE: "type", CE_TIME: "time"}.get(name)
        if field is None or field in fields:
            continue
        try:
            text = content.decode()
        except (UnicodeDecodeError, AttributeError):
            raise EventRejected("wrong_field", f"header {name} is not UTF-8 text") from None
        fields[field] = _milliseconds(text) if field == "time" else text


def _milliseconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        return (moment - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, TypeError, OverflowError):
        raise EventRejected(
            "bad_time", f"header {CE_TIME} must be an RFC 3339 time with an offset, found {text!r}"
        ) from None


def event_headers(event: Event, source: bytes) -> list[tuple[str, bytes]]:
    """The CloudEvents headers (Kafka binding, binary mode) of a valid event."""
    moment = _EPOCH + timedelta(milliseconds=event.time)
    return [
        (CE_VERSION, SPEC_VERSION),
        (CE_ID, event.id.encode()),
        (CE_TYPE, event.type.encode()),
        (CE_SOURCE, source),
        (CE_TIME, moment.isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()),
        (CONTENT_TYPE, b"application/json"),
    ]
