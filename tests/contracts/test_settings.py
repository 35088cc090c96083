from pathlib import Path

import pytest

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.settings import load_settings


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
    groups = [
        (name, field.annotation) for name, field in type(load_settings()).model_fields.items()
    ]
    for name, group in groups:
        for key, field in getattr(group, "model_fields", {}).items():
            assert (field.description or "").endswith("."), f"{name}.{key}"


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
    with pytest.raises(SettingsError, match="weights.url: found .*there is no such home"):
        load_settings({"weights": {"url": "~nobody-of-this-name/w"}})
