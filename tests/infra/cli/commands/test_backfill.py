"""What ``everfresh backfill`` says before it sends."""

from __future__ import annotations

import time
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest

from everfresh.contracts.errors import RunError
from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.contracts.settings import load_settings
from everfresh.infra.cli.commands.sending import backfill
from everfresh.infra.cli.commands.sending.backfill import (
    await_live,
    follow_learning,
    said_of_disk,
    said_of_retention,
    said_of_settings,
    say_what_stands,
    window_of,
)
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.cli.views.learned_history import LearnedHistory
from everfresh.infra.cli.views.run_reports import RunReports
from everfresh.streaming.replay.sizes import Needed
from tests.infra.cli.reports import replica, window


def said(**groups: dict[str, Any]) -> str:
    return "\n".join(said_of_settings(load_settings(groups), 4))


def test_it_says_how_large_windows_are() -> None:
    assert "windows: of at most some 16,000 events" in said()
    assert "is 0; that makes very large ones" in said(windows={"history_events": 0})


@pytest.mark.parametrize(("backlog", "how"), [("merge", "as one"), ("sample", "in part")])
def test_it_says_where_waiting_windows_are_not_learned_each(backlog: str, how: str) -> None:
    assert f"trainer.backlog is {backlog}" in said(trainer={"backlog": backlog})
    assert how in said(trainer={"backlog": backlog})


def test_it_says_how_much_disk_is_needed_and_where_there_is_too_little(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    needed = Needed(2 * 10**9, 10**9, 5 * 10**8)
    (line,) = said_of_disk(needed, None)
    assert "up to 3.00 GB in Kafka (events 2.00, windows 1.00)" in line
    assert "0.50 GB of users' state" in line
    usage = type("Usage", (), {"free": 3 * 10**9})
    monkeypatch.setattr(backfill.shutil, "disk_usage", lambda folder: usage)
    assert f"only 3.00 GB are free where {tmp_path} is" in said_of_disk(needed, tmp_path)[1]
    usage.free = 4 * 10**9
    assert len(said_of_disk(needed, tmp_path)) == 1


@pytest.mark.parametrize(("history", "stretch", "each"), [(50, 80, 50), (50, 30, 30), (0, 80, 80)])
def test_disk_is_told_by_the_events_after_which_examples_are_made(
    history: int, stretch: int, each: int
) -> None:
    windows = {"history_events": history, "stretch_events": stretch}
    assert window_of(load_settings({"windows": windows}), 4) == 4 * each


def test_it_says_where_learning_takes_longer_than_kafka_keeps_windows() -> None:
    assert said_of_retention(None, "w") == said_of_retention(86_400.0, "w") == ""
    said_then = said_of_retention(8 * 86_400.0, "everfresh.windows")
    assert "some 8 days more" in said_then
    assert "retention.ms of topic everfresh.windows" in said_then


Word = WindowReport | ComponentStatus


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def trainer(failed: str = "") -> ComponentStatus:
    return ComponentStatus("trainer", "trainer", now_ms(), "running", {"failed": failed})


class Follower:
    """Hears one word with each poll; the last ones again and again."""

    def __init__(self, *words: Sequence[Word]) -> None:
        self.reports = RunReports(2)
        self._words = list(words)

    def poll(self, timeout_ms: int) -> None:
        for word in self._words[0]:
            if isinstance(word, WindowReport):
                self.reports.window(word)
            else:
                self.reports.status(word)
        if len(self._words) > 1:
            del self._words[0]


def trained(version: int, through: int) -> WindowReport:
    return msgspec.structs.replace(window(version), label=version, through={0: through})


def test_it_follows_the_trainer_to_the_end_and_says_what_stands() -> None:
    output = StringIO()
    console, history = Terminal(file=output, width=100), LearnedHistory({0: 0}, {0: 300})
    replicas = [replica(name, now_ms(), 3, 1) for name in ("replica-0", "replica-1")]
    words = [[trainer(), trained(1, 100)], [trained(2, 200)], [trained(3, 300), *replicas]]
    follower = Follower(*words)
    follow_learning(console, follower, history, "everfresh.windows")
    await_live(console, follower, history)
    say_what_stands(console, load_settings({}), history, "everfresh.events")
    text = output.getvalue()
    assert "version 3 or later is live on all 2 replicas" in text
    assert "300 events in 3 windows are learned" in text
    assert "Quality over the history" in text
    assert "events that reach everfresh.events are learned in windows of 2 s" in text


@pytest.mark.parametrize("held", [2, 3])
def test_what_the_gate_held_is_not_called_learned(held: int) -> None:
    output = StringIO()
    console, history = Terminal(file=output, width=100), LearnedHistory({0: 0}, {0: 300})
    history.take(
        [
            msgspec.structs.replace(trained(at, 100 * at), held="noise" if at > 3 - held else "")
            for at in (1, 2, 3)
        ]
    )
    assert f"3 windows, {held} of them held by the gate" in backfill._so_far(history)
    if held == 3:
        with pytest.raises(RunError, match="nothing of this history is learned"):
            say_what_stands(console, load_settings({}), history, "everfresh.events")
    else:
        say_what_stands(console, load_settings({}), history, "everfresh.events")
        assert "100 events in 1 windows are learned" in output.getvalue()
    assert f"the gate held {held} of 3 windows" in output.getvalue()


@pytest.mark.parametrize(
    ("failed", "why"),
    [("", "no trainer has said anything"), ("a bad disk", "stands still .a bad disk. for 0 s")],
)
def test_a_trainer_that_says_nothing_or_fails_is_named(
    monkeypatch: pytest.MonkeyPatch, failed: str, why: str
) -> None:
    monkeypatch.setattr(backfill, "_SILENT_S", 0.0)
    words = [trained(1, 100), *([trainer(failed)] if failed else [])]
    history = LearnedHistory({0: 0}, {0: 300})
    with pytest.raises(RunError, match=f"{why}.*100 of 300 events are learned"):
        follow_learning(Terminal(file=StringIO()), Follower(words), history, "w")


def test_without_replicas_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "_LIVE_S", 0.0)
    output, history = StringIO(), LearnedHistory({0: 0}, {0: 100})
    follower = Follower([trained(1, 100)])
    follower.poll(0)
    history.take(follower.reports.windows)
    await_live(Terminal(file=output, width=100), follower, history)
    assert "no replica runs" in output.getvalue()
