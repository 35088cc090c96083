"""``StateWatch`` and ``RecentEvents`` in memory, for tests and experiments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from everfresh.adapters.state.user_state import own_partition, read_meta
from everfresh.contracts.event import UserId
from everfresh.contracts.ports import Clock
from everfresh.contracts.segment import RecentRun
from everfresh.contracts.sequence import PartitionMeta, StateReach


class MemoryRecentEvents:
    """``RecentEvents`` that were put here. ``fails`` is raised after them."""

    def __init__(self) -> None:
        self._runs: list[RecentRun] = []
        self.fails: Exception | None = None

    def put(self, run: RecentRun) -> None:
        """For the next call."""
        self._runs.append(run)

    def poll(self) -> Iterator[RecentRun]:
        """See the port."""
        runs, self._runs = self._runs, []
        yield from runs
        if self.fails is not None:
            raise self.fails


class MemoryStateWatch:
    """``StateWatch`` over dicts as :class:`MemoryHistoryReader`.

    ``fresh_ms`` are the marks of the partitions; ``wanted`` as of ``StateCoverage``.
    """

    def __init__(
        self,
        stores: Mapping[int, Mapping[bytes, bytes]],
        clock: Clock,
        stale_after_ms: int,
        wanted: Sequence[int] = (),
    ) -> None:
        self._stores = stores
        self._clock = clock
        self._stale_after_ms = stale_after_ms
        self._wanted = set(wanted)
        self.fresh_ms: dict[int, int] = {}

    def reach(self, user: UserId) -> StateReach | None:
        """See the port."""
        if not (partitions := self._partitions()):
            return None
        number = own_partition(user, partitions)
        meta = self._metas().get(number)
        return StateReach(number, None if meta is None else meta.applied)

    def stale_ms(self, user: UserId) -> int | None:
        """See the port."""
        own = self.reach(user)
        fresh_ms = None if own is None else self.fresh_ms.get(own.partition)
        age_ms = 0 if fresh_ms is None else self._clock() - fresh_ms
        return age_ms if age_ms > self._stale_after_ms else None

    def age_ms(self) -> int | None:
        """See the port."""
        here = self._metas()
        if not here or not set(here) <= set(self.fresh_ms):
            return None
        return self._clock() - min(self.fresh_ms[number] for number in here)

    def missing(self) -> list[int] | None:
        """See the port."""
        if not (partitions := self._partitions()):
            return None
        return sorted((self._wanted or set(range(partitions))) - set(self._metas()))

    def _metas(self) -> dict[int, PartitionMeta]:
        metas = {number: read_meta(store.get) for number, store in self._stores.items()}
        return {number: meta for number, meta in metas.items() if meta is not None}

    def _partitions(self) -> int:
        return max((meta.partitions for meta in self._metas().values()), default=0)
