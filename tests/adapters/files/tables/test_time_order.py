"""Events sorted by time through a file: every order, and the order of equal times."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from everfresh.adapters.files.tables.time_order import TimeOrder
from everfresh.contracts.event import Event


def events(times: list[int]) -> list[Event]:
    return [
        Event("", "view", time, f"u{number}", number, float(number), None, {"n": number})
        for number, time in enumerate(times)
    ]


@pytest.mark.parametrize("run", [1, 7, 300, 1000])
def test_events_come_by_time_and_those_of_one_time_as_they_came(tmp_path: Path, run: int) -> None:
    given = events(random.Random(5).choices(range(40), k=500))
    order = TimeOrder(given, tmp_path / "scratch", run)
    assert list(order) == sorted(given, key=lambda event: event.time)
    assert list(order) == list(order)
    assert len(order) == 500
    assert not order.sorted_already


@pytest.mark.parametrize("run", [3, 1000])
def test_events_in_order_are_known_as_such(tmp_path: Path, run: int) -> None:
    given = events(sorted([0, 0, 0, *range(50)]))
    order = TimeOrder(given, tmp_path, run)
    assert order.sorted_already
    assert list(order) == given


def test_nothing_is_left_on_the_disk(tmp_path: Path) -> None:
    order = TimeOrder(events([2, 1]), tmp_path / "scratch")
    assert list((tmp_path / "scratch").iterdir()) == []
    del order


def test_no_events_are_none(tmp_path: Path) -> None:
    assert list(TimeOrder([], tmp_path)) == []
