"""Where a tally is kept: one SQLite file per experiment, in ``<home>/experiments/``.

Users' totals, the sums, which outcomes were seen, and where to read on are written in one
transaction, so every outcome counts once, whenever a report is stopped. The file may be deleted:
the next report then counts the topic ``outcomes`` from its beginning, as far as it is kept.

On disk are one row per user (some 100 to 300 bytes) and one bit per answer. In memory are the users
of one batch, and the sums.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import msgspec

from everfresh.contracts.errors import StateError, StateLocked
from everfresh.experiments.verdict.tally import Sums
from everfresh.experiments.verdict.user_totals import UserTotals

FORMAT = 1
_CHUNK = 8192
"""Exposures whose bits stand in one row."""
_WAIT_SECONDS = 30.0
_TABLES = """
CREATE TABLE IF NOT EXISTS head (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS users (key BLOB PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (part INTEGER, chunk INTEGER, bits BLOB NOT NULL,
                                 PRIMARY KEY (part, chunk)) WITHOUT ROWID;
"""


class Ledger:
    """One tally on disk, of one process at a time; see :func:`open_ledger`.

    Between two commits it holds what was touched, as ``tally.Users``.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._users: dict[bytes, UserTotals] = {}
        self._seen: dict[tuple[int, int], bytearray] = {}

    def sums(self) -> Sums:
        """The sums as they were last committed."""
        row = self._database.execute("SELECT value FROM head WHERE key = 'sums'").fetchone()
        return msgspec.convert(json.loads(row[0]), Sums, strict=False) if row else Sums()

    def get(self, key: bytes) -> UserTotals | None:
        """See ``tally.Users``."""
        if key not in self._users:
            found = self._database.execute("SELECT value FROM users WHERE key = ?", (key,))
            row = found.fetchone()
            if row is None:
                return None
            self._users[key] = msgspec.convert(json.loads(row[0]), UserTotals, strict=False)
        return self._users[key]

    def put(self, key: bytes, user: UserTotals) -> None:
        """See ``tally.Users``."""
        self._users[key] = user

    def first_time(self, partition: int, offset: int) -> bool:
        """See ``tally.Users``."""
        place = partition, offset // _CHUNK
        if place not in self._seen:
            found = self._database.execute(
                "SELECT bits FROM seen WHERE part = ? AND chunk = ?", place
            )
            row = found.fetchone()
            self._seen[place] = bytearray(row[0] if row else _CHUNK // 8)
        byte, bit = divmod(offset % _CHUNK, 8)
        bits = self._seen[place]
        if bits[byte] >> bit & 1:
            return False
        bits[byte] |= 1 << bit
        return True

    def commit(self, sums: Sums) -> None:
        """Write all that changed, with the offsets in ``sums``, or nothing."""
        database = self._database
        with database:
            database.executemany(
                "INSERT OR REPLACE INTO users VALUES (?, ?)",
                [(key, _as_json(user)) for key, user in self._users.items()],
            )
            database.executemany(
                "INSERT OR REPLACE INTO seen VALUES (?, ?, ?)",
                [(*place, bytes(bits)) for place, bits in self._seen.items()],
            )
            database.execute("INSERT OR REPLACE INTO head VALUES ('sums', ?)", (_as_json(sums),))
        self._users.clear()
        self._seen.clear()


def _as_json(record: Sums | UserTotals) -> str:
    """By Python's own, since the exact sums are longer than 64 bits."""
    return json.dumps(msgspec.to_builtins(record, str_keys=True), separators=(",", ":"))


@contextlib.contextmanager
def open_ledger(path: Path, counts: str) -> Iterator[tuple[Ledger, bool]]:
    """The ledger, and whether it begins anew although there was one: because it ``counts`` other
    things (metrics, topic, limits) than now.

    ``StateLocked`` where another report is counting for long; ``StateError`` where the file cannot
    be used.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path), contextlib.closing(sqlite3.connect(path)) as database:
            anew = _prepare(database, counts)
            yield Ledger(database), anew
    except (sqlite3.DatabaseError, msgspec.MsgspecError, json.JSONDecodeError, OSError) as error:
        raise StateError(
            f"the counts in {path} cannot be used ({error}); make room or delete the file, and "
            "run the report again: it counts the topic anew"
        ) from None


def _prepare(database: sqlite3.Connection, counts: str) -> bool:
    database.executescript(_TABLES)
    wanted = f"{FORMAT} {counts}"
    row = database.execute("SELECT value FROM head WHERE key = 'counts'").fetchone()
    if row and row[0] == wanted:
        return False
    with database:
        for table in ("head", "users", "seen"):
            database.execute(f"DELETE FROM {table}")
        database.execute("INSERT INTO head VALUES ('counts', ?)", (wanted,))
    return row is not None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.with_suffix(".lock").open("w") as file:
        _lock(file, path)
        yield


def _lock(file: TextIO, path: Path) -> None:
    until = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise StateLocked(
                    f"another report has been counting in {path} for {_WAIT_SECONDS:.0f} s; wait "
                    "until it is done, and run this one again"
                ) from None
            time.sleep(0.1)
        else:
            os.utime(file.fileno())
            return
