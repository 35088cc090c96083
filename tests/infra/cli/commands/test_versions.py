"""``everfresh versions``: state, scores and age of each version, and what the gate held."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from everfresh.adapters.weights.rollback import roll_back
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.errors import VersionNotFound, WeightsError
from everfresh.contracts.manifest import FORMAT, Pointer, Rejected, WeightManifest
from everfresh.contracts.settings import Settings, load_settings
from everfresh.infra.cli.commands import versions
from everfresh.infra.cli.commands.versions import describe_versions, run_versions
from everfresh.infra.cli.views.versions.version_life import UNKNOWN


def manifest(version: int, parent: int | None, left: int = 0) -> WeightManifest:
    scores = {"hr10_live": version / 100, "hr10_frozen": 0.01} if parent else {}
    return WeightManifest(
        FORMAT, version, parent, 10 * version, 1000 * version, {0: 5}, {0: 3}, [], {}, 4, 7, scores,
        left=left,
    )  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    settings = load_settings({"home": str(tmp_path)})
    store = FsspecWeightStore(settings.weights_url)
    for version in (1, 2, 3):
        store.write(manifest(version, version - 1 or None), {"model.safetensors": b"x" * 2_000_000})
    store.advance(Pointer(1, 3))
    return settings


def states(rows: list[dict[str, object]]) -> dict[object, object]:
    return {row["version"]: row["state"] for row in rows}


def test_a_version_is_current_rolled_back_never_live_or_an_ancestor() -> None:
    line = [manifest(1, None), manifest(2, 1), manifest(3, 2), manifest(4, 3)]
    assert states(describe_versions(line, Pointer(1, 3))) == {
        1: "", 2: "", 3: "current", 4: "never live",
    }  # fmt: skip
    assert states(describe_versions(line, Pointer(2, 1, 3))) == {
        1: "current", 2: "rolled back", 3: "rolled back", 4: "never live",
    }  # fmt: skip
    after = [*line, manifest(5, 1, left=3), manifest(6, 5)]
    assert states(describe_versions(after, Pointer(2, 6))) == {
        1: "", 2: "rolled back", 3: "rolled back", 4: "never live", 5: "", 6: "current",
    }  # fmt: skip
    assert states(describe_versions(after[4:], Pointer(2, 6))) == {5: "", 6: "current"}
    assert set(states(describe_versions(line, None)).values()) == {"never live"}


def test_a_versions_scores_are_those_it_got_on_the_window_after_it() -> None:
    rows = describe_versions(
        [manifest(1, None), manifest(2, 1), manifest(3, 1, left=2)], Pointer(2, 3)
    )
    # Version 1 was scored on two windows; the one on the line counts.
    assert [row["hr10_live"] for row in rows] == [0.03, None, None]


def test_versions_are_listed_as_a_table_and_as_json(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FsspecWeightStore(settings.weights_url)
    rejected = Rejected(31, 3, "item 5 has 100% of 90 events", 5000, 90, {0: (1, 91)}, {})
    store.set_aside(rejected, {})
    roll_back(store, 2)
    monkeypatch.setenv("COLUMNS", "160")
    run_versions(settings, as_json=False)
    table = capsys.readouterr().out
    assert "rolled back" in table
    assert "2.0 MB" in table
    assert "item 5 has 100%" in table
    run_versions(settings, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert states(printed["versions"]) == {1: "", 2: "current", 3: "rolled back"}
    assert printed["rejected"][0]["reason"] == rejected.reason
    assert printed["versions"][0]["bytes"] == 2_000_000
    assert printed["versions"][0]["live_after_s"] is None, "no log is up to say"


def test_a_versions_life_stands_beside_it_where_the_log_knows_it(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    run_versions(settings, as_json=False)
    assert " age " not in capsys.readouterr().out
    life = {**UNKNOWN, "age_published_s": 1.25, "live_after_s": 0.5}
    fresh = {**UNKNOWN, "age_published_s": 2.25}
    monkeypatch.setattr(versions, "_lives", lambda *_: ({2: life, 3: fresh}, ""))
    run_versions(settings, as_json=False)
    output = capsys.readouterr().out
    assert " 1.25 + 0.50 " in output
    assert " 2.25 " in output, "not live everywhere yet"
    run_versions(settings, as_json=True)
    rows = json.loads(capsys.readouterr().out)["versions"]
    assert [row["live_after_s"] for row in rows] == [None, 0.5, None]


def test_a_damaged_version_is_named_beside_the_others(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (Path(settings.weights_url) / "v0000000002" / "manifest.json").write_bytes(b"{")
    monkeypatch.setenv("COLUMNS", "160")
    run_versions(settings, as_json=False)
    table = capsys.readouterr().out
    assert "2.0 MB" in table
    assert "the manifest of version 2 cannot be read" in table
    run_versions(settings, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert states(printed["versions"]) == {1: "", 3: "current"}
    assert printed["damaged"][0].startswith("the manifest of version 2 cannot be read")


def test_an_empty_store_is_said_to_be_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run_versions(load_settings({"home": str(tmp_path / "new")}), as_json=False)
    assert "no version is in" in capsys.readouterr().out


def test_a_rollback_to_nothing_or_to_what_is_live_is_refused(settings: Settings) -> None:
    store = FsspecWeightStore(settings.weights_url)
    with pytest.raises(VersionNotFound, match="version 9"):
        roll_back(store, 9)
    with pytest.raises(WeightsError, match="current one already"):
        roll_back(store, 3)


def test_a_narrow_terminal_shows_fewer_columns_and_cuts_none(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run_versions(settings, as_json=False)
    output = capsys.readouterr().out
    assert "…" not in output
    assert " frozen " not in output.splitlines()[1]
    assert "A terminal of 120 columns also shows" in " ".join(output.split())


def test_what_windows_were_like_stands_below_the_versions(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run_versions(settings, as_json=False)
    assert "compression" not in capsys.readouterr().out, "versions of an older release say nothing"
    store = FsspecWeightStore(settings.weights_url)
    measures = {"bits_live": 8.25, "bits_popularity": 9.5, "repeats": 0.125, "compression": 1.5}
    told = msgspec.structs.replace(manifest(4, 3), measures=measures)
    store.write(told, {"model.safetensors": b"x"})
    run_versions(settings, as_json=False)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "8.25" in line]
    assert line.split() == ["4", "8.25", "9.50", "-", "-", "1.50", "12.5%", "-"]
    run_versions(settings, as_json=True)
    rows = json.loads(capsys.readouterr().out)["versions"]
    assert [row["measures"] for row in rows] == [{}, {}, {}, measures]
