"""``serving.replicas``: one number, or a range."""

from __future__ import annotations

import pytest

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.settings import Settings, load_settings
from everfresh.contracts.settings.replica_range import ReplicaRange, replica_range
from everfresh.infra.components import settings_environment


@pytest.mark.parametrize(
    ("text", "least", "most", "setting"),
    [
        (2, 2, 2, 2),
        ("3", 3, 3, 3),
        ("2..6", 2, 6, "2..6"),
        (" 1 .. 4 ", 1, 4, "1..4"),
        ("5..5", 5, 5, 5),
    ],
)
def test_a_number_or_a_range_is_read(
    text: int | str, least: int, most: int, setting: int | str
) -> None:
    assert replica_range(text) == ReplicaRange(least, most)
    assert Settings(serving={"replicas": text}).serving.replicas == setting


@pytest.mark.parametrize("text", [0, "0..2", "6..2", "-1", "two", "2...4", "2..", "", "1e9"])
def test_what_is_no_range_is_refused_by_name(text: int | str) -> None:
    with pytest.raises(SettingsError, match=r"serving\.replicas: .* such as 2\.\.6 .* found"):
        load_settings({"serving": {"replicas": text}})


@pytest.mark.parametrize("replicas", [3, "2..6"])
def test_children_get_it_as_it_was_set(
    replicas: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(serving={"replicas": replicas})
    for name, value in settings_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert load_settings().serving.replicas == replicas
