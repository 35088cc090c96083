from __future__ import annotations

from typing import Any

import pytest

from everfresh.contracts.dead_letter import (
    DEAD_CUT_FROM,
    DEAD_OFFSET,
    DEAD_TIMESTAMP,
    DEAD_TOPIC,
    REDRIVEN_FROM,
    decode_dead_letter,
)
from everfresh.contracts.errors import EventRejected
from everfresh.streaming.log.records import MAX_RECORD_BYTES
from everfresh.streaming.outbox.dead_letters import MAX_ORIGINAL_BYTES, dead_letter
from everfresh.streaming.outbox.rows import OutboxRow
from tests.streaming.sample_log import LogRecord

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
    sent_again = [("ce_id", b"e1"), (REDRIVEN_FROM, b"t.events/0/7/1234")]
    again = row(offset=50, headers=sent_again)
    letter = decode_dead_letter((0, 100), again.key, again.value, again.headers)
    assert letter is not None
    assert letter.offset == 50
    assert letter.headers == sent_again


@pytest.mark.parametrize(
    "strange",
    [
        [(DEAD_CUT_FROM, b"abc")],
        [(REDRIVEN_FROM, b"\xff")],
        [(DEAD_TOPIC, b"other"), (DEAD_OFFSET, b"1")],
        [*row().headers, (DEAD_CUT_FROM, b"1")],
        row().headers,
    ],
)
def test_a_record_cannot_hide_its_letter_by_headers_of_our_names(
    strange: list[tuple[str, bytes]],
) -> None:
    for long in (b"", b"x" * (9 << 20)):
        written = row(offset=60, headers=strange, value=long)
        letter = decode_dead_letter((0, 1), written.key, written.value, written.headers)
        assert letter is not None
        assert (letter.topic, letter.offset) == ("t.events", 60)
        assert (letter.cut_from is None) == (not long)
        assert letter.headers == strange


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (DEAD_TOPIC, b"[/x]"),
        (DEAD_TOPIC, b""),
        (DEAD_OFFSET, b"-1"),
        (DEAD_OFFSET, "٣".encode()),
        (DEAD_OFFSET, b"9" * 30),
        (DEAD_TIMESTAMP, b"9" * 18),
        (DEAD_TIMESTAMP, b"1_000"),
        ("dead_reason", b"\x1b[31m"),
    ],
)
def test_a_letter_whose_headers_the_worker_cannot_have_written_is_none(
    name: str, content: bytes
) -> None:
    forged = [(each, content if each == name else value) for each, value in row().headers]
    assert decode_dead_letter((0, 1), b"k", b"v", forged) is None


@pytest.mark.parametrize(
    "long",
    [
        {"value": b"x" * (9 << 20)},
        {"key": b"k" * (9 << 20)},
        {"headers": [("h", b"x" * (9 << 20)), ("n", b"")]},
        {"key": b"k" * (2 << 20), "headers": [("h", b"x" * (3 << 20))], "value": b"v" * (4 << 20)},
        {"headers": [("h", b"")] * (1 << 20)},
    ],
)
def test_a_record_too_long_to_keep_is_cut_says_so_and_fits(long: dict[str, Any]) -> None:
    written = row(**long)
    letter = decode_dead_letter((0, 1), written.key, written.value, written.headers)
    assert letter is not None
    assert letter.cut_from is not None
    assert letter.cut_from > MAX_ORIGINAL_BYTES
    headers = sum(len(name) + len(content) + 10 for name, content in written.headers)
    assert len(written.key or b"") + len(written.value or b"") + headers < MAX_RECORD_BYTES


def test_a_record_that_is_no_dead_letter_is_none() -> None:
    assert decode_dead_letter((0, 1), b"k", b"v", []) is None
    assert decode_dead_letter((0, 1), b"k", b"v", [(DEAD_TOPIC, b"t")]) is None
    broken = [(name, b"\xff") for name, _ in row().headers]
    assert decode_dead_letter((0, 1), b"k", b"v", broken) is None
