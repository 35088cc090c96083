"""Disks that are full or cannot be written: said with the place, and before anything is started."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from everfresh.contracts.errors import RunError

DISK_ERRORS = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG))
"""What is no bug of ours, but the disk's."""

LEAST_FREE = 100_000_000
"""Bytes with which a loop can start; Kafka alone writes some 10 MB."""


@contextmanager
def naming(place: Path) -> Iterator[None]:
    """Errors of the disk inside name at least ``place``: a write to a full one names nothing."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno not in DISK_ERRORS:
            raise
        raise OSError(error.errno, error.strerror, str(place)) from error


def is_operators(error: OSError) -> bool:
    """Whether the operator can mend it: a disk, or what may be written where."""
    named = error.filename is not None
    return error.errno in DISK_ERRORS or (named and isinstance(error, PermissionError))


def require_space(folder: Path, setting: str) -> None:
    """``RunError`` where the disk of a folder has too little left to begin with."""
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE:
        raise RunError(
            f"{setting} is {folder}, whose disk has {free // 1_000_000} MB left, and "
            f"{LEAST_FREE // 1_000_000} MB are needed to start; free some, or name a folder on "
            "another disk"
        )
