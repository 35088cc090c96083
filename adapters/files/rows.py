"""Reads rows of a text file, alone, in a folder or in an archive; errors name the line."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, TypeVar

from everfresh.contracts.errors import DataFileError, EventRejected

_Parsed = TypeVar("_Parsed")
_SHOWN = 80
# Bytes that are not UTF-8 reach the parser, which refuses them with their line number.
_ERRORS = "surrogateescape"


def parse_rows(
    path: Path, names: tuple[str, ...], expected: str, parse: Callable[[str], _Parsed | None]
) -> Iterator[_Parsed]:
    """The result of ``parse`` for each line. Blank lines and results of ``None`` are left out.

    ``path`` is the file itself, or a folder or zip archive with one of ``names`` in it. ``parse``
    raises ``ValueError`` for a line that is not as ``expected``, ``EventRejected`` for an event
    that the stream worker would not accept. ``DataFileError`` then names the path, the line and its
    text. It is also raised where there is no row at all.
    """
    rows = 0
    with _opened(path, names) as lines:
        for number, raw in enumerate(lines, 1):
            line = raw.rstrip("\r\n")
            if not line.strip():
                continue
            try:
                row = parse(line)
            except EventRejected as error:
                raise DataFileError(
                    f"{path} line {number}: {error}, in {_shown(line)}; nothing was done with the "
                    "file: correct the line, or the settings of [events] if they should allow it"
                ) from None
            except (ValueError, OverflowError):
                raise DataFileError(
                    f"{path} line {number}: expected {expected}, found {_shown(line)}; check the "
                    "file and the format that was named"
                ) from None
            if row is not None:
                rows += 1
                yield row
    if not rows:
        raise DataFileError(f"{path} is empty; expected rows of {expected}")


def _require_file(path: Path) -> None:
    """``DataFileError`` where ``path`` is missing or not a file."""
    if not path.exists():
        raise DataFileError(f"{path} does not exist; name an event file")
    if not path.is_file():
        raise DataFileError(f"{path} is not a file; name an event file")


@contextmanager
def _opened(path: Path, names: tuple[str, ...]) -> Iterator[IO[str]]:
    if path.is_dir() and names:
        path = next((path / name for name in names if (path / name).is_file()), path)
        if path.is_dir():
            raise DataFileError(f"{path} holds no {' or '.join(names)}; name the file itself")
    _require_file(path)
    try:
        if names and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                raw = archive.open(_member(path, archive, names))
                with io.TextIOWrapper(raw, encoding="utf-8", errors=_ERRORS) as text:
                    yield text
        else:
            with path.open(encoding="utf-8", errors=_ERRORS) as text:
                yield text
    except (OSError, zipfile.BadZipFile) as error:
        raise DataFileError(f"{path} cannot be read: {error}") from None


def _member(path: Path, archive: zipfile.ZipFile, names: tuple[str, ...]) -> str:
    for member in archive.namelist():
        if PurePosixPath(member).name in names:
            return member
    raise DataFileError(f"{path} is an archive without {' or '.join(names)}; name another file")


def _shown(line: str) -> str:
    return repr(line if len(line) <= _SHOWN else line[:_SHOWN] + "…")
