"""Files of results: written whole, and where those of a long measurement go if not there."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from everfresh.contracts.errors import DataFileError, RunError, SettingsError
from everfresh.infra.cli.terminal import Terminal

_NOT_REPLACED = {errno.EACCES, errno.EBUSY, errno.EPERM, errno.EROFS}
"""What a file says that may be written, in a folder where none may be put in its place."""


def require_places(file: Path, *targets: Path | None) -> None:
    """``EverfreshError`` where the file is not there, or a result could not be written, or would
    replace what is read: hours of work come before it is."""
    if not file.exists():
        raise DataFileError(f"{file} does not exist; name an event file that does")
    for target in filter(None, targets):
        if not target.resolve().parent.is_dir():
            raise SettingsError(
                f"{target} cannot be written: {target.parent} is no folder; make it first"
            )
        if target.is_dir():
            raise SettingsError(f"{target} is a folder; name a file in it")
        if target.resolve().is_relative_to(file.resolve()):
            raise SettingsError(f"{target} is part of what is read; name another place")
        if _is_printed_to(target):
            raise SettingsError(f"{target} is where this command prints; name a file of its own")


def keep_results(
    console: Terminal,
    result: msgspec.Struct,
    json: Path | None,
    plot: Path | None,
    draw: Callable[[Path], None],
) -> None:
    """Write the figures and draw the plot where each is asked for, and say where they are.

    What cannot be written there (a full disk) goes to a new temporary folder, since it may have
    taken hours; ``RunError`` then says so, and why, when the rest is written.
    """
    lost: list[str] = []

    def write(path: Path) -> None:
        path.write_bytes(_indented(result))

    for what, path, written in (("figures", json, write), ("plot", plot, draw)):
        if path is None:
            continue
        try:
            write_whole(path, written)
        except OSError as error:
            lost.append(
                f"{path} cannot be written: {error.strerror or error}; {_aside(path, written)}"
            )
        else:
            console.print(f"{what}: {path}", soft_wrap=True)
    if lost:
        raise RunError(". ".join(lost))


def write_figures(path: Path, figures: Any) -> None:
    """As indented JSON, by :func:`write_whole`."""
    write_whole(path, lambda place: place.write_bytes(_indented(figures)))


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """The file appears by one rename: whole, or as it was. A device or a pipe is written to, and
    so is a file that cannot be replaced, such as one that is mounted by itself.

    ``OSError`` names ``path``.
    """
    try:
        # Asked of the path as it is: a pipe of /dev/fd has a name there, and resolves to none.
        if path.exists() and not path.is_file():
            write(path)
            return
        place = path.resolve()
        # The ending stays: it says the format.
        draft = place.with_name(f".{os.getpid()}.{place.name}")
        try:
            write(draft)
            if place.exists():
                shutil.copymode(place, draft)
            draft.replace(place)
        except OSError as error:
            if error.errno not in _NOT_REPLACED or not place.is_file():
                raise
            write(place)
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def _is_printed_to(path: Path) -> bool:
    """Whether standard output goes to this very file."""
    try:
        return path.is_file() and os.path.samestat(path.stat(), os.fstat(1))
    except OSError:
        return False


def _indented(figures: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n"


def _aside(path: Path, write: Callable[[Path], None]) -> str:
    """Where it is instead, if anywhere."""
    try:
        instead = Path(tempfile.mkdtemp(prefix="everfresh-")) / path.name
        write(instead)
    except OSError as error:
        return f"nor can a temporary folder ({error.strerror or error}), so it is nowhere"
    return f"it is in {instead} instead"
