"""Items that were sighted and have no row yet: how often, and whether by more than one user."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from everfresh.contracts.event import ItemId, UserId
from everfresh.model.vocabulary.sightings import Sightings

VOUCHED = 2
"""Users who must have sighted an item that a flood brings."""
_MOST = 32_768
"""So many wait, or as many as there are rows."""


@dataclass
class Newcomer:
    """An item without a row: its sightings, the mark of a user who sighted it, and how many did.

    ``users`` is exact up to two. Beyond, a user who comes back in a later window may count again.
    """

    seen: Sightings
    witness: int = 0
    users: int = 0


Met = tuple[dict[ItemId, Newcomer], dict[ItemId, Newcomer]]
"""A window's newcomers, and those of them that are ripe for a row; each in order."""


def user_mark(user: UserId) -> int:
    """A number that tells users apart, the same in every process; never 0."""
    return zlib.crc32(f"{type(user).__name__} {user}".encode()) or 1


class WaitingItems:
    """In order of their first sighting."""

    def __init__(self) -> None:
        self.items: dict[ItemId, Newcomer] = {}

    def met(
        self, sightings: Iterable[tuple[ItemId, UserId | None]], label: int, admit_after: int
    ) -> Met:
        """What newcomers are once these sightings count, in order; and those ripe for a row.

        Nothing changes until a caller lets :attr:`items` take in the first.
        """
        met: dict[ItemId, Newcomer] = {}
        ripe: dict[ItemId, Newcomer] = {}
        marks: dict[ItemId, set[int]] = {}
        for item, user in sightings:
            newcomer = met.get(item)
            if newcomer is None:
                newcomer = met[item] = self._entry(item, label)
                marks[item] = {newcomer.witness}
            newcomer.seen.count += 1
            newcomer.seen.last = label
            if user is not None and (mark := user_mark(user)) not in marks[item]:
                marks[item].add(mark)
                newcomer.witness = newcomer.witness or mark
                newcomer.users += 1
            if newcomer.seen.count >= admit_after:
                ripe[item] = newcomer
        return met, ripe

    def _entry(self, item: ItemId, label: int) -> Newcomer:
        waits = self.items.get(item)
        if waits is None:
            return Newcomer(Sightings(0, label, label))
        seen = waits.seen
        return Newcomer(Sightings(seen.count, seen.first, seen.last), waits.witness, waits.users)

    def forget(self, before: int) -> None:
        """Drop what was last sighted before window ``before``."""
        self.items = {
            item: newcomer for item, newcomer in self.items.items() if newcomer.seen.last >= before
        }

    def bound(self, rows: int) -> None:
        """Drop what is too much beside so many rows: of fewest users first, then the oldest."""
        most = max(_MOST, rows)
        if len(self.items) <= most:
            return
        # Of equals the later in order is the newer one.
        ranked = sorted(
            enumerate(self.items.items()),
            key=lambda at: (min(at[1][1].users, VOUCHED), at[1][1].seen.last, at[0]),
        )
        self.items = dict(entry for _, entry in sorted(ranked[-most:], key=lambda at: at[0]))

    def fields(self) -> tuple[list[tuple[ItemId, Sightings]], list[tuple[int, int]]]:
        """Each with its sightings; and witnesses and numbers of users, none where none is known."""
        users = [(newcomer.witness, newcomer.users) for newcomer in self.items.values()]
        sightings = [(item, newcomer.seen) for item, newcomer in self.items.items()]
        return sightings, users if any(witness for witness, _ in users) else []

    @classmethod
    def of(
        cls, sightings: Sequence[tuple[ItemId, Sightings]], users: Sequence[tuple[int, int]]
    ) -> WaitingItems:
        """The inverse of :meth:`fields`."""
        made = cls()
        known = users or [(0, 0)] * len(sightings)
        made.items = {
            item: Newcomer(seen, *of) for (item, seen), of in zip(sightings, known, strict=True)
        }
        return made
