"""A child process that cannot outlive this one, not even when this one is killed.

The kernel kills the child when the *thread* that started it ends (see ``death_signal``). So each
child is started by a thread of its own, its keeper, which lives until the child has ended.
"""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from everfresh.adapters.machine.death_signal import with_death_signal

Stream = int | IO[str] | IO[bytes] | None


class ChildProcess:
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
        tied = with_death_signal(command, signal.SIGKILL)
        started = threading.Event()
        failure: list[OSError] = []

        def keep() -> None:
            try:
                self._process = subprocess.Popen(
                    tied,
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
