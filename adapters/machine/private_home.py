"""The home of a run is its owner's alone: folders are made with mode 0700 in it, files with 0600.

It holds users' histories, the log itself and the addresses of what runs. A usual umask (022) would
let every user of the machine read them.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

_UMASK = 0o077
_OPEN = 0o077
"""Bits of a mode by which others than the owner get in."""

# What a home holds (docs/architecture.md), the load lock, and what the demo leaves in its own.
_OURS = frozenset(("state", "snapshots", "weights", "kafka", "logs", "run", ".turn"))
_OURS |= {"replays", "rejects", "scratch", "experiments"}
_OURS |= {"demo", "everfresh-demo", "report.json", "plot.png", "one-event.jsonl", "clicks.jsonl"}


def close_home(home: Path) -> str:
    """Keep other users out of ``home``, which is made where it is missing. Call it in each process.

    From now on this process and its children create files and folders that are their owner's
    alone. A home that is there already is closed as well (mode 0700), whatever the modes in it:
    nobody reaches them. Returns the empty string, or a sentence for the operator where a home
    stays open. That is so where it cannot be closed, and where it holds files that are not
    everfresh's: to close a folder that serves others too is for its owner to decide.

    ``OSError`` where the home cannot be made.
    """
    os.umask(_UMASK)
    home.mkdir(parents=True, exist_ok=True)
    if not _is_open(home):
        return ""
    foreign = sorted({entry.name for entry in home.iterdir()} - _OURS)
    if not foreign:
        with contextlib.suppress(OSError):
            home.chmod(stat.S_IRWXU)
        if not _is_open(home):
            return ""
    mode = stat.S_IMODE(home.stat().st_mode)
    why = f"it also holds {foreign[0]}" if foreign else "its mode cannot be changed here"
    return (
        f"other users can look into {home} (mode {mode:04o}): it was there before, and {why}; run "
        f"`chmod -R go= {home}`, or give everfresh a folder of its own with --home"
    )


def _is_open(folder: Path) -> bool:
    return bool(folder.stat().st_mode & _OPEN)
