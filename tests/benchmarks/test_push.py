"""``push`` in its short form, over little and without Ray."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import push
from tests.benchmarks.short_run import short_run


class NoRay:
    """Actors of this process, which answer at once."""

    init = shutdown = staticmethod(lambda **options: None)
    put = get = staticmethod(lambda value: value)

    @staticmethod
    def remote(**options: Any) -> Any:
        return lambda kind: SimpleNamespace(remote=lambda *args: Actor(kind(*args)))


class Actor:
    def __init__(self, inner: object) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(remote=getattr(self._inner, name))


def test_a_short_run_over_little_gives_all_figures_and_names_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "ITEMS", 20_000)
    monkeypatch.setattr(push, "ray", NoRay)
    figures = short_run(push.main, tmp_path)
    assert figures.keys() >= {"mb", "put_s", "handed_over_s", "live_s"}
