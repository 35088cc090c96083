from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from everfresh.adapters.files.drifting.settings import _BOUNDS, DriftSettings
from everfresh.contracts.errors import SettingsError

WRONG = [
    ("seed", -1, "whole number from 0 to"),
    ("topics", 2.5, "whole number from 1 to 100"),
    ("topics", True, "whole number"),
    ("regulars", 0, "from 1 to 10,000,000, found 0"),
    ("follow", 1.0, "number from 0.0 to 0.99, found 1.0"),
    ("headlines", float("nan"), "found nan"),
    ("clicks_per_hour", float("inf"), "found inf"),
    ("clicks_per_hour", "many", "found 'many'"),
    ("taste", 0.5, "from 1.0 to 1,000,000.0"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_a_value_that_no_stream_can_have_is_named_with_its_bounds(
    name: str, value: object, message: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{name} of a drifting stream is a .*{message}"):
        DriftSettings(**{name: value})  # type: ignore[arg-type]


def test_more_items_than_can_live_at_once_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"1,000,000 items live at once.*200,000 at most"):
        DriftSettings(items_per_hour=10_000.0, life_hours=100.0)
    with pytest.raises(SettingsError, match=r"4,000,000 links end in an hour.*1,000,000 at most"):
        DriftSettings(items_per_hour=2000.0, life_hours=100.0, links=20, link_hours=1.0)


def test_settings_come_from_words_with_their_own_types() -> None:
    words = {"links": "5", "half_life_hours": "1"}
    assert DriftSettings.from_words(words, seed=3) == DriftSettings(
        seed=3, links=5, half_life_hours=1.0
    )
    for words, message in (
        ({"speed": "1"}, "no setting 'speed'; it has seed"),
        ({"links": "x"}, "found 'x'"),
    ):
        with pytest.raises(SettingsError, match=message):
            DriftSettings.from_words(words)


def test_other_settings_have_another_name() -> None:
    assert DriftSettings(taste=15).name == DriftSettings(taste=15.0, seed=17).name
    assert len({DriftSettings(seed=seed).name for seed in range(5)}) == 5


def test_the_page_lists_every_setting_with_its_default() -> None:
    page = (Path(__file__).parents[4] / "docs" / "drifting.md").read_text()
    assert set(_BOUNDS) == {field.name for field in dataclasses.fields(DriftSettings)}
    for field in dataclasses.fields(DriftSettings):
        assert f"| `{field.name}` | {field.default:,} |" in page, field.name
