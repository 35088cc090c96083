"""What follows a run for its page: an error of any kind is shown, and looking goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from everfresh.contracts.settings import Settings
from everfresh.infra.cli.board import watcher
from everfresh.infra.cli.board.watcher import Watcher


def test_an_error_of_any_kind_is_shown_and_looking_goes_on(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, again = [], threading.Event()

    def broken(*_: Any, **__: Any) -> None:
        looks.append(1)
        if len(looks) > 1:
            again.set()
        raise KeyError("a field that is not there")

    monkeypatch.setattr(watcher, "RecordTail", broken)
    monkeypatch.setattr(watcher, "_AGAIN_S", 0.01)
    with closing(Watcher(make_settings())) as page:
        assert b"a field that is not there" in page.ask()
        assert again.wait(240)
