"""A child process that trains and measures on a file: how it is run, and what it says.

So the command, which draws, loads no torch. The child ends with the command, however that ends.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence

from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.contracts.errors import RunError
from everfresh.contracts.settings import Settings
from everfresh.evaluation.results import Preparation, RowsRead, decode_preparation
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.components import settings_environment
from everfresh.infra.processes.processes import PYTHON

PLAIN_S = 10.0
"""Seconds between lines of progress where there is no terminal."""
_GRACE_S = 2.0


def output_lines(
    command: Sequence[str], settings: Settings, console: Terminal, rejects: str
) -> Iterator[str]:
    """What the child says, but for its reading, which is printed here; ``RunError`` with its last
    words where it fails."""
    with tempfile.TemporaryFile() as errors:
        child = ChildProcess(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors.fileno(),
            env={**os.environ, **PYTHON, **settings_environment(settings)},
        )
        said = time.monotonic()
        try:
            for raw in child.output():
                if (far := decode_preparation(raw)) is not None:
                    said = _say_preparation(console, far, rejects, said)
                else:
                    yield raw
        finally:
            # It has closed its output: it ends by itself, or is not wanted any more.
            code = child.stop(_GRACE_S)
        errors.seek(0)
        last_words = errors.read().decode(errors="replace").splitlines()
    if code:
        last_words = last_words or [f"the evaluation ended with exit code {code}"]
        raise RunError(last_words[-1].removeprefix("error: "))


def _say_preparation(console: Terminal, far: Preparation, rejects: str, said: float) -> float:
    """Say what was left out, and now and then how far the reading is; when it was said last."""
    if isinstance(far, RowsRead) and far.left_out:
        console.print(
            f"{far.left_out:,} of {far.rows:,} rows were left out: see {rejects}", soft_wrap=True
        )
        return said
    if far == RowsRead(0) or time.monotonic() - said < PLAIN_S:
        return said
    if isinstance(far, RowsRead):
        console.print(f"{far.rows:,} rows read")
    else:
        console.print(f"{far.events:,} of {far.of:,} events laid into windows")
    return time.monotonic()
