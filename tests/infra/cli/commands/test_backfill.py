"""What ``everfresh backfill`` says before it sends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from everfresh.contracts.settings import load_settings
from everfresh.infra.cli.commands.sending import backfill
from everfresh.infra.cli.commands.sending.backfill import (
    said_of_disk,
    said_of_retention,
    said_of_settings,
)
from everfresh.streaming.replay.sizes import Needed


def said(**groups: dict[str, Any]) -> str:
    return "\n".join(said_of_settings(load_settings(groups), 4))


def test_it_says_how_large_windows_are() -> None:
    assert "windows: of some 20,000 events" in said()
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


def test_it_says_where_learning_takes_longer_than_kafka_keeps_windows() -> None:
    assert said_of_retention(None, "w") == said_of_retention(86_400.0, "w") == ""
    said_then = said_of_retention(8 * 86_400.0, "everfresh.windows")
    assert "some 8 days more" in said_then
    assert "retention.ms of topic everfresh.windows" in said_then
