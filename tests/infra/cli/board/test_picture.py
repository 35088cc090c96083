"""What the board shows follows from what it has seen."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.infra.cli.board.picture import ROWS, STAGES, picture
from everfresh.infra.cli.board.seen import WINDOWS, Seen
from tests.conformance.test_sinks import REPORT
from tests.infra.cli.board.run_seen import HELD, HOSTILE, NOW_MS, run_seen


@pytest.fixture
def now() -> dict[str, Any]:
    """As the page gets it."""
    shown: dict[str, Any] = json.loads(msgspec.json.encode(picture(run_seen(), NOW_MS)))
    return shown


def test_the_stages_of_a_version_lead_from_its_median_event_to_every_replica(
    now: dict[str, Any],
) -> None:
    newest, before = [row for row in now["windows"] if row["track"] == "default"][:2]
    assert "live" not in newest["stages"], "one replica has not swapped yet"
    assert newest["total_s"] is None
    assert set(before["stages"]) == set(STAGES)
    assert before["stages"]["live"] == 0.22
    assert before["stages"]["gather"] == pytest.approx(3.2 + 0.75 - 1.3)
    assert before["total_s"] == pytest.approx(sum(before["stages"].values()))
    assert now["freshness"]["version"] == before["version"]


def test_what_the_gate_held_is_listed_and_is_no_version(now: dict[str, Any]) -> None:
    (held,) = now["held"]
    assert (held["label"], held["reason"]) == (HELD, HOSTILE)
    (row,) = [row for row in now["windows"] if row["held"]]
    assert row["stages"] == {}
    assert row["what"] == f"held: {HOSTILE}"
    assert now["trainer"]["held"] == 1


@pytest.mark.parametrize("told", [{"bits_live": 8.25, "repeats": 0.125, "heaviest": 0.1}, {}])
def test_a_window_says_what_it_was_like_where_that_is_known(told: dict[str, float]) -> None:
    seen = Seen()
    seen.windows.append(msgspec.structs.replace(REPORT, measures=told))
    (row,) = picture(seen, NOW_MS)["windows"]
    assert row["measures"] == {name: told.get(name) for name in ("bits_live", "repeats")}


def test_replicas_say_what_is_live_where(now: dict[str, Any]) -> None:
    serving = now["serving"]
    assert [one["current"] for one in serving["replicas"]] == [True, False]
    assert serving["replicas"][1]["reason"] == HOSTILE
    assert serving["requests_per_s"] == pytest.approx(300)
    assert serving["version"] == serving["replicas"][0]["version"]


def test_closed_arms_and_a_guard_that_cannot_look_are_said_once(now: dict[str, Any]) -> None:
    said = {"closed": "treatment of home-page", "reason": f"home-page: {HOSTILE}"}
    assert now["guardrails"] == said
    assert picture(Seen(), NOW_MS)["guardrails"] == {"closed": "", "reason": ""}


def test_a_track_beside_the_default_one_has_its_line_and_disturbs_no_other(
    now: dict[str, Any],
) -> None:
    (track,) = now["tracks"]
    assert (track["track"], track["live_on"], track["replicas"]) == ("bold", 1, 2)
    assert len(track["curve"]) == 8
    assert len(now["curve"]["live"]) == 29
    assert now["windows"][0]["track"] != now["windows"][1]["track"]
    assert now["windows"][0]["label"] == now["windows"][1]["label"]


def test_dead_letters_are_told_by_reason(now: dict[str, Any]) -> None:
    assert now["stream"]["rejected"] == {"duplicate_id": 5, "unknown_type": 2}
    assert now["dead_letters"] == 7


def test_what_nobody_has_reported_is_not_known_and_no_error() -> None:
    now = picture(Seen(), NOW_MS)
    assert now["trainer"] is None
    assert now["freshness"] is None
    assert now["serving"]["replicas"] == []
    assert now["windows"] == []


def test_who_is_silent_or_has_stopped_is_not_there() -> None:
    now = picture(run_seen(), NOW_MS + 60_000)
    assert (now["trainer"], now["serving"]["replicas"]) == (None, [])
    seen = run_seen()
    seen.status(ComponentStatus("trainer", "trainer", NOW_MS, "stopped", {}))
    assert picture(seen, NOW_MS)["trainer"] is None


def test_it_keeps_a_bounded_number_of_windows_and_components() -> None:
    seen = Seen()
    for label in range(3 * WINDOWS):
        seen.window(msgspec.structs.replace(REPORT, label=label))
        seen.window(msgspec.structs.replace(REPORT, label=label))
        seen.status(ComponentStatus(f"replica-{label}", "replica", 60_000 * label, "serving", {}))
    now = picture(seen, 60_000 * 3 * WINDOWS)
    assert len(now["curve"]["live"]) == WINDOWS
    assert len(now["windows"]) == ROWS
    assert len(seen.components("replica")) < 20


def test_figures_of_another_release_are_shown_as_far_as_they_are_known() -> None:
    seen = Seen()
    odd = {"lag": "unknown", "events_per_s": None, "rejected_x": "?"}
    seen.status(ComponentStatus("worker-0", "worker", NOW_MS, "running", odd))
    seen.status(ComponentStatus("replica-a", "replica", NOW_MS, "waiting", {"requests": None}))
    seen.window(
        WindowReport(1, None, 1, 2, 1, 2, {}, [], closed_ms=1, published_ms=2, seconds={"new": 1.0})
    )
    now = picture(seen, NOW_MS)
    assert now["stream"]["lag"] == 0
    assert now["windows"][0]["stages"] == {}
