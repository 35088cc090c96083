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


def at(
    committed: Any, start: int, end: int, reported: int | None = None, **options: Any
) -> Position:
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
    assert at(None, 3, 9, reported=5) == Position(5, first=True)
    assert at(None, 3, 9, reported=5, begin="latest") == Position(5, first=True)
    assert at((6, "id-now"), 3, 9, reported=5) == Position(6)
    with pytest.raises(LogMismatch, match="retention removed"):
        at(None, 3, 9, reported=1)


def test_positions_are_those_that_bridges_reported_of_that_very_topic() -> None:
    def said(component: str, topic_id: str, positions: Any, source: str = "shop") -> Any:
        figures = {"source": source, "topic_id": topic_id, "positions": positions}
        return ComponentStatus(component, "bridge", 1, "stopped", figures)

    statuses = [
        said("bridge-shop", "id-now", {"0": 7, "1": 5}),
        said("bridge-shop-1", "id-now", {"1": 9, "x": 3, "2": "4"}),
        said("bridge-shop-2", "id-before", {"0": 99}),
        said("bridge-other", "id-now", {"0": 99}, "other"),
        said("bridge-shop-3", "id-now", "nothing"),
        ComponentStatus("worker-0", "worker", 1, "running", {"lag": 3}),
    ]
    assert reported_positions(statuses, "shop", "id-now") == {0: 7, 1: 9}
