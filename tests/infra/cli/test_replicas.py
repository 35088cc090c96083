"""Whom a command waits for: all replicas that run, at least as many as there should be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from everfresh.contracts.report import ComponentStatus
from everfresh.contracts.settings import load_settings
from everfresh.infra.cli import replicas
from everfresh.infra.cli.replicas import Figures, await_replicas
from tests.infra.cli.reports import replica

NOW = 1_800_000_000_000
LONG_AGO = NOW - 3_600_000


class Tail:
    """Has these at first, and hears those, one at each poll."""

    def __init__(self, first: Sequence[ComponentStatus], later: Sequence[ComponentStatus]) -> None:
        self._first, self._later = first, list(later)

    def __enter__(self) -> Tail:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def read_to_end(self) -> Sequence[ComponentStatus]:
        return self._first

    def poll(self, timeout_ms: int) -> list[ComponentStatus]:
        return [self._later.pop(0)] if self._later else []


def has_two(figures: Figures) -> bool:
    return figures.get("version") == 2


def waited(
    monkeypatch: pytest.MonkeyPatch, *first: ComponentStatus, later: Sequence[Any] = ()
) -> tuple[int, int]:
    monkeypatch.setattr(replicas.time, "time_ns", lambda: NOW * 1_000_000)
    monkeypatch.setattr(replicas, "RecordTail", lambda *_: Tail(first, later))
    return await_replicas(load_settings({"serving": {"replicas": "2..4"}}), has_two)


def test_replicas_beyond_the_fewest_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = [replica(name, NOW, 2, 1) for name in ("a", "b", "c")]
    swapped = replica("d", NOW, 2, 1)
    assert waited(monkeypatch, *ready, replica("d", NOW, 1, 1), later=[swapped]) == (4, 4)
    assert waited(monkeypatch, *ready, replica("d", NOW, 1, 1)) == (3, 4)


def test_nobody_waits_for_one_that_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = [replica(name, NOW, 2, 1) for name in ("a", "b")]
    stopped = msgspec.structs.replace(replica("d", NOW, 1, 1), state="stopped")
    assert waited(monkeypatch, *ready, replica("c", LONG_AGO, 1, 1), stopped) == (2, 2)


def test_one_that_should_be_there_and_is_not_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert waited(monkeypatch, replica("a", NOW, 2, 1)) == (1, 2)
