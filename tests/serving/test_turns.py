"""Replicas of a machine take turns at making a version ready, and nobody waits for ever."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from everfresh.adapters.memory import ManualClock, MemoryWeightStore
from everfresh.serving.versions.follow import Follower, load_version
from everfresh.serving.versions.holder import Served, VersionHolder
from everfresh.serving.versions.load_lock import Turns
from tests.serving.made import publish

_HOLDS = """
import fcntl, sys
file = open(sys.argv[1], "ab")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_two_followers_make_a_version_ready_one_after_the_other(tmp_path: Path) -> None:
    store = MemoryWeightStore()
    publish(store, 1)
    at_work: list[int] = []
    most: list[int] = []
    first_waits = threading.Event()

    def prepare(_: Served) -> None:
        at_work.append(1)
        most.append(len(at_work))
        first_waits.wait(0.2)
        at_work.pop()

    def follow() -> None:
        turns = Turns(tmp_path / "home" / "turn", 60.0)
        holder = VersionHolder()
        assert Follower(store, holder, ManualClock(1), load_version, prepare, turns).step()

    threads = [threading.Thread(target=follow) for _ in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert most == [1, 1, 1]


def test_a_turn_that_does_not_end_is_waited_for_only_so_long(tmp_path: Path) -> None:
    path, entered = tmp_path / "turn", []
    with Turns(path)(), Turns(path, 0.02)():
        entered.append(1)
    assert entered


@pytest.mark.process
def test_the_turn_of_a_process_that_was_killed_is_over(tmp_path: Path) -> None:
    path = tmp_path / "turn"
    argv = [sys.executable, "-c", _HOLDS, str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        other.kill()
        other.wait()
        with Turns(path, 3_600.0)():
            pass
