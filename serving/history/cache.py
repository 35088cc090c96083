"""What is kept of users between requests, bounded in bytes: the least recently used goes first."""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import Generic, Protocol, TypeVar

from everfresh.contracts.event import UserId


class Weighty(Protocol):
    """What a cache holds: it says what it weighs."""

    @property
    def bytes(self) -> int:
        """Memory that dropping it would free."""


Kept = TypeVar("Kept", bound=Weighty)


class UserCache(Generic[Kept]):
    """One entry per user, ``limit`` bytes in all; 0 keeps nothing. Not thread-safe.

    An entry may change its weight while it is here; :meth:`put` it again afterwards.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[UserId, tuple[Kept, int]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        """Number of entries."""
        return len(self._entries)

    def get(self, user: UserId) -> Kept | None:
        """The user's entry, which is now the last to go; ``None`` where there is none."""
        found = self._entries.get(user)
        if found is None:
            return None
        self._entries.move_to_end(user)
        return found[0]

    def newest(self, number: int) -> list[UserId]:
        """Who was asked for last, at most so many; the last one first."""
        return list(islice(reversed(self._entries), number))

    def put(self, user: UserId, kept: Kept) -> None:
        """Keep an entry in place of the user's former one; one beyond the limit is not kept."""
        self.drop(user)
        weight = kept.bytes
        if weight > self._limit:
            return
        self._entries[user] = (kept, weight)
        self.bytes += weight
        while self.bytes > self._limit:
            self.drop(next(iter(self._entries)))

    def drop(self, user: UserId) -> None:
        """Forget the user's entry; harmless where there is none."""
        found = self._entries.pop(user, None)
        if found is not None:
            self.bytes -= found[1]
