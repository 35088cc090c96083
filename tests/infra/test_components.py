"""How components get their settings, and the order in which they stop."""

from __future__ import annotations

from pathlib import Path

import pytest

from everfresh.contracts.settings import load_settings
from everfresh.infra import components


def test_every_setting_reaches_a_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given_ = {
        "home": tmp_path,
        "windows": {"seconds": 3.5},
        "trainer": {"exclude_seen": True},
        "events": {"actions": ["a", 'b"c']},
        "kafka": {"topic_prefix": "x."},
        "serving": {"admin_token": "let-me-in"},
        "registry": {"url": "http://r:1", "username": "ann", "password": "let-me-in"},
        "sources": {
            "shop": {"topic": "S", "user": "userId", "item": "a.B", "type_field": "T"}
            | {"types": {"AddToCart": "like"}, "where": {"Bot": [False]}, "format": "avro"}
        },
    }
    sent = load_settings(given_)
    (tmp_path / "everfresh.toml").write_text("[windows]\nseconds = 9\n")
    monkeypatch.chdir(tmp_path)
    for name, value in components.settings_environment(sent).items():
        monkeypatch.setenv(name, value)
    assert load_settings() == sent


def test_those_that_need_others_are_stopped_before_them() -> None:
    shop = {"topic": "shop", "user": "user", "item": "item", "type": "view"}
    settings = load_settings({"sources": {"shop": shop}})
    needed = components.needs(settings)
    order = components.stop_order(settings)
    stage = {name: number for number, names in enumerate(order) for name in names}
    assert set(stage) == set(needed) > {"bridge-shop"}
    specs = components.loop_specs({}, settings.sources)
    assert {spec.name for spec in specs} == set(needed) - {components.BROKER, components.RAY}
    for name, needs in needed.items():
        assert all(stage[name] < stage[need] for need in needs)
