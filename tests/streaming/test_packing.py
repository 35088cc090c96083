from __future__ import annotations

from faust.types import TP

from everfresh.streaming.log.fetch_transport import followed
from tests.streaming.log import START_MS, LogRecord, accepted

ONE, OTHER = TP("t", 0), TP("t", 1)


def records(*offsets: int) -> list[LogRecord]:
    return [accepted(offset, 1, offset, START_MS) for offset in offsets]


def offsets(found: dict[TP, list[LogRecord]], tp: TP) -> list[int]:
    return [record.offset for record in found[tp]]


def test_what_came_in_two_answers_is_one_fetch_in_log_order() -> None:
    # A hole, as transaction markers leave it, is none of this one's business.
    whole = followed({ONE: records(3, 4)}, {ONE: records(7, 8), OTHER: records(0)})
    assert offsets(whole, ONE) == [3, 4, 7, 8]
    assert offsets(whole, OTHER) == [0]


def test_where_reading_was_sent_back_between_two_answers_nothing_stands_twice() -> None:
    whole = followed({ONE: records(3, 4, 5), OTHER: records(1)}, {ONE: records(2, 3, 4)})
    assert offsets(whole, ONE) == [2, 3, 4]
    assert offsets(whole, OTHER) == [1]
