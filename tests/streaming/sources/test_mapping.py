"""A source's mapping: paths, renames, filters, kinds of ids, units of time, and what is refused."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everfresh.contracts.errors import EventRejected
from everfresh.contracts.event import Event
from everfresh.contracts.settings import SourceSettings
from everfresh.streaming.sources.mapping import SourceMapping, SourceRecord

TIME = 1_782_907_200_000
BASE: dict[str, Any] = {"topic": "shop", "user": "user", "item": "item", "type": "view"}


def mapped(fields: Any, key: bytes | None = b"k", headers: Any = (), **table: Any) -> Event | None:
    record = SourceRecord("shop/0/7/5", TIME, key, list(headers), fields)
    return SourceMapping(SourceSettings(**{**BASE, **table})).event(record)


def refused(fields: Any, **table: Any) -> str:
    with pytest.raises(EventRejected) as caught:
        mapped(fields, **table)
    return caught.value.reason


def test_the_shortest_mapping_takes_time_and_id_from_the_record() -> None:
    event = mapped({"user": 7, "item": "a", "more": 1})
    assert event == Event("shop/0/7/5", "view", TIME, 7, "a")


def test_paths_lead_into_fields_key_headers_and_names_with_dots() -> None:
    value = {"visitor": {"id": {"v": 9}}, "sku.code": "s", "kind": "Seen", "page": {"url": "/"}}
    event = mapped(
        value,
        headers=[("answer", b"r1"), ("none", None)],
        user="visitor.id.v",
        item="sku.code",
        type="",
        type_field="kind",
        types={"Seen": "view"},
        request_id="$headers.answer",
        value="$headers.none",
        attributes=["page.url", "$key", "absent"],
    )
    attributes = {"page.url": "/", "key": "k"}
    assert event == Event("shop/0/7/5", "view", TIME, 9, "s", None, "r1", attributes)


def test_a_filter_compares_values_as_json_does() -> None:
    good = {"user": 1, "item": 2, "country": "DE", "bot": False, "n": 1}
    for where in ({"country": ["AT", "DE"]}, {"bot": False}, {"n": 1}, {"n": 1, "bot": False}):
        assert mapped(good, where=where) is not None
    for where in ({"country": "AT"}, {"bot": 0}, {"n": True}, {"absent": "x"}, {"user.x": 1}):
        assert mapped(good, where=where) is None


@pytest.mark.parametrize(
    ("unit", "value"),
    [
        ("s", 1_782_907_200),
        ("s", "1782907200"),
        ("s", 1_782_907_200.0),
        ("ms", TIME),
        ("ms", Decimal(TIME)),
        ("us", TIME * 1000),
        ("ns", TIME * 1_000_000),
        ("iso", "2026-07-01T12:00:00Z"),
        ("iso", "2026-07-01T14:00:00+02:00"),
        ("ms", datetime(2026, 7, 1, 12, tzinfo=UTC)),
    ],
)
def test_times_of_every_unit_are_milliseconds(unit: str, value: Any) -> None:
    event = mapped({"user": 1, "item": 2, "at": value}, time="at", time_unit=unit)
    assert event is not None
    assert event.time == TIME


@pytest.mark.parametrize(
    ("unit", "value"),
    [
        ("ms", 1_782_907_200),  # seconds: the year 1970
        ("s", TIME),
        ("iso", "2026-07-01T12:00:00"),  # no zone
        ("iso", "yesterday"),
        ("ms", True),
        ("ms", "soon"),
        ("ms", float("inf")),
        ("ms", float("nan")),
        ("ms", [1]),
        ("ms", datetime(2026, 7, 1, 12)),
    ],
)
def test_a_time_that_is_none_or_of_another_unit_is_refused(unit: str, value: Any) -> None:
    assert refused({"user": 1, "item": 2, "at": value}, time="at", time_unit=unit) == "bad_time"


def test_ids_keep_their_kind_unless_one_is_asked_for() -> None:
    def user(value: Any, kind: str = "") -> Any:
        event = mapped({"user": value, "item": 2}, user_kind=kind)
        assert event is not None
        return event.user_id

    assert (user(7), user("7"), user(7.0), user(Decimal(7))) == (7, "7", 7, 7)
    assert (user("7", "integer"), user(7, "text"), user(7, "integer")) == (7, "7", 7)
    assert user(UUID(int=1)) == "00000000-0000-0000-0000-000000000001"
    for value, kind in ((True, ""), (7.5, ""), ([1], ""), ("07", "integer"), (b"7", "")):
        assert refused({"user": value, "item": 2}, user_kind=kind) == "bad_user_id"
    assert refused({"user": None, "item": 2}) == "missing_field"
    assert refused({"user": 1, "item": {"id": 2}}) == "bad_item_id"


def test_values_are_numbers_also_as_text() -> None:
    for found, value in ((4, 4.0), ("4.5", 4.5), (Decimal("0.5"), 0.5), (None, None)):
        event = mapped({"user": 1, "item": 2, "stars": found}, value="stars")
        assert event is not None
        assert event.value == value
    assert refused({"user": 1, "item": 2, "stars": "many"}, value="stars") == "bad_value"
    assert refused({"user": 1, "item": 2, "stars": True}, value="stars") == "bad_value"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("u", "i", "t", "k", "v", "r"), ANYTHING)),
    st.sampled_from(["s", "ms", "us", "ns", "iso"]),
    st.sampled_from(["", "integer", "text"]),
    st.none() | st.binary(),
)
def test_whatever_a_record_holds_it_is_an_event_or_refused_by_name(
    value: dict[str, Any], unit: str, kind: str, key: bytes | None
) -> None:
    table = {"user": "u", "item": "i", "type": "", "type_field": "k", "time": "t", "value": "v"}
    more = {"time_unit": unit, "user_kind": kind, "request_id": "r", "attributes": ["$key"]}
    with contextlib.suppress(EventRejected):
        assert isinstance(mapped(value, key, **table, **more), Event)
