"""Where a partition of a source is gone on with; a gap is named and never passed over."""

from __future__ import annotations

from typing import Any

import pytest

from everfresh.contracts.errors import LogMismatch
from everfresh.contracts.report import ComponentStatus
from everfresh.streaming.sources.positions import (
    Found,
    Position,
    position,
    reported_positions,
)


def at(committed: Any, start: int, end: int, reported: Any = None, **options: Any) -> Position:
    wanted = {"begin": "earliest", "accept_gap": False, "setting": "sources.shop", **options}
    return position("shop", "id-now", Found(1, committed, start, end, reported), **wanted)


def test_the_first_time_begins_where_the_settings_say() -> None:
    assert at(None, 3, 9) == Position(3, first=True)
    assert at(None, 3, 9, begin="latest") == Position(9, first=True)


def test_it_goes_on_at_what_was_committed() -> None:
    assert at((5, "id-now"), 3, 9) == Position(5)
    assert at((9, "id-now"), 9, 9) == Position(9)
    assert at((5, ""), 3, 9) == Position(5)  # an offset that an operator has set


@pytest.mark.parametrize(
    ("committed", "words", "then"),
    [
        ((2, "id-now"), "retention removed up to 1 records", Position(3, first=True, gap=1)),
        ((12, "id-now"), "ends at offset 9", Position(3, first=True)),
        ((5, "id-before"), "deleted and created again", Position(3, first=True)),
    ],
)
def test_a_gap_is_named_with_the_setting_that_accepts_it(
    committed: Any, words: str, then: Position
) -> None:
    with pytest.raises(LogMismatch, match=words) as caught:
        at(committed, 3, 9)
    assert "sources.shop.accept_gap" in str(caught.value)
    assert at(committed, 3, 9, accept_gap=True) == then


def test_where_kafka_has_forgotten_the_offset_it_goes_on_at_what_was_reported() -> None:
    assert at(None, 3, 9, reported=(5, "id-now")) == Position(5, first=True)
    assert at(None, 3, 9, reported=(5, "id-now"), begin="latest") == Position(5, first=True)
    assert at((6, "id-now"), 3, 9, reported=(5, "id-now")) == Position(6)
    for reported, words in (((1, "id-now"), "retention"), ((5, "id-before"), "created again")):
        with pytest.raises(LogMismatch, match=words):
            at(None, 3, 9, reported=reported)


def test_positions_are_those_that_bridges_reported_last() -> None:
    def said(time: int, topic_id: Any, positions: Any, source: str = "shop") -> Any:
        figures = {"source": source, "topic_id": topic_id, "positions": positions}
        return ComponentStatus("bridge", "bridge", time, "stopped", figures)

    statuses = [
        said(5, "id-now", {"0": 7, "1": 5}),
        said(3, "id-before", {"1": 9, "2": 4}),
        said(6, "id-now", {"x": 3, "3": "4"}),
        said(6, None, {"0": 3}),
        said(9, "id-now", {"0": 99}, "other"),
        said(9, "id-now", "nothing"),
        ComponentStatus("worker-0", "worker", 9, "running", {"lag": 3}),
    ]
    expected = {0: (7, "id-now"), 1: (5, "id-now"), 2: (4, "id-before")}
    assert reported_positions(statuses, "shop") == expected
