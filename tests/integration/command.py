"""Runs ``everfresh`` as an operator does, and tells what of it is left afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]

# As the installed command does, neither looks for modules in the folder of the call (-P).
# The command's own supervisor adopts its orphans; what it failed to end comes to this one.
_OUTER = """
import signal, subprocess, sys
from pathlib import Path
import psutil
from everfresh.infra.processes.processes import become_subreaper
become_subreaper()
mark, command = Path(sys.argv[1]), sys.argv[2:]
code = "from everfresh.infra.cli import main; main()"
process = subprocess.Popen([sys.executable, "-P", "-c", code, *command])
mark.with_suffix(".pid").write_text(str(process.pid))
code = process.wait()
left = [process for process in psutil.Process().children(recursive=True)
        if process.status() != psutil.STATUS_ZOMBIE]
mark.write_text("\\n".join(f"{process.pid} {process.name()}" for process in left))
for process in left if code != -signal.SIGKILL else ():  # then its own next start must end them
    process.kill()
sys.exit(code if code >= 0 else 128 - code)
"""


class Command:
    """One running ``everfresh WORDS``. Leaving the context ends it, politely first."""

    def __init__(self, cwd: Path, *words: str, **env: str) -> None:
        self._mark = cwd / f"left-{'-'.join(words)[:40].replace('/', '_')}"
        self._lines: list[str] = []
        self._news = threading.Condition()
        kept = {key: value for key, value in os.environ.items() if "EVERFRESH" not in key}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _OUTER, str(self._mark), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=cwd,
            env={**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **env},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, words: str, limit_s: float = 900.0) -> str:
        """The first line with the words; fails where the command ends without them."""

        def said_or_ended() -> bool:
            return any(words in line for line in self._lines) or not self._reader.is_alive()

        with self._news:
            self._news.wait_for(said_or_ended, limit_s)
        lines = [line for line in self._lines if words in line]
        assert lines, f"{words!r} was not said:\n{self.said()}"
        return lines[0]

    def signal(self, number: signal.Signals) -> None:
        """Send it to the command itself."""
        os.kill(int(self._mark.with_suffix(".pid").read_text()), number)

    def finish(self, limit_s: float = 900.0) -> int:
        """Its exit code, once it has ended."""
        code = self._process.wait(limit_s)
        self._reader.join(limit_s)
        return code

    def said(self) -> str:
        """All of its output so far."""
        return "".join(self._lines)

    def left(self) -> list[str]:
        """Processes it left behind when it ended."""
        return self._mark.read_text().split("\n") if self._mark.read_text() else []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._process.poll() is None:
                self.signal(signal.SIGTERM)
                self._process.wait(300)
        finally:
            self._process.kill()  # harmless where it has ended
            self._process.wait()
        self._reader.join(60)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()


def run(cwd: Path, *words: str, **env: str) -> tuple[int, str]:
    """A command from begin to end: exit code and output."""
    with Command(cwd, *words, **env) as command:
        return command.finish(), command.said()
