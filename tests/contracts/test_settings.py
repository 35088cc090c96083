from pathlib import Path
from typing import Any

import pytest

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.settings import load_settings
from everfresh.contracts.topics import ALL, topic_name


@pytest.fixture(autouse=True)
def _no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_environment_beats_file_beats_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "everfresh.toml").write_text("[windows]\nseconds = 7\ngrace_ms = 9\n")
    monkeypatch.setenv("EVERFRESH_WINDOWS__SECONDS", "5")
    settings = load_settings()
    assert (settings.windows.seconds, settings.windows.grace_ms) == (5.0, 9)
    assert settings.windows.max_targets == 512


def test_overrides_beat_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERFRESH_SERVING__PORT", "5")
    assert load_settings({"serving": {"port": 6}}).serving.port == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[windows]\nsecond = 7\n", "windows.second: there is no such setting"),
        ("[serving]\ncache_reuse_versions = 0\n", "cache_reuse_versions: this setting is gone"),
        ("[model]\ndim = 10\nheads = 4\n", "must divide"),
        ('[events]\nactions = ["a", "a"]\n', "twice"),
        ("[kafka]\npartitions = 0\n", "kafka.partitions"),
        ("[kafka\n", "cannot be read"),
        ("[windows]\nsecond = 7\n", "did you mean windows.seconds?"),
        ("[servings]\nport = 7\n", "servings: there is no such setting; did you mean serving?"),
        ("port = 7\n", "port: there is no such setting"),
        (
            '[kafka]\ntopic_prefix = "a/b"\n',
            "topic_prefix: topics are named by .*found '/' in 'a/b'",
        ),
        ('[kafka]\ntopic_prefix = "é"\n', "found 'é'"),
        (f'[kafka]\ntopic_prefix = "{"x" * 238}"\n', "at most 237 characters .* found 238"),
        ("[windows]\nseconds = nan\n", "windows.seconds"),
        ("[events]\nahead_s = inf\n", "events.ahead_s"),
        ("[run]\nstart_timeout_s = 0\n", "run.start_timeout_s"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "everfresh.toml").write_text(text)
    with pytest.raises(SettingsError, match=message) as caught:
        load_settings()
    assert "\n" not in str(caught.value)


def test_a_named_file_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERFRESH_CONFIG", "nowhere.toml")
    with pytest.raises(SettingsError, match=r"nowhere\.toml"):
        load_settings()


def test_every_field_has_a_sentence() -> None:
    groups: list[tuple[str, Any]] = [("", type(load_settings()))]
    for name, group in groups:
        for key, field in group.model_fields.items():
            if hasattr(field.annotation, "model_fields"):
                groups.append((f"{name}{key}.", field.annotation))
                assert field.annotation.__doc__, f"{name}{key}"
            else:
                assert (field.description or "").endswith("."), f"{name}{key}"
    assert "kafka.security." in dict(groups)


def test_places_mean_the_same_in_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "everfresh.toml").write_text(
        '[weights]\nurl = "w"\ntrusted_key = "~/key.pem"\n[state]\nsnapshot_url = "s3://b/path"\n'
    )
    monkeypatch.setenv("HOME", "/home/me")
    settings = load_settings()
    assert settings.weights.url == str(tmp_path / "w")
    assert settings.weights.trusted_key == Path("/home/me/key.pem")
    assert settings.state.snapshot_url == "s3://b/path"
    assert load_settings({"weights": {"url": ""}}).weights.url == ""
    with pytest.raises(SettingsError, match=r"weights.url: found .*there is no such home"):
        load_settings({"weights": {"url": "~nobody-of-this-name/w"}})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("EVERFRESH_SERVINGS__PORT", "EVERFRESH_SERVING__PORT"),
        ("EVERFRESH_SERVING_PORT", "EVERFRESH_SERVING__PORT"),
        ("EVERFRESH_SERVING__PROT", "EVERFRESH_SERVING__PORT"),
        ("EVERFRESH_HOM", "EVERFRESH_HOME"),
        ("EVERFRESH_CONFG", "EVERFRESH_CONFIG"),
        ("everfresh_windows__second", "EVERFRESH_WINDOWS__SECONDS"),
    ],
)
def test_a_variable_that_is_no_setting_is_refused_with_the_one_that_was_meant(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "5")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value) == (
        f"wrong setting: {name} in the environment: there is no such setting; did you mean "
        f"{meant}? `everfresh settings` lists all"
    )


