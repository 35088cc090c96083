"""What every kind of table offers: its columns, and its rows with the place of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from everfresh.contracts.errors import DataFileError, EventRejected

Row = tuple[int, Sequence[Any] | EventRejected]
"""Its number from 1, and the cells of the columns that were asked for; or why it is no row."""


@dataclass(frozen=True)
class Stamp:
    """A column that the table itself declares to be times: integers of microseconds since 1970.

    With ``zoned`` they are UTC. Otherwise they are of a clock on a wall whose zone nobody knows.
    ``of_days`` is a calendar's day, at its midnight.
    """

    zoned: bool
    of_days: bool = False


class Table(Protocol):
    """One file. Its rows can be read several times, and never stand in memory together."""

    place: str
    """What a row's number counts: ``line`` or ``row``."""
    closed: bool
    """Whether no row has other columns than ``columns``."""
    typed: bool
    """Whether the format tells numbers from text."""
    stamps: dict[str, Stamp]

    @property
    def headers_left_out(self) -> int:
        """How often the header came again, in the rows that were read."""

    @property
    def columns(self) -> Sequence[str]:
        """The titles, as they stand in the file. JSON: those of its first objects."""

    def rows(self, wanted: Sequence[str]) -> Iterator[Row]:
        """The cells of the columns ``wanted``, in that order; ``None`` where there is none."""


def require_once(path: Path, columns: Sequence[str], wanted: Sequence[str]) -> None:
    """``DataFileError`` where a column that is ``wanted`` is there twice: nobody knows which."""
    for name, times in Counter(columns).items():
        if times > 1 and name in wanted:
            raise DataFileError(
                f"{path} has {times} columns called {name!r}; rename one, or leave one out"
            )
