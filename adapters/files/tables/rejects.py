"""Rows that cannot become events: listed in a file; too many of them stop the reading."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec

from everfresh.contracts.errors import DataFileError, EventRejected, SettingsError

_LISTED = 100_000
"""Most rows that the file lists; the others are counted."""
_ENOUGH = 1000
"""So many are listed where none is tolerated; then the reading ends."""
_SHOWN = 500

_HINTS = {
    "unknown_type": "give types their names with --rename OLD=NEW, or add them to events.actions",
    "not_a_row": "see --delimiter, --no-quotes and --encoding",
    "bad_value": "for numbers such as 3,5 there is --decimal ,",
}
_NAMES = 20
"""Most types that are named where several are not known."""


class Rejects:
    """A context manager around one reading. ``path`` is written once a row is rejected.

    ``tolerate`` is the share of all rows, 0 to 1, that may be wrong. An earlier list at ``path``
    is removed. ``what`` names what rows become.
    """

    def __init__(self, path: Path | None, tolerate: float, what: str = "events") -> None:
        self.path = path
        self.reasons: Counter[str] = Counter()
        self._tolerate = tolerate
        self._what = what
        self._first = ""
        self._hint = ""
        self._types: dict[str, None] = {}
        self._file: IO[bytes] | None = None
        self._encode = msgspec.json.Encoder(enc_hook=str).encode

    @property
    def count(self) -> int:
        """How many rows were rejected."""
        return self.reasons.total()

    def add(self, file: Path, place: str, number: int, why: EventRejected, cells: Any) -> None:
        """One row. ``DataFileError`` where no row is tolerated and this is the thousandth."""
        if not self.count:
            self._first = f"{file} {place} {number}: {str(why)[:_SHOWN]}"
            self._hint = _HINTS.get(why.reason, "")
        self.reasons[why.reason] += 1
        if why.reason == "unknown_type" and len(self._types) <= _NAMES:
            self._types[why.detail.rpartition("found ")[2][:_SHOWN]] = None
        if self.path is not None and self.count <= _LISTED:
            row = {
                "file": str(file),
                place: number,
                "reason": why.reason,
                "detail": why.detail[:_SHOWN],
                "found": repr(cells)[:_SHOWN] if cells is not None else None,
            }
            self._opened(self.path).write(self._encode(_clean(row)) + b"\n")
        if not self._tolerate and self.count >= _ENOUGH:
            raise DataFileError(self._said(f"{self.count:,} rows and maybe more"))

    def judge(self, rows: int, tolerate: float | None = None) -> None:
        """``DataFileError`` where too many of all ``rows`` were rejected."""
        if self.count > (self._tolerate if tolerate is None else tolerate) * rows:
            raise DataFileError(self._said(f"{self.count:,} of {rows:,} rows"))

    def __enter__(self) -> Self:
        try:
            if self.path is not None and self.path.exists():
                if not _is_list(self.path):
                    raise SettingsError(
                        f"{self.path} is there and is no list of rejected rows; name another file "
                        "with --rejects"
                    )
                self.path.unlink()
        except OSError as error:
            raise SettingsError(f"--rejects: {self.path}: {error.strerror}") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def _opened(self, path: Path) -> IO[bytes]:
        if self._file is None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = path.open("wb")
            except OSError as error:
                raise SettingsError(
                    f"the list of rejected rows cannot be written to {path}: {error.strerror}; "
                    "name another file with --rejects"
                ) from None
        return self._file

    def _said(self, how_many: str) -> str:
        listed = f"; all are listed in {self.path}" if self.path is not None else ""
        hint = f"; {self._hint}" if self._hint else ""
        if len(self._types) > 1 and self._hint == _HINTS["unknown_type"]:
            names = list(self._types)[:_NAMES]
            more = " and others" if len(self._types) > _NAMES else ""
            hint += f" (not known are {', '.join(names)}{more})"
        return (
            f"{self._first}{hint}; {how_many} cannot become {self._what}{listed}; nothing was "
            "done with the others: mend the rows or the mapping, or leave them out with --tolerate "
            "SHARE"
        )


def _is_list(path: Path) -> bool:
    """Whether an earlier reading wrote it, so that it may be replaced."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(8) in {b"", b'{"file":'}


def _clean(row: dict[str, Any]) -> dict[str, Any]:
    """Without surrogates, which JSON's encoder refuses."""
    return {
        key: value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
        for key, value in row.items()
    }
