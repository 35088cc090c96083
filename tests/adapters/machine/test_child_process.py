"""A child process ends with its parent, stops when told, and hands its output through."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from everfresh.adapters.machine.child_process import ChildProcess

pytestmark = pytest.mark.process

PARENT = """
import time
from everfresh.adapters.machine.child_process import ChildProcess
print(ChildProcess(["sleep", "600"]).pid, flush=True)
time.sleep(600)
"""

DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def gone(pid: int) -> bool:
    for _ in range(500):
        if not alive(pid):
            return True
        time.sleep(0.01)
    return False


def test_a_child_dies_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()
    assert gone(child)


def test_a_child_outlives_the_thread_that_asked_for_it() -> None:
    made: list[ChildProcess] = []
    asker = threading.Thread(target=lambda: made.append(ChildProcess(["sleep", "600"])))
    asker.start()
    asker.join()
    time.sleep(0.1)
    assert made[0].poll() is None
    assert made[0].stop(grace_s=5) == -signal.SIGTERM
    assert gone(made[0].pid)


def test_stop_kills_what_does_not_listen() -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True)"
    )
    child = ChildProcess([sys.executable, "-c", f"{deaf}; time.sleep(600)"], stdout=subprocess.PIPE)
    lines = child.output()
    next(lines)
    assert child.stop(grace_s=0.1) == -signal.SIGKILL
    lines.close()


def test_a_child_has_a_session_of_its_own() -> None:
    child = ChildProcess(["sleep", "600"])
    assert os.getsid(child.pid) == child.pid
    child.stop(grace_s=5)


def test_output_and_exit_status_come_through() -> None:
    child = ChildProcess(["sh", "-c", "echo one; echo two; exit 3"], stdout=subprocess.PIPE)
    assert list(child.output()) == ["one", "two"]
    assert child.stop(grace_s=5) == 3


def test_a_folder_that_is_not_there_is_an_error_at_once() -> None:
    with pytest.raises(FileNotFoundError):
        ChildProcess(["true"], cwd=Path("/nowhere"))
