"""The rules that the fold takes from the settings."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.settings import Settings
from everfresh.streaming.fold.rules import fold_rules


def test_the_rules_carry_the_settings(make_settings: Callable[..., Settings]) -> None:
    rules = fold_rules(make_settings(windows={"seconds": 0.25}, state={"history_length": 3}))
    assert (rules.period_ms, rules.history_length) == (250, 3)


def test_settings_whose_slices_could_not_be_delivered_are_refused(
    make_settings: Callable[..., Settings],
) -> None:
    with pytest.raises(SettingsError, match=r"windows\.max_targets"):
        fold_rules(make_settings(windows={"max_targets": 100_000}))
