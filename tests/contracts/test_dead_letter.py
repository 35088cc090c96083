from __future__ import annotations

from contracts.dead_letter import DEAD_TOPIC, REDRIVEN_FROM, decode_dead_letter
from contracts.errors import EventRejected
from streaming.layout import OutboxRow
from streaming.letters import MAX_VALUE_BYTES, dead_letter
from tests.streaming.log import LogRecord

CAUSE = EventRejected("not_json", "JSON is malformed")


def row(**changes: object) -> OutboxRow:
    record = LogRecord(7, 1234, b"key", b"{oops", [("ce_id", b"e1"), ("empty", b"")])
    for name, value in changes.items():
        setattr(record, name, value)
    return dead_letter(record, CAUSE)


def test_what_the_worker_wrote_is_read_back_with_the_original_headers_alone() -> None:
    written = row()
    letter = decode_dead_letter((0, 99), written.key, written.value, written.headers)
    assert letter is not None
    assert letter.place == (0, 99)
    assert (letter.topic, letter.partition, letter.offset) == ("t.events", 0, 7)
    assert (letter.timestamp, letter.reason, letter.detail) == (1234, CAUSE.reason, CAUSE.detail)
    assert (letter.key, letter.value) == (b"key", b"{oops")
    assert letter.headers == [("ce_id", b"e1"), ("empty", b"")]
    assert letter.cut_from is None
    assert letter.identity == "t.events/0/7/1234"


def test_a_letter_refused_again_names_its_newest_place() -> None:
    first = row()
    again = row(offset=50, headers=[*first.headers, (REDRIVEN_FROM, b"t.events/0/7/1234")])
    letter = decode_dead_letter((0, 100), again.key, again.value, again.headers)
    assert letter is not None
    assert letter.offset == 50
    assert letter.headers == [("ce_id", b"e1"), ("empty", b"")]


def test_a_value_that_was_cut_says_so() -> None:
    written = row(value=b"x" * (MAX_VALUE_BYTES + 5))
    letter = decode_dead_letter((0, 1), None, written.value, written.headers)
    assert letter is not None
    assert letter.cut_from == MAX_VALUE_BYTES + 5


def test_a_record_that_is_no_dead_letter_is_none() -> None:
    assert decode_dead_letter((0, 1), b"k", b"v", []) is None
    assert decode_dead_letter((0, 1), b"k", b"v", [(DEAD_TOPIC, b"t")]) is None
    broken = [(name, b"\xff") for name, _ in row().headers]
    assert decode_dead_letter((0, 1), b"k", b"v", broken) is None
