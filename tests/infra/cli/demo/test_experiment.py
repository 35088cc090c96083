"""The demo's simulated users: whom it asks for, and what they click."""

from __future__ import annotations

from pathlib import Path

from everfresh.contracts.settings import load_settings
from everfresh.infra.cli.demo.experiment import HORIZON_S, Taste, settings_of_trial

TASTE = Taste([(1, 10), (2, 20), (1, 11), (3, 30), (1, 12), (2, 21)])


def test_users_who_have_rated_and_will_rate_again_are_asked_for() -> None:
    assert TASTE.active(0) == []
    assert TASTE.active(2) == [1, 2], "3 has not rated before"
    assert TASTE.active(5) == [2]
    assert TASTE.active(6) == []


def test_a_user_clicks_the_first_shown_item_that_they_rate_next() -> None:
    assert TASTE.clicked(1, 2, [10, 12, 11]) == 12
    assert TASTE.clicked(1, 3, [11, 10]) is None, "both were rated before"
    assert TASTE.clicked(9, 0, [10]) is None


def test_outcomes_come_within_the_demos_time(tmp_path: Path) -> None:
    settings = settings_of_trial(load_settings({"home": str(tmp_path)}))
    assert settings.joins.horizon_s == HORIZON_S
