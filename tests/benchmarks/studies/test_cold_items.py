"""``studies.cold_items`` in its short form, over little."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.studies.cold_items import __main__ as cold_items
from benchmarks.studies.cold_items.streams import held_out, known_by
from everfresh.contracts.event import Event
from everfresh.contracts.items.record import Item
from tests.benchmarks.short_run import short_run


def test_a_short_run_over_little_gives_all_figures_and_names_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cold_items, "_QUICK", (600, 3))
    figures = short_run(cold_items.main, tmp_path, "--format", "drifting")
    assert figures["fresh_events"] > 0
    assert figures.keys() >= {"fresh_hr10_all", "fresh_hr10_markov_low", "other_all_over_none_high"}


def test_an_item_that_is_held_out_is_known_only_from_the_window_that_brings_it() -> None:
    events = [Event(f"e{n}", "click", n, n % 7, n % 20) for n in range(200)]
    films = [Item(id=item, attributes={"year": 1990 + item}) for item in range(20)]
    stream = held_out(events, films, 5, 50, seed=1)
    assert stream.counted is not None
    assert len(stream.counted) == 2
    for item in stream.counted:
        known = [item in records for records in known_by("year", stream.records)]
        met = [
            any(t.item == item for each in window.examples for t in each.targets)
            for window in stream.windows
        ]
        assert known.index(True) == met.index(True) >= 2
        assert all(known[known.index(True) :])
    assert known_by("none", stream.records) == [{}] * 5
