"""Which partitions' state is on this machine, how far it is, how old: ``StateWatch`` on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from everfresh.adapters.state.freshness import fresh_until_ms, mark_of
from everfresh.adapters.state.user_state import own_partition
from everfresh.contracts.errors import StateElsewhere, StateFormatError
from everfresh.contracts.event import UserId
from everfresh.contracts.ports import Clock
from everfresh.contracts.sequence import PartitionMeta, StateReach

MetaOf = Callable[[int], PartitionMeta | None]
"""A partition's description of its state, that whoever reads a user goes by."""


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class StateCoverage:
    """Watches the state directories of one topic beside the reader that has them open.

    :meth:`look` is called by the reader's thread, all else from any thread. ``wanted`` are the
    partitions that are to be here, none for all; a state counts as stale ``stale_after_ms`` after
    its mark. Nothing is stale before it has a mark.
    """

    def __init__(
        self,
        state_dir: Path,
        topic: str,
        stale_after_ms: int,
        wanted: Sequence[int] = (),
        clock: Clock = _now_ms,
    ) -> None:
        self._state_dir = state_dir
        self._topic = topic
        self._stale_after_ms = stale_after_ms
        self._wanted = set(wanted)
        self._clock = clock
        self._meta_of: MetaOf = lambda number: None
        self._here: frozenset[int] = frozenset()
        self._partitions = 0
        self._fresh: dict[int, int] = {}
        self._stale: Mapping[int, int] = {}
        self._behind: Collection[int] = ()

    def look(self, here: Sequence[int], meta_of: MetaOf, behind: Collection[int] = ()) -> None:
        """``here`` are the partitions that are open now. Of those ``behind`` the reader does not
        have what their marks speak of: they are as fresh as they were before.
        """
        self._behind = behind
        if self._here != set(here) or not self._partitions:
            self._meta_of = meta_of
            self._partitions = max((_partitions(meta_of, number) for number in here), default=0)
            self._here = frozenset(here)
        now = self._clock()
        for number in self._here:
            # Seldom asked of the disk while it is fresh: a look comes every few milliseconds.
            # A mark that is later than now was written before the clock was set back.
            young = 0 <= now - self._fresh.get(number, 0) <= self._stale_after_ms // 2
            if not young and number not in behind:
                fresh_ms = self._marked_ms(number)
                if fresh_ms is not None:
                    self._fresh[number] = fresh_ms
        stale = {
            number: fresh_ms
            for number, fresh_ms in self._fresh.items()
            if now - fresh_ms > self._stale_after_ms
        }
        # Replaced as a whole: other threads see the old table or the new one.
        self._stale = stale

    def require_here(self, user: UserId) -> None:
        """``StateElsewhere`` where the user's own partition is known and not here."""
        if self._partitions:
            number = own_partition(user, self._partitions)
            if number not in self._here:
                here = ", ".join(map(str, sorted(self._here)))
                raise StateElsewhere(
                    f"this user's events are in partition {number} of {self._topic}, and this "
                    f"machine has the state of {here}; ask a machine that has it "
                    "(follower.partitions)"
                )

    def reach(self, user: UserId) -> StateReach | None:
        """See the port."""
        if not self._partitions:
            return None
        number = own_partition(user, self._partitions)
        meta = self._meta_of(number) if number in self._here else None
        return StateReach(number, None if meta is None else meta.applied)

    def stale_ms(self, user: UserId) -> int | None:
        """See the port."""
        stale = self._stale
        if not stale or not self._partitions:
            return None
        fresh_ms = stale.get(own_partition(user, self._partitions))
        return None if fresh_ms is None else self._clock() - fresh_ms

    def age_ms(self) -> int | None:
        """See the port. Asks the disk."""
        here, behind = self._here, self._behind
        fresh = [self._fresh.get(n) if n in behind else self._marked_ms(n) for n in here]
        known = [fresh_ms for fresh_ms in fresh if fresh_ms is not None]
        return self._clock() - min(known) if known and len(known) == len(fresh) else None

    def _marked_ms(self, number: int) -> int | None:
        return fresh_until_ms(mark_of(self._state_dir, self._topic, number))

    def missing(self) -> list[int] | None:
        """See the port."""
        if not self._partitions:
            return None
        return sorted((self._wanted or set(range(self._partitions))) - self._here)


def _partitions(meta_of: MetaOf, number: int) -> int:
    """How many the topic has, by the state of one; 0 where it does not say."""
    try:
        meta = meta_of(number)
    except StateFormatError:
        return 0  # who asks for a user of it hears why
    return 0 if meta is None else meta.partitions
