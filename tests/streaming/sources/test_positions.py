"""Where a partition of a source is gone on with; a gap is named and never passed over."""

from __future__ import annotations

from typing import Any

import pytest

from everfresh.contracts.errors import LogMismatch
from everfresh.streaming.sources.positions import Found, Position, position


def at(committed: Any, start: int, end: int, **options: Any) -> Position:
    wanted = {"begin": "earliest", "accept_gap": False, "setting": "sources.shop", **options}
    return position("shop", "id-now", Found(1, committed, start, end), **wanted)


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
