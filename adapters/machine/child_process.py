"""Child processes that cannot outlive this one, not even when it is killed.

Linux sends a child the signal it asked for (``PR_SET_PDEATHSIG``) when the *thread* that created
it ends. So each child is created by a thread of its own that stays until the child has ended. The
child asks for the signal in a small Python step that then becomes the program (``exec`` keeps the
wish), because running Python between fork and exec is unsafe in a process with threads.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

_SHIM = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""

Stream = int | IO[str] | IO[bytes] | None


class LeashedProcess:
    """One child in a session of its own, so that Ctrl-C in the terminal reaches us alone.

    It is killed if this process dies; in the ordinary course :meth:`stop` ends it.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        shimmed = [sys.executable, "-I", "-S", "-c", _SHIM, str(os.getpid()), *command]
        started = threading.Event()
        failure: list[OSError] = []

        def keep() -> None:
            try:
                self._process = subprocess.Popen(
                    shimmed,
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                    env=env,
                    cwd=cwd,
                    start_new_session=True,
                )
            except OSError as error:
                failure.append(error)
                return
            finally:
                started.set()
            self._process.wait()

        self._keeper = threading.Thread(target=keep, name=f"keeper of {command[0]}", daemon=True)
        self._keeper.start()
        started.wait()
        if failure:
            raise failure[0]

    @property
    def pid(self) -> int:
        """The process id; the shim's, which ``exec`` hands on to the program."""
        return self._process.pid

    def poll(self) -> int | None:
        """The exit status, ``None`` while it runs."""
        return self._process.poll()

    def output(self) -> Iterator[str]:
        """Lines of its standard output, which must be a pipe, until it closes them."""
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            for line in pipe:
                yield line.decode(errors="replace").rstrip()

    def stop(self, grace_s: float) -> int:
        """SIGTERM, then SIGKILL after ``grace_s`` seconds; returns the exit status."""
        self._process.terminate()
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._keeper.join()
        return self._process.wait()
