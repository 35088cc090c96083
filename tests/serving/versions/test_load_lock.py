"""Replicas of a machine load a version one after another, and nobody waits for ever."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from everfresh.adapters.memory import ManualClock, MemoryWeightStore
from everfresh.serving.versions.follow import Follower, load_version
from everfresh.serving.versions.holder import LoadedVersion, VersionHolder
from everfresh.serving.versions.load_lock import LoadLock
from tests.serving.replica_in_memory import publish

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

    def before_live(_: LoadedVersion) -> None:
        at_work.append(1)
        most.append(len(at_work))
        first_waits.wait(0.2)
        at_work.pop()

    def follow() -> None:
        lock = LoadLock(tmp_path / "home" / "lock", 60.0)
        holder = VersionHolder()
        assert Follower(store, holder, ManualClock(1), load_version, before_live, lock).step()

    threads = [threading.Thread(target=follow) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1]


def test_a_load_lock_that_is_not_released_is_waited_for_only_so_long(tmp_path: Path) -> None:
    path, entered = tmp_path / "lock", []
    with LoadLock(path)(), LoadLock(path, 0.02)():
        entered.append(1)
    assert entered


@pytest.mark.process
def test_the_load_lock_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    argv = [sys.executable, "-c", _HOLDS, str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        other.kill()
        other.wait()
        with LoadLock(path, 3_600.0)():
            pass
