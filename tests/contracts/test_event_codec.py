"""Decoding: every record is an event or has one countable reason why not."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everfresh.contracts.errors import EventRejected
from everfresh.contracts.event import Event, user_key
from everfresh.contracts.event_codec import EventDecoder, event_headers
from everfresh.contracts.foreign import MAX_TIME_MS

DECODER = EventDecoder(["view", "click"], 1000)
GOOD = {"id": "a", "type": "view", "time": 1_700_000_000_000, "user_id": 7, "item_id": "x"}


def reason(
    value: bytes | dict[str, Any] | None,
    key: bytes | None = b"7",
    headers: tuple[tuple[str, bytes], ...] = (),
) -> str:
    raw = json.dumps(value).encode() if isinstance(value, dict) else value
    with pytest.raises(EventRejected) as caught:
        DECODER.decode(key, raw, headers)
    assert caught.value.detail
    return caught.value.reason


def test_a_valid_record_becomes_its_event() -> None:
    event = DECODER.decode(b"7", json.dumps(GOOD).encode(), ())
    assert event == Event("a", "view", 1_700_000_000_000, 7, "x")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"user_id": True}, "bad_user_id"),
        ({"user_id": ""}, "bad_user_id"),
        ({"user_id": 2**63}, "bad_user_id"),
        ({"user_id": "ü" * 101}, "bad_user_id"),
        ({"user_id": None}, "bad_user_id"),
        ({"item_id": 1.5}, "bad_item_id"),
        ({"item_id": -(2**63) - 1}, "bad_item_id"),
        ({"item_id": ""}, "bad_item_id"),
        ({"time": "yesterday"}, "bad_time"),
        ({"time": -1}, "bad_time"),
        ({"time": 1_700_000_000_000_000}, "bad_time"),
        ({"value": 1e300}, "bad_value"),
        ({"value": "much"}, "bad_value"),
        ({"type": "teleport"}, "unknown_type"),
        ({"type": 5}, "wrong_field"),
        ({"id": ""}, "wrong_field"),
        ({"attributes": []}, "wrong_field"),
        ({"request_id": 3}, "wrong_field"),
    ],
)
def test_each_fault_has_its_own_reason(change: dict[str, Any], expected: str) -> None:
    user = change.get("user_id", 7)
    assert reason({**GOOD, **change}, key=str(user).encode() or b"7") == expected


@pytest.mark.parametrize("field", ["id", "type", "time", "user_id", "item_id"])
def test_a_field_that_is_in_neither_value_nor_headers_is_missing(field: str) -> None:
    assert reason({name: held for name, held in GOOD.items() if name != field}) == "missing_field"


def test_records_without_a_key_are_keyless() -> None:
    assert reason(GOOD, key=None) == "keyless"
    assert reason(GOOD, key=b"") == "keyless"


def test_a_key_other_than_the_user_id_is_refused() -> None:
    assert reason(GOOD, key=b"8") == "key_mismatch"


def test_a_value_that_is_too_long_is_not_even_parsed() -> None:
    assert reason(b"x" * 1001) == "oversize"


def test_values_that_are_no_json_object_are_told_apart() -> None:
    assert reason(None) == "not_json"
    assert reason(b"") == "not_json"
    assert reason(b"\xff\xfe") == "not_json"
    assert reason(b"[" * 1000) == "not_json"
    assert reason(b"[]") == "wrong_field"


def test_another_cloudevents_version_is_refused() -> None:
    assert reason(GOOD, headers=(("ce_specversion", b"0.3"),)) == "unsupported_version"
    DECODER.decode(b"7", json.dumps(GOOD).encode(), (("ce_specversion", b"1.0"),))


def test_fields_that_only_the_headers_hold_complete_the_event() -> None:
    event = Event("a", "view", 1_700_000_000_123, 7, "x")
    bare = json.dumps({"user_id": 7, "item_id": "x"}).encode()
    assert DECODER.decode(b"7", bare, event_headers(event, b"test")) == event


def test_a_header_time_without_an_offset_is_refused() -> None:
    bare = {name: held for name, held in GOOD.items() if name != "time"}
    assert reason(bare, headers=(("ce_time", b"2026-01-01T00:00:00"),)) == "bad_time"
    assert reason(bare, headers=(("ce_time", b"\xff"),)) == "wrong_field"


def test_where_value_and_headers_differ_the_value_holds() -> None:
    event = DECODER.decode(b"7", json.dumps(GOOD).encode(), (("ce_type", b"click"),))
    assert event.type == "view"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_fields = st.fixed_dictionaries(
    {}, optional=dict.fromkeys((*GOOD, "value", "request_id", "attributes"), _json)
)
_values = st.none() | st.binary(max_size=60) | _fields.map(lambda made: json.dumps(made).encode())
_names = st.sampled_from(["ce_specversion", "ce_id", "ce_type", "ce_time", "other"])
_headers = st.lists(st.tuples(_names, st.binary(max_size=12) | st.just(b"1.0")), max_size=4)


@given(key=st.none() | st.binary(max_size=8), value=_values, headers=_headers)
def test_whatever_the_bytes_only_rejection_is_raised(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    for decoder in (DECODER, EventDecoder(None, 1000)):
        try:
            event = decoder.decode(key, value, headers)
        except EventRejected:
            continue
        assert str(event.user_id).encode() == key


_ids = st.integers(-(2**63), 2**63 - 1) | st.text(min_size=1, max_size=50)
_events = st.builds(
    Event,
    id=st.text(min_size=1, max_size=20),
    type=st.sampled_from(["view", "click"]),
    time=st.integers(0, MAX_TIME_MS),
    user_id=_ids,
    item_id=_ids,
    value=st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False),
    request_id=st.none() | st.text(max_size=9),
    attributes=st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)


@given(event=_events)
def test_decode_of_what_a_producer_writes_is_the_event(event: Event) -> None:
    key, value = user_key(event.user_id), msgspec.json.encode(event)
    headers = event_headers(event, b"test")
    assert EventDecoder(["view", "click"], 10**6).decode(key, value, headers) == event
    kept = {"user_id": event.user_id, "item_id": event.item_id, "value": event.value}
    bare = msgspec.json.encode({**kept, "request_id": event.request_id})
    thin = EventDecoder(["view", "click"], 10**6).decode(key, bare, headers)
    assert thin == msgspec.structs.replace(event, attributes=None)