def test_a_variable_like_none_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERFRESH_XYZZY__PLUGH", "5")
    monkeypatch.setenv("EVERFRESH_SERVING__CACHE_REUSE_VERSIONS", "5")
    with pytest.raises(SettingsError, match=r"REUSE_VERSIONS .*is gone.*XYZZY.*there is no such"):
        load_settings()


def test_variables_that_kubernetes_sets_for_a_service_are_none_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "EVERFRESH_SERVICE_HOST": "10.0.0.1",
        "EVERFRESH_SERVICE_PORT_HTTP": "80",
        "EVERFRESH_PORT": "tcp://10.0.0.1:80",
        "EVERFRESH_PORT_80_TCP": "tcp://10.0.0.1:80",
        "EVERFRESH_KAFKA_SERVICE_HOST": "10.0.0.1",
        "EVERFRESH_SERVING_PORT": "tcp://10.0.0.1:80",
        "EVERFRESH_SERVING_PORT_80_TCP_ADDR": "10.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    assert load_settings().serving.port == 0


def test_a_whole_group_may_stand_in_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERFRESH_WINDOWS", '{"seconds": 7}')
    assert load_settings().windows.seconds == 7.0


def test_the_longest_prefix_leaves_room_for_every_topic() -> None:
    settings = load_settings({"kafka": {"topic_prefix": "x" * 237}})
    assert max(len(topic_name(settings.kafka.topic_prefix, spec)) for spec in ALL) == 249


def test_forwarding_without_remembered_ids_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"set events\.remember_ids above 0"):
        load_settings({"events": {"misplaced": "forward", "remember_ids": 0}})


SHOP = {"topic": "clicks", "user": "user", "item": "item", "type": "view"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"usr": "u"}, "sources.shop.usr: there is no such setting; did you mean sources.shop."),
        ({"topic": "everfresh.events"}, "a topic that everfresh itself writes or reads"),
        ({"topic": "a b"}, "topic is the name of a Kafka topic"),
        ({"type": ""}, "neither is set: set one"),
        ({"type_field": "kind"}, "both are set: set one"),
        ({"user": ""}, "user is empty"),
        ({"user": "$user"}, "a path is a field"),
        ({"user": "a..b"}, "a path is a field"),
        ({"attributes": ["$headers."]}, "a path is a field"),
        ({"time": "at"}, "time names a field and time_unit is empty"),
        ({"time_unit": "s"}, "time is $timestamp, which needs none"),
        ({"format": "avro"}, "registry.url is empty"),
        ({"where": {"a": {"b": 1}}}, "sources.shop.where"),
    ],
)
def test_sources_that_cannot_work_are_refused_with_the_reason(
    table: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"sources": {"shop": {**SHOP, **table}}})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sources_have_names_of_their_own_and_a_topic_each() -> None:
    for sources, message in (
        ({"Shop": SHOP}, "names a source; a name has"),
        ({"shop": SHOP, "other": SHOP}, "both read clicks"),
    ):
        with pytest.raises(SettingsError, match=message):
            load_settings({"sources": sources})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"url": "registry:8081"}, "registry.url"),
        ({"url": "http://a", "username": "ann"}, "go together"),
        ({"url": "http://a", "password": "x", "password_file": "/y"}, "keep one of them"),
        ({"username": "ann", "password": "secret"}, "url is empty"),
    ],
)
def test_a_registry_that_cannot_be_asked_is_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"registry": table})
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "poll_ms", "push_ms"),
    [
        ("", 100, 20),
        ("/versions", 100, 20),
        ("file:///versions", 100, 20),
        ("local:///versions", 100, 20),
        ("s3://b", 1_000, 500),
    ],
)
def test_an_object_store_is_looked_at_seldom_unless_said_otherwise(
    url: str, poll_ms: int, push_ms: int
) -> None:
    settings = load_settings({"weights": {"url": url}})
    assert (settings.poll_ms, settings.push_ms) == (poll_ms, push_ms)
    said = load_settings({"weights": {"url": url}, "serving": {"poll_ms": 70, "push_ms": 0}})
    assert (said.poll_ms, said.push_ms) == (70, 0)


def test_refusals_name_actions() -> None:
    with pytest.raises(SettingsError, match=r"refusals names 'skp', which is none of .*\(view, "):
        load_settings({"trainer": {"refusals": ["rating<3", "skp"]}})
    own = {"events": {"actions": ["buy"]}}
    assert load_settings(own).trainer.refusals == ["skip"]
    assert load_settings({**own, "trainer": {"refusals": ["buy<1"]}}).trainer.refusals == ["buy<1"]
