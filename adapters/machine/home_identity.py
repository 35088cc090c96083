"""Which home this is: host, folder, and a number that it keeps however often it is started."""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
from pathlib import Path

from everfresh.adapters.machine.disk import naming

_FILE = "id"
_LENGTH = 16


def home_place(home: Path) -> str:
    """``HOST:FOLDER#NUMBER``. A home that was made anew, on whatever machine, has another number.

    ``OSError`` where the home cannot be written.
    """
    path = home / _FILE
    with naming(path):
        home.mkdir(parents=True, exist_ok=True)
        return f"{socket.gethostname()}:{home}#{_number(path)}"


def _number(path: Path) -> str:
    """The file's, or a new one where it holds none: also a file that was cut short is filled.

    One process at a time, so that two which start at once have one number.
    """
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        kept = file.read().strip()[:_LENGTH]
        if len(kept) == _LENGTH:
            return kept
        made = secrets.token_hex(_LENGTH // 2)
        file.truncate(0)
        file.write(made)
        file.flush()
        os.fsync(file.fileno())
        return made
