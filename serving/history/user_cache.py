"""A cache with one entry per user, bounded in bytes: the least recently used entry goes first."""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import Generic, Protocol, TypeVar

from everfresh.contracts.event import UserId


class HasBytes(Protocol):
    """What a cache holds: it says how much memory it takes."""

    @property
    def bytes(self) -> int:
        """Memory that dropping it would free."""


Entry = TypeVar("Entry", bound=HasBytes)


class UserCache(Generic[Entry]):
    """One entry per user, ``limit`` bytes in all; 0 keeps nothing. Not thread-safe.

    An entry may change its size while it is here; :meth:`put` it again afterwards.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[UserId, tuple[Entry, int]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        """Number of entries."""
        return len(self._entries)

    def get(self, user: UserId) -> Entry | None:
        """The user's entry, which is now the last to go; ``None`` where there is none."""
        held = self._entries.get(user)
        if held is None:
            return None
        self._entries.move_to_end(user)
        return held[0]

    def newest(self, number: int) -> list[UserId]:
        """The users who were asked for last, at most ``number``; the last one first."""
        return list(islice(reversed(self._entries), number))

    def put(self, user: UserId, entry: Entry) -> None:
        """Keep an entry in place of the user's former one; one beyond the limit is not kept."""
        self.drop(user)
        size = entry.bytes
        if size > self._limit:
            return
        self._entries[user] = (entry, size)
        self.bytes += size
        while self.bytes > self._limit:
            self.drop(next(iter(self._entries)))

    def drop(self, user: UserId) -> None:
        """Forget the user's entry; harmless where there is none."""
        held = self._entries.pop(user, None)
        if held is not None:
            self.bytes -= held[1]
