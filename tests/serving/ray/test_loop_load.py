"""The share of its time in which a thread had work."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from everfresh.serving.ray import loop_load
from everfresh.serving.ray.loop_load import LoopLoad


def test_the_share_is_of_the_time_since_the_last_question() -> None:
    clock = iter([100, 200, 300, 300, 400])
    account = iter([(5, 5), (25, 35), (25, 35), (30, 40), (400, 100)])
    load = LoopLoad(lambda: next(account), lambda: next(clock))
    assert [load.share() for _ in range(5)] == [0.0, 0.5, 0.0, 0.0, 1.0]


def test_a_loop_that_is_woken_now_and_then_on_a_crowded_machine_is_not_busy() -> None:
    clock, account = iter([0, 1_000, 2_000]), iter([(0, 0), (2, 500), (102, 1_400)])
    load = LoopLoad(lambda: next(account), lambda: next(clock))
    assert [load.share() for _ in range(3)] == [0.0, 0.02, 1.0]


def test_the_kernels_account_of_this_thread_grows_with_its_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for account in (Path("/proc/thread-self/schedstat"), tmp_path / "none"):
        monkeypatch.setattr(loop_load, "_ACCOUNT", account)
        began, ran = loop_load._thread_ns()[0], time.thread_time_ns()
        while time.thread_time_ns() - ran < 20_000_000:
            pass
        assert loop_load._thread_ns()[0] - began >= 10_000_000, account
