"""Which home this is: host, folder, and a number that it keeps however often it is started."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

from everfresh.adapters.machine.disk import naming

_FILE = "id"


def home_place(home: Path) -> str:
    """``HOST:FOLDER#NUMBER``. A home that was made anew, on whatever machine, has another number.

    ``OSError`` where the home cannot be written.
    """
    path = home / _FILE
    with naming(path):
        home.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("x") as file:
                file.write(secrets.token_hex(8))
        except FileExistsError:
            pass
        return f"{socket.gethostname()}:{home}#{path.read_text().strip()[:16]}"
