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


def test_a_machine_that_follows_has_a_follower_and_replicas_alone() -> None:
    assert {spec.name for spec in components.loop_specs({})} == {"worker", "trainer", "serving"}
    assert "guard" in {spec.name for spec in components.loop_specs({}, guarded=True)}
    follows = components.loop_specs({}, follows=True, guarded=True)
    assert {spec.name for spec in follows} == {"follower", "serving"}
    assert [spec.argv[-1] for spec in follows] == [
        "everfresh.streaming.follower",
        "everfresh.serving",
    ]


def test_those_that_need_others_are_stopped_before_them() -> None:
    shop = {"topic": "shop", "user": "user", "item": "item", "type": "view"}
    settings = load_settings({"sources": {"shop": shop}})
    needed = components.needs(settings)
    order = components.stop_order(settings)
    stage = {name: number for number, names in enumerate(order) for name in names}
    assert set(stage) == set(needed) > {"bridge-shop"}
    specs = components.loop_specs({}, settings.sources, guarded=True)
    assert {spec.name for spec in specs} == set(needed) - {
        components.BROKER,
        components.RAY,
        components.FOLLOWER,
    }
    for name, needs in needed.items():
        assert all(stage[name] < stage[need] for need in needs)


def test_a_loop_has_a_guard_where_a_metric_is_a_guardrail_and_it_is_not_off() -> None:
    assert components.is_guarded(load_settings())
    assert not components.is_guarded(load_settings({"verdict": {"guard_every_s": 0}}))
    without = {"verdict": {"metrics": ["clicks: answers with click"]}}
    assert not components.is_guarded(load_settings(without))
