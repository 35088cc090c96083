"""Where Unix sockets may lie: the kernel limits their paths to 107 bytes, so in a short folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from everfresh.contracts.errors import SettingsError

LONGEST_PATH = 107


def socket_roots() -> Iterator[Path]:
    """Folders for temporary files, best first: that of ``TMPDIR``, which may be long."""
    if named := os.environ.get("TMPDIR"):
        yield Path(named).absolute()
    yield from (Path("/tmp"), Path("/dev/shm"), Path("/var/tmp"), Path(f"/run/user/{os.getuid()}"))


def socket_root(beneath: int) -> Path:
    """The first folder for temporary files that can be written and that leaves ``beneath`` bytes
    of a socket's path for what comes below it, slashes among them. ``SettingsError`` where none is.
    """
    tried = []
    for root in socket_roots():
        short = len(os.fsencode(root)) + beneath <= LONGEST_PATH
        if short and root.is_dir() and os.access(root, os.W_OK | os.X_OK):
            return root
        tried.append(f"{root} ({'cannot be written' if short else 'too long'})")
    raise SettingsError(
        f"no folder for Unix sockets was found; tried {', '.join(tried)}; make /tmp writable, or "
        f"set TMPDIR to a folder whose path has at most {LONGEST_PATH - beneath} characters"
    )
