"""What commands write without Rich: errors, JSON, and standard streams that take any text."""

from __future__ import annotations

import json
import os
import sys
from io import StringIO, TextIOWrapper
from typing import Any, TextIO

import msgspec

from everfresh.contracts.foreign import printable


def accept_any_text() -> None:
    """What the terminal's encoding lacks is written as an escape, instead of an error. Where there
    is no terminal at all (``>&-``), what is printed goes nowhere."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 - until the process ends
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def write_json(tree: Any, indent: int | None = None) -> None:
    """One JSON value on standard output. In ASCII, so that nothing in it steers a terminal."""
    sys.stdout.write(json.dumps(msgspec.to_builtins(tree), indent=indent) + "\n")


def write_error(message: str) -> None:
    """Write a message to standard error. Lines after its first are indented, so that no line from
    outside looks like one of ours."""
    first, *more = message.split("\n")
    below = [f"    {printable(line.removeprefix('    '))}" for line in more]
    _write_line(sys.stderr, "\n".join([printable(first), *below]))


def write_usage_error(error: Any) -> None:
    """Write what typer says of a wrong command line; its lines are its own."""
    said = StringIO()
    error.show(file=said)
    _write_line(sys.stderr, "\n".join(map(printable, said.getvalue().rstrip("\n").split("\n"))))


def _write_line(stream: TextIO, text: str) -> None:
    stream.write(f"{text}\n")
    stream.flush()
