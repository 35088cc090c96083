"""A child gets the signal it was started with when its parent dies, and bad commands say so."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from everfresh.adapters.machine.death_signal import with_death_signal

pytestmark = pytest.mark.process

CHILD = """
import signal, sys, time
def note(number, frame):
    with open(sys.argv[1], "w") as mark:
        mark.write(str(number))
    sys.exit(0)
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, note)
print("up", flush=True)
time.sleep(600)
"""

PARENT = """
import signal, subprocess, sys, time
from everfresh.adapters.machine.death_signal import with_death_signal
command = [sys.executable, "-c", sys.argv[1], sys.argv[2]]
subprocess.Popen(with_death_signal(command, signal.Signals(int(sys.argv[3]))))
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_the_child_receives_its_signal_when_the_parent_is_killed(
    tmp_path: Path, number: signal.Signals
) -> None:
    mark = tmp_path / "mark"
    command = [sys.executable, "-c", PARENT, CHILD, str(mark), str(int(number))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        parent.kill()
    while not mark.exists() or not mark.read_text():
        time.sleep(0.01)
    assert mark.read_text() == str(int(number))


def test_a_command_that_cannot_be_run_says_so() -> None:
    command = with_death_signal(["/nowhere/program"], signal.SIGTERM)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 127
    assert done.stderr == "cannot run /nowhere/program: No such file or directory\n"
