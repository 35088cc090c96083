"""Starts a program so that the kernel signals it when its parent dies.

Two uses of one file. Imported, it builds the command. Run as a script, ``death_signal.py PARENT
SIGNAL COMMAND...``, it asks the kernel for the signal (``PR_SET_PDEATHSIG``) and then becomes
COMMAND: ``exec`` keeps the request. The request is made by a program of its own, because code that
runs in a forked copy of a process with threads (``preexec_fn``) may deadlock.

Linux sends the signal when the *thread* that started the child ends. Start it from a thread that
lives as long as the child may.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def with_death_signal(command: Sequence[str], number: signal.Signals) -> list[str]:
    """``command``, made to receive the signal ``number`` when this process dies.

    A command that cannot be run says so on standard error and exits with 127.
    """
    shim = [sys.executable, "-I", "-S", __file__]
    return [*shim, str(os.getpid()), str(int(number)), *command]


def _become(parent: int, number: int, command: list[str]) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:  # the parent died before the request was made
        sys.exit(0)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    _become(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
