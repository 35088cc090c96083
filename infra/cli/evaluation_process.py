"""A child process that trains and measures on a file: how it is run, what it says, what is kept.

So the command, which draws, loads no torch. The child ends with the command, however that ends.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.contracts.errors import DataFileError, RunError, SettingsError
from everfresh.contracts.settings import Settings
from everfresh.evaluation.results import Preparation, RowsRead, decode_preparation
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.components import settings_environment
from everfresh.infra.processes.processes import PYTHON

PLAIN_S = 10.0
"""Seconds between lines of progress where there is no terminal."""
_GRACE_S = 2.0


def require_places(file: Path, *targets: Path | None) -> None:
    """``EverfreshError`` where the file is not there, or a result could not be written: hours of
    work come before it is."""
    if not file.exists():
        raise DataFileError(f"{file} does not exist; name an event file that does")
    for target in targets:
        if target is not None and not target.resolve().parent.is_dir():
            raise SettingsError(
                f"{target} cannot be written: {target.parent} is no folder; make it first"
            )
        if target is not None and target.is_dir():
            raise SettingsError(f"{target} is a folder; name a file in it")


def keep_results(
    console: Terminal,
    result: msgspec.Struct,
    json: Path | None,
    plot: Path | None,
    draw: Callable[[Path], None],
) -> None:
    """Write the figures and draw the plot where each is asked for, and say where they are."""
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
        console.print(f"figures: {json}", soft_wrap=True)
    if plot is not None:
        draw(plot)
        console.print(f"plot: {plot}", soft_wrap=True)


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
