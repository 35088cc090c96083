"""Run as a script, ``launch.py PARENT COMMAND…``: tie this process to its parent, become COMMAND.

The kernel then sends SIGTERM when the parent is gone, however it went. This runs between fork and
the real program, as a program of its own: code run in a forked copy of a process that has threads
(``preexec_fn``) may deadlock.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Replace this process by the command; exits 127 where it cannot be run."""
    parent, command = int(arguments[0]), arguments[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # the parent went before the tie was made
        sys.exit(0)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
