"""What the producer sends is what it was given, or is refused with the field named."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import fractions
import math
import uuid
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everfresh.contracts.errors import EventRejected
from everfresh.contracts.event import Event
from everfresh.contracts.event_codec import EventDecoder
from everfresh.streaming.producer import EventProducer

GOOD: dict[str, Any] = {"id": "e", "type": "view", "time": 1, "user_id": 7, "item_id": 1}


class Number(int): ...


class Text(str):
    __slots__ = ()


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    BIG = 5


class Kind(enum.StrEnum):
    NEW = "new"


def unconnected() -> EventProducer:
    """No broker is needed to see what would be sent."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("everfresh.streaming.producer.connect", lambda settings: None)
        return EventProducer("127.0.0.1:1")


@pytest.fixture
def producer() -> EventProducer:
    return unconnected()


def sent(producer: EventProducer, fields: dict[str, Any]) -> Event:
    """As a worker reads what would be sent."""
    key, value, headers = producer._wire(Event(**{**GOOD, **fields}))
    return EventDecoder(None, 65_536).decode(key, value, headers)


UNKEPT: list[Any] = [
    *(b"x", bytearray(b"x"), decimal.Decimal("5"), Colour.RED, uuid.uuid4()),
    *(datetime.datetime.now(datetime.UTC), datetime.date.today(), datetime.timedelta(1)),
    *({1}, frozenset([1]), np.array([1]), np.bool_(True), 1j, object(), msgspec.Raw(b"1")),
    *(collections.deque([1]), msgspec.UNSET, fractions.Fraction(1, 3)),
    *(math.nan, math.inf, -math.inf, np.float64("nan"), np.float32("inf"), "\ud800"),
]


@pytest.mark.parametrize("value", UNKEPT, ids=lambda value: f"{type(value).__name__}")
def test_what_json_would_change_is_refused_with_the_field_named(
    producer: EventProducer, value: Any
) -> None:
    for fields, name in (
        ({"attributes": {"price": value}}, r"attributes\.price"),
        ({"attributes": {"a": [1, {"b": (value,)}]}}, r"attributes\.a\[1\]\.b\[0\]"),
        ({"id": value}, "id"),
        ({"type": value}, "type"),
        ({"user_id": value}, "user_id"),
        ({"item_id": value}, "item_id"),
        ({"value": value}, "value"),
        ({"time": value}, "time"),
        ({"request_id": value}, "request_id"),
    ):
        with pytest.raises(EventRejected, match=rf": {name} (is|has) ") as caught:
            sent(producer, fields)
        reasons = {"wrong_field", f"bad_{name}"}
        assert caught.value.reason in reasons


@pytest.mark.parametrize("key", [1, 1.5, None, True, b"x", datetime.date(2026, 1, 1)])
def test_keys_that_are_no_text_are_refused(producer: EventProducer, key: Any) -> None:
    with pytest.raises(EventRejected, match=r"attributes\.a has the key .*JSON's keys are text"):
        sent(producer, {"attributes": {"a": {key: 1}}})


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        *((Number(5), 5), (Size.BIG, 5), (np.int64(5), 5), (np.uint8(5), 5)),
        *((Text("x"), "x"), (np.str_("x"), "x"), (Kind.NEW, "new"), (2**63 - 1, 2**63 - 1)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_numbers_and_text_of_other_types_are_taken_for_what_they_are(
    producer: EventProducer, value: Any, kept: Any
) -> None:
    event = sent(producer, {"user_id": value, "item_id": value, "attributes": {"a": [value]}})
    assert (event.user_id, event.item_id, event.attributes) == (kept, kept, {"a": [kept]})
    assert type(event.user_id) is type(event.item_id) is type(kept)


def test_fractions_of_other_types_are_taken_where_a_number_equals_them(
    producer: EventProducer,
) -> None:
    values = [np.float64(0.1), np.float32(0.1), fractions.Fraction(1, 4)]
    event = sent(producer, {"value": np.float32(4.5), "attributes": {"a": values}})
    assert event.value == 4.5
    assert event.attributes == {"a": [0.1, float(np.float32(0.1)), 0.25]}


def test_a_tuple_is_a_list(producer: EventProducer) -> None:
    assert sent(producer, {"attributes": {"a": (1, (2,))}}).attributes == {"a": [1, [2]]}


def test_attributes_that_hold_themselves_are_refused(producer: EventProducer) -> None:
    endless: dict[str, Any] = {}
    endless["a"] = endless
    with pytest.raises(EventRejected, match="attributes is nested too deeply, or holds itself"):
        sent(producer, {"attributes": endless})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(attributes=st.dictionaries(st.text(), json_values | st.text()))
def test_what_json_has_comes_back_as_it_was_given(attributes: dict[str, Any]) -> None:
    assert sent(unconnected(), {"attributes": attributes}).attributes == attributes
