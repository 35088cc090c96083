"""Until when a partition's state holds all that the log held: one mark beside each state directory.

    <state_dir>/<topic>-<partition>.fresh     an empty file; its modification time is the mark

Whoever writes a state (the stream worker, a follower) sets the mark about once a second, by its own
clock, to the moment at which it asked where the log ends, once everything before that end has been
applied. Replicas on that machine compare the mark with the same clock. A mark that is absent says
nothing: a state of an earlier release has none.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_SUFFIX = ".fresh"
_NS_PER_MS = 1_000_000


class FreshnessMarks:
    """Writes the marks of one topic. Used by one thread."""

    def __init__(self, state_dir: Path, topic: str) -> None:
        self._state_dir = state_dir
        self._topic = topic

    def set(self, partition: int, fresh_ms: int) -> None:
        """The state of ``partition`` holds all that the log held at ``fresh_ms``, UTC.

        Never raises: on a disk that takes no mark the state grows old, and replicas say so.
        """
        path = mark_of(self._state_dir, self._topic, partition)
        times = (fresh_ms * _NS_PER_MS, fresh_ms * _NS_PER_MS)
        with contextlib.suppress(OSError):
            try:
                os.utime(path, ns=times)
            except FileNotFoundError:
                path.touch(mode=0o600)
                os.utime(path, ns=times)


def mark_of(state_dir: Path, topic: str, partition: int) -> Path:
    """Where the mark of a partition is."""
    return state_dir / f"{topic}-{partition}{_SUFFIX}"


def forget_mark(state: Path) -> None:
    """Remove the mark of the state directory ``state``: what is there now may be older."""
    state.with_name(f"{state.name}{_SUFFIX}").unlink(missing_ok=True)


def fresh_until_ms(mark: Path) -> int | None:
    """What the mark says, UTC ms; ``None`` where there is none."""
    try:
        return mark.stat().st_mtime_ns // _NS_PER_MS
    except OSError:
        return None
