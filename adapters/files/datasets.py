"""Reads published event datasets in their own file formats, as events in time order.

    ml-100k   MovieLens 100K: GroupLens ``u.data``, RecBole ``ml-100k.inter``, or an archive with
              one of them (``ml-100k.zip``, the ``recbole`` wheel)
    ml-1m     MovieLens 1M: GroupLens ``ratings.dat``, or the archive with it
    ader      DIGINETICA as the ADER project divides it: ``period_N.txt``, or a folder of them

Every event is checked by the worker's rules when the file is opened (``adapters.files.checks``).
Ratings are sorted by time; equal times stay in the file's order.

An id is made from what the event is (user, item, rating, time), and from how often the file has
had the same before. So the same event has the same id in every file, in a file and in a part of it,
and two events have two. A second replay adds duplicates and nothing new.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from everfresh.adapters.files.checks import EventCheck, event_check
from everfresh.adapters.files.movielens import INTER, INTER_HEADER, fetch_ml100k
from everfresh.adapters.files.rows import parse_rows
from everfresh.contracts.errors import DataFileError
from everfresh.contracts.event import Event

__all__ = ["DATASETS", "Clicks", "EventFile", "Ratings", "event_check", "fetch_ml100k"]

_PERIOD = re.compile(r"period_(\d+)\.txt")
_ML_100K = ("u.data", INTER)
_ML_1M = ("ratings.dat",)

RatingRow = tuple[int, int, float, int]
"""user, item, rating, UTC seconds."""


class EventFile(Protocol):
    """The events of one file. It can be iterated several times; ``len`` is their number."""

    def __len__(self) -> int:
        """How many events there are."""

    def __iter__(self) -> Iterator[Event]:
        """The events in time order, from the first."""


class Ratings:
    """Ratings sorted by time. In columns, because a million Python objects need more memory."""

    def __init__(self, name: str, rows: Iterable[RatingRow]) -> None:
        self._name = name
        self._users, self._items = array("q"), array("q")
        self._ratings, self._seconds = array("f"), array("q")
        for user, item, rating, seconds in rows:
            self._users.append(user)
            self._items.append(item)
            self._ratings.append(rating)
            self._seconds.append(seconds)
        self._order = array("q", sorted(range(len(self._users)), key=self._seconds.__getitem__))

    def __len__(self) -> int:
        return len(self._users)

    def __iter__(self) -> Iterator[Event]:
        # Only rows of one time can be the same, and these follow each other.
        time, times_had = None, Counter[RatingRow]()
        for at in self._order:
            row = (self._users[at], self._items[at], self._ratings[at], self._seconds[at])
            if row[-1] != time:
                time = row[-1]
                times_had.clear()
            times_had[row] += 1
            yield _rating(_rating_id(self._name, row, times_had[row]), row)


class Clicks:
    """Clicks of sessions in file order. The session is the user, the row number is the time.

    So the row number is part of the id, and a click that stands elsewhere is another event.
    """

    def __init__(self, rows: Iterable[tuple[int, int]]) -> None:
        self._sessions, self._items = array("q"), array("q")
        for session, item in rows:
            self._sessions.append(session)
            self._items.append(item)

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Event]:
        for row, (session, item) in enumerate(zip(self._sessions, self._items, strict=True)):
            yield Event(f"ader:{row + 1}:{session}:{item}", "click", row, session, item)


def read_ml_100k(path: Path, check: EventCheck) -> EventFile:
    """``user item rating timestamp`` between tabs; a RecBole header is skipped."""
    expected = "user, item, rating and UTC seconds between tabs (MovieLens 100K)"

    def parse(line: str) -> RatingRow | None:
        cells = line.split("\t")
        return None if line == INTER_HEADER else _row(cells, check)

    return Ratings("ml-100k", parse_rows(path, _ML_100K, expected, parse))


def read_ml_1m(path: Path, check: EventCheck) -> EventFile:
    """``UserID::MovieID::Rating::Timestamp``."""
    expected = "UserID::MovieID::Rating::Timestamp (MovieLens 1M)"

    def parse(line: str) -> RatingRow:
        return _row(line.split("::"), check)

    return Ratings("ml-1m", parse_rows(path, _ML_1M, expected, parse))


def read_ader(path: Path, check: EventCheck) -> EventFile:
    """``session item``; a folder's ``period_N.txt`` follow each other by number."""
    files = [path]
    if path.is_dir():
        periods = [(int(match[1]), entry) for entry in path.iterdir() if (match := _period(entry))]
        files = [entry for _, entry in sorted(periods)]
        if not files:
            raise DataFileError(f"{path} holds no period_N.txt; expected ADER's folder of them")
    return Clicks(row for file in files for row in _clicks(file, check))


def _clicks(file: Path, check: EventCheck) -> Iterator[tuple[int, int]]:
    def parse(line: str) -> tuple[int, int]:
        session, item = line.split()
        row = int(session), int(item)
        check(Event("row", "click", 0, *row))
        return row

    return parse_rows(file, (), "session and item between spaces (ADER)", parse)


DATASETS: dict[str, Callable[[Path, EventCheck], EventFile]] = {
    "ml-100k": read_ml_100k,
    "ml-1m": read_ml_1m,
    "ader": read_ader,
}


def _row(cells: list[str], check: EventCheck) -> RatingRow:
    user, item, rating, seconds = cells
    # RecBole writes whole numbers as floats now and then.
    row = int(user), int(item), float(rating), int(float(seconds))
    check(_rating("row", row))
    return row


def _rating_id(name: str, row: RatingRow, time_had: int) -> str:
    repeated = f":{time_had}" if time_had > 1 else ""
    return ":".join(map(str, (name, *row))) + repeated


def _rating(id_: str, row: RatingRow) -> Event:
    user, item, rating, seconds = row
    return Event(id_, "rating", seconds * 1000, user, item, rating)


def _period(entry: Path) -> re.Match[str] | None:
    return _PERIOD.fullmatch(entry.name)
