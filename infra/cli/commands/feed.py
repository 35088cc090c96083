"""A replay in a child process, seen from the CLI: how it is started, and what it says."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from everfresh.contracts.errors import RunError
from everfresh.infra.processes.processes import Child, ChildSpec
from everfresh.streaming.replay.progress import ReplayProgress, decode_progress

NAME = "replay"
_USERS = 5_000


def replay_spec(
    file: Path, form: str, speed: float, limit: int, env: Mapping[str, str]
) -> ChildSpec:
    """``limit`` 0 is the whole file, ``speed`` 0 as fast as possible."""
    options = ["--format", form, "--speed", str(speed), "--limit", str(limit)]
    argv = [sys.executable, "-m", "everfresh.streaming.replay", str(file), *options]
    return ChildSpec(NAME, argv, dict(env), grace_s=3.0, piped=True)


class Feed:
    """The newest progress of a replay, read from its pipe by a thread of its own."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._latest = ReplayProgress(0, 0, 0.0, None)
        self._users: dict[int | str, None] = {}
        self._reader = threading.Thread(target=self._read, name="replay feed", daemon=True)
        self._reader.start()

    @property
    def latest(self) -> ReplayProgress:
        """The newest word."""
        return self._latest

    def users(self) -> list[int | str]:
        """Some of the users who had events, oldest first."""
        return list(self._users)

    def ended(self) -> bool:
        """Whether all of it is in the log; ``RunError`` with its last words where it failed."""
        code = self._child.exit_code()
        if code is None:
            return False
        self._reader.join(timeout=2.0)
        if code != 0 or not self._latest.done:
            said = (self._child.last_lines(1) or [f"it ended with exit code {code}"])[0]
            raise RunError(said.removeprefix("error: "))
        return True

    def _read(self) -> None:
        pipe = self._child.process.stdout
        assert pipe is not None, "a replay is piped"
        for line in pipe:
            progress = decode_progress(line)
            if progress is None:
                continue
            if progress.user is not None and len(self._users) < _USERS:
                self._users[progress.user] = None
            self._latest = progress
