"""Which home this is: host, folder, and a number that it keeps however often it is started."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import socket
from pathlib import Path
from typing import BinaryIO

from everfresh.adapters.machine.disk import naming

_FILE = "id"
_LENGTH = 16
_NUMBER = re.compile(rb"[0-9a-f]{16}")
_MOST = 64


def home_place(home: Path) -> str:
    """``HOST:FOLDER#NUMBER``. A home that was made anew, on whatever machine, has another number.

    ``OSError`` where the home has no number yet and cannot be written.
    """
    path = home / _FILE
    with naming(path):
        home.mkdir(parents=True, exist_ok=True)
        return f"{socket.gethostname()}:{home}#{_number(path)}"


def _number(path: Path) -> str:
    """The file's, or a new one where it holds none: also a file that was cut short, or that holds
    anything else, is written anew. A home that has its number may be one that cannot be written.

    One process writes at a time, so that two which start at once have one number.
    """
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        if kept := _kept(file):
            return kept
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if kept := _kept(file):
            return kept
        made = secrets.token_hex(_LENGTH // 2)
        file.truncate(0)
        file.write(made.encode())
        file.flush()
        os.fsync(file.fileno())
        return made


def _kept(file: BinaryIO) -> str:
    """The number in the file, or nothing. It goes into records and lines that people read."""
    found = file.read(_MOST).strip()
    return found.decode() if _NUMBER.fullmatch(found) else ""
