"""The quick way in and the exact one must agree, whatever comes."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from everfresh.contracts.errors import EventRejected
from everfresh.contracts.event import Event, user_key
from everfresh.contracts.event_codec import CE_VERSION, EventDecoder, event_headers
from everfresh.contracts.segment import encode_row, split
from everfresh.contracts.sequence import decode_entries, encode_entry, encode_id
from everfresh.streaming.fold.deduplication import RecentIds
from everfresh.streaming.fold.intake import Intake
from everfresh.streaming.state.write_batch import WriteBatch
from tests.streaming.sample_log import ACTIONS, START_MS, LogRecord, accepted, rejected

MAX_BYTES = 300
AHEAD_MS = 10**14
odd = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=3)
    | st.sampled_from(["é" * 100, "é" * 101, "x" * 200, "x" * 201, "\ud800", 1e39, -1, 2**63])
)
plain = st.fixed_dictionaries(
    {
        "id": st.just("e"),
        "type": st.sampled_from(ACTIONS),
        "time": st.integers(0, 10**12),
        "user_id": st.sampled_from([7, "7", "b"]),
        "item_id": st.sampled_from([1, -5, "x", "é" * 60]),
    }
)


@st.composite
def records(draw: st.DrawFn) -> LogRecord:
    """Mostly good records, with one field or one thing about them changed."""
    fields: dict[str, Any] = draw(plain)
    name = draw(st.sampled_from([None, None, *fields, "value", "attributes", "request_id"]))
    if name is not None:
        fields[name] = draw(odd)
        if draw(st.integers(0, 4)) == 0:
            del fields[name]
    user = fields.get("user_id")
    key = draw(st.sampled_from([_key(user), _key(user), _key(user), None, b"", b"7"]))
    headers = draw(
        st.sampled_from(
            [
                [],
                [(CE_VERSION, b"1.0")],
                [(CE_VERSION, b"0.3")],
                [("a", b"1"), (CE_VERSION, b"2")],
                [("ce_id", b"h"), ("ce_type", b"view"), ("ce_time", b"2026-01-01T00:00:00Z")],
            ]
        )
    )
    value: bytes | None = json.dumps(fields).encode()
    if draw(st.integers(0, 9)) == 0:
        value = draw(st.sampled_from([None, b"", b"[]", b"{", value + b" " * MAX_BYTES]))
    return LogRecord(0, START_MS, key, value, headers)


def _key(user: Any) -> bytes:
    return str(user).encode(errors="replace")


def exactly(record: LogRecord) -> Event | str:
    try:
        return EventDecoder(ACTIONS, MAX_BYTES).decode(record.key, record.value, record.headers)
    except EventRejected as cause:
        return str(cause)


@given(st.lists(records(), max_size=8))
def test_what_is_taken_and_what_is_rejected_is_what_the_decoder_says(
    log: list[LogRecord],
) -> None:
    for offset, record in enumerate(log):
        record.offset = offset
    taken = Intake(ACTIONS, MAX_BYTES, AHEAD_MS).take(log, START_MS + 1)
    verdicts = [exactly(record) for record in log]
    assert [(record.offset, str(cause)) for record, cause in taken.rejects] == [
        (offset, verdict) for offset, verdict in enumerate(verdicts) if isinstance(verdict, str)
    ]
    runs: dict[bytes, bytes] = {}
    for offset, event in enumerate(verdicts):
        if isinstance(event, Event):
            code = ACTIONS.index(event.type)
            entry = encode_entry(event.item_id, code, event.time, event.value)
            user = encode_id(event.user_id)
            runs[user] = runs.get(user, b"") + encode_row(offset, START_MS, entry)
    assert list(taken.runs.items()) == list(runs.items())
    assert (taken.count, taken.events) == (len(log), len(log) - len(taken.rejects))


def test_it_stops_before_the_first_record_of_a_later_period() -> None:
    log = [accepted(0, 1, 1, START_MS), rejected(1, START_MS), accepted(2, 1, 1, START_MS + 9)]
    taken = Intake(ACTIONS, 65_536, AHEAD_MS).take(log, START_MS + 9)
    assert (taken.count, taken.events, len(taken.rejects)) == (2, 1, 1)


def test_the_number_and_the_text_share_a_key_and_are_two_users() -> None:
    log = [accepted(offset, user, 1, START_MS) for offset, user in enumerate([7, "7", 7])]
    assert {user_key(7), user_key("7")} == {b"7"}
    runs = Intake(ACTIONS, 65_536, AHEAD_MS).take(log, START_MS + 1).runs
    assert {user: split(run)[1] for user, run in runs.items()} == {
        encode_id(7): [0, 2],
        encode_id("7"): [1],
    }


def test_an_event_that_is_too_far_in_the_future_is_rejected() -> None:
    """However it was written: plainly, or so that only the headers hold its time."""
    log = [accepted(offset, 7, 1, START_MS) for offset in range(3)]  # events of START_MS + offset
    moment = event_headers(Event("e", "view", START_MS + 9, 7, 1), b"test")
    bare = b'{"id": "e", "type": "view", "user_id": 7, "item_id": 1}'
    log.append(LogRecord(3, START_MS, b"7", bare, moment))
    taken = Intake(ACTIONS, 65_536, ahead_ms=1).take(log, START_MS + 1)
    assert [(record.offset, cause.reason) for record, cause in taken.rejects] == [
        (2, "in_the_future"),
        (3, "in_the_future"),
    ]
    assert taken.events == 2
    assert "check the producer's clock" in taken.rejects[0][1].detail


def test_an_event_of_long_ago_is_accepted_in_log_order() -> None:
    log = [accepted(0, 7, 1, START_MS), accepted(1, 7, 2, START_MS)]
    log[1].value = (log[1].value or b"").replace(str(START_MS + 1).encode(), b"5")
    run = Intake(ACTIONS, 65_536, ahead_ms=0).take(log, START_MS + 1).runs
    assert [entry.time for entry in decode_entries(split(run[encode_id(7)])[0], ACTIONS)] == [
        START_MS,
        5,
    ]


def test_a_duplicate_that_is_left_out_does_not_keep_its_users_place() -> None:
    """Or a slice's examples would stand in an order that depends on how the log was cut."""
    kept: dict[bytes, bytes] = {}
    recent = RecentIds(10, lambda keys: [kept.get(key) for key in keys])
    intake = Intake(ACTIONS, 65_536, AHEAD_MS)
    log = [accepted(offset, user, 1, START_MS) for offset, user in enumerate([8, 8, 1, 8])]
    log[1].value = log[0].value  # sent again
    batch = WriteBatch()
    recent.room(batch)
    recent.put(intake.take(log[:1], START_MS + 1, recent).ids, 0, batch)
    kept.update(batch.puts)
    taken = intake.take(log[1:], START_MS + 1, recent)
    assert [cause.reason for _, cause in taken.rejects] == ["duplicate_id"]
    assert list(taken.runs) == [encode_id(1), encode_id(8)]
