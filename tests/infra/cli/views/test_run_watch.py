"""A run's view waits for nobody: what hangs or fails is said beside what was seen last."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from everfresh.contracts.errors import MissingDependency
from everfresh.contracts.report import ComponentStatus
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.views import run_watch
from everfresh.infra.cli.views.follow import RunFollower
from everfresh.infra.cli.views.live_screen import Snapshot
from everfresh.infra.cli.views.run_watch import RunWatch

PATIENCE_S = 60.0


class Followed(RunFollower):
    """Gives one status of a replica, then does what it is told at each poll."""

    def __init__(self, then: Callable[[], None]) -> None:
        super().__init__(Settings())
        self.polled, self.closed = 0, 0
        self._then = then

    def poll(self, timeout_ms: int) -> None:
        self.polled += 1
        if self.polled == 1:
            now_ms = time.time_ns() // 1_000_000
            figures: dict[str, int | float | str] = {"version": 7}
            self.reports.status(ComponentStatus("replica-1", "replica", now_ms, "ready", figures))
            return
        self._then()

    def snapshot(self, title: str, phase: str, elapsed_s: float) -> Snapshot:
        return Snapshot(
            title, phase, elapsed_s, 0, 0, 12.5, 3, self.reports.windows, 0, 0, {}, None, None
        )

    def close(self) -> None:
        self.closed += 1


def until(true: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_poll_that_hangs_keeps_nobody_from_the_last_figures_and_their_age_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_watch, "SILENT_S", 0.0)
    hangs, released = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        released.wait(PATIENCE_S)

    followed = Followed(hang)
    with closing(RunWatch(lambda: followed)) as watch:
        assert hangs.wait(PATIENCE_S)
        now = watch.snapshot("everfresh", [], 4.0)
        assert (now.title, now.elapsed_s, now.events_per_s, now.lag) == ("everfresh", 4.0, 12.5, 3)
        assert now.phase.startswith("up, nothing has come from Kafka for ")
        assert watch.snapshot("", ["worker"], 0.0).phase.startswith(
            "up without worker, nothing has"
        )
        released.set()
    until(lambda: followed.closed == 1)


def test_whatever_goes_wrong_in_the_view_is_said_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_watch, "_AGAIN_S", 0.0)

    def fail() -> None:
        raise MissingDependency("install zstandard")

    followed = Followed(fail)
    with closing(RunWatch(lambda: followed)) as watch:
        until(lambda: followed.polled > 3)
        assert watch.snapshot("", [], 0.0).phase == "up"  # not yet silent for long
        monkeypatch.setattr(run_watch, "SILENT_S", 0.0)
        until(lambda: watch.snapshot("", [], 0.0).phase.endswith("s (install zstandard)"))
    assert followed.closed >= 3


def test_before_anything_was_seen_the_run_is_up_and_waits_for_its_first_window() -> None:
    waits = threading.Event()

    class Slow(Followed):
        def poll(self, timeout_ms: int) -> None:
            waits.wait(PATIENCE_S)

    with closing(RunWatch(lambda: Slow(lambda: None))) as watch:
        now = watch.snapshot("everfresh", [], 1.0)
        assert now.phase == "up, waiting for the first window to be trained"
        assert (now.windows_trained, now.events_per_s) == (0, 0.0)
        waits.set()
