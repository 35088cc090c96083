"""A replay of a file in a child process: how it is started, and the progress that it reports."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from everfresh.adapters.files.tables.mapping import Reading, encode_reading
from everfresh.contracts.errors import RunError
from everfresh.infra.processes.processes import Child, ChildSpec
from everfresh.streaming import replay
from everfresh.streaming.replay.progress import ReplayProgress, decode_progress

NAME = "replay"
_USERS = 5_000
_READ_S = 2.0


def replay_spec(
    file: Path,
    reading: Reading,
    speed: float,
    limit: int,
    env: Mapping[str, str],
    *,
    settle: bool = False,
    again: bool = False,
) -> ChildSpec:
    """``limit`` 0 is the whole file, ``speed`` 0 as fast as possible.

    With ``settle`` the replay ends once it knows what became of its events, or nobody can tell.
    With ``again`` it also sends what an earlier replay of the file has sent.
    """
    options = ["--speed", str(speed), "--limit", str(limit)]
    options += ["--settle"] if settle else []
    options += ["--again"] if again else []
    return _spec(file, reading, options, env)


def backfill_spec(file: Path, reading: Reading, window: int, env: Mapping[str, str]) -> ChildSpec:
    """The whole file as fast as the log takes it; examples are made of so many events each.

    It first says how much disk that needs.
    """
    return _spec(file, reading, ["--settle", "--window", str(window)], env)


def _spec(file: Path, reading: Reading, words: list[str], env: Mapping[str, str]) -> ChildSpec:
    options = ["--reading", encode_reading(reading), *words]
    argv = [sys.executable, "-m", replay.__name__, str(file), *options]
    return ChildSpec(NAME, argv, dict(env), grace_s=3.0, piped=True)


class ReplayProcess:
    """The newest progress of a replay, read from its pipe by a thread of its own."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._latest = ReplayProgress(0, 0, 0.0, None)
        self._users: dict[int | str, None] = {}
        self._reader = threading.Thread(target=self._read, name="replay progress", daemon=True)
        self._reader.start()

    @property
    def latest(self) -> ReplayProgress:
        """The newest progress."""
        return self._latest

    def final(self) -> ReplayProgress:
        """The last progress of a replay that has ended, however it ended."""
        self._reader.join(timeout=_READ_S)
        return self._latest

    def users(self) -> list[int | str]:
        """Some of the users who had events, oldest first."""
        return list(self._users)

    def ended(self) -> bool:
        """Whether all events are in the log; ``RunError`` with its last line where it failed."""
        code = self._child.exit_code()
        if code is None:
            return False
        if not self.final().done or code != 0:
            lines = self._child.last_lines(1) or [f"the replay ended with exit code {code}"]
            raise RunError(lines[0].removeprefix("error: "))
        return True

    def _read(self) -> None:
        pipe = self._child.process.stdout
        assert pipe is not None, "a replay is piped"
        with pipe:
            for line in pipe:
                progress = decode_progress(line)
                if progress is None:
                    continue
                if progress.user is not None and len(self._users) < _USERS:
                    self._users[progress.user] = None
                self._latest = progress
