"""What the log says, read in the plainest way: JSON in, dicts and lists out.

Nothing here is shared with ``everfresh.streaming``: these few lines are the second opinion that
state, windows and dead letters are compared with.
"""

from __future__ import annotations

import contextlib
import json
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

User = int | str


@dataclass(frozen=True)
class Entry:
    """One accepted event: where it stands in the log, and what it says."""

    offset: int
    appended: int
    user: User
    item: int | str
    action: str
    time: int
    value: float | None


@dataclass(frozen=True)
class Rules:
    """See the settings of the same names; ``ahead_ms`` is ``events.ahead_s``."""

    actions: list[str]
    max_bytes: int
    ahead_ms: int
    remember_ids: int = 0


def read_event(
    key: bytes | None, value: bytes | None, appended: int, rules: Rules
) -> dict[str, Any] | str:
    """The event as a dict, or the reason why it is none. Headers are not used by the load."""
    event: Any = None
    with contextlib.suppress(ValueError):
        event = json.loads(value or b"")
    for reason, applies in (
        ("keyless", lambda: not key),
        ("oversize", lambda: len(value or b"") > rules.max_bytes),
        ("not_json", lambda: event is None),
        ("wrong_field", lambda: not isinstance(event, dict)),
        ("missing_field", lambda: {"id", "type", "time", "user_id", "item_id"} - set(event)),
        ("key_mismatch", lambda: str(event["user_id"]).encode() != key),
        ("unknown_type", lambda: event["type"] not in rules.actions),
        ("in_the_future", lambda: event["time"] > appended + rules.ahead_ms),
    ):
        if applies():
            return reason
    return dict(event)


class PlainPartition:
    """One partition of the log, folded by hand. Records come in log order."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._young: set[tuple[str, User]] = set()
        self._old: set[tuple[str, User]] = set()
        self.end = 0
        self.appended: dict[int, int] = {}
        self.accepted: dict[int, Entry] = {}
        self.rejected: dict[int, tuple[str, bytes | None, bytes | None]] = {}
        self.users: dict[User, list[Entry]] = {}

    def add(self, record: Any) -> None:
        """One record of the log: ``offset``, ``timestamp``, ``key`` and ``value`` are read."""
        self.end = record.offset + 1
        self.appended[record.offset] = record.timestamp
        event = read_event(record.key, record.value, record.timestamp, self._rules)
        if isinstance(event, str):
            self.rejected[record.offset] = (event, record.key, record.value)
            return
        if self._rules.remember_ids and self._repeats(event):
            self.rejected[record.offset] = ("duplicate_id", record.key, record.value)
            return
        entry = Entry(
            record.offset,
            record.timestamp,
            event["user_id"],
            event["item_id"],
            event["type"],
            event["time"],
            event.get("value"),
        )
        self.accepted[record.offset] = entry
        self.users.setdefault(entry.user, []).append(entry)

    def _repeats(self, event: dict[str, Any]) -> bool:
        """Whether the event was accepted before; what was is forgotten a generation at a time."""
        if len(self._young) == self._rules.remember_ids:
            self._old, self._young = self._young, set()
        name = (event["id"], event["user_id"])
        if name in self._young or name in self._old:
            return True
        self._young.add(name)
        return False

    def before(self, user: User, offset: int) -> list[Entry]:
        """The user's accepted events below ``offset``, oldest first."""
        entries = self.users.get(user, [])
        return entries[: bisect_left(entries, offset, key=lambda entry: entry.offset)]

    def state_at(self, offset: int) -> dict[User, list[Entry]]:
        """Every user's accepted events below ``offset``, of users who have any."""
        before = {user: self.before(user, offset) for user in self.users}
        return {user: entries for user, entries in before.items() if entries}
