"""Closes the slices of partitions that have nothing more to read, once their period is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from everfresh.streaming.log.probe import LogProbe
from everfresh.streaming.log_reading import LogReading
from everfresh.streaming.owned_partition import OwnedPartition
from everfresh.streaming.state.write_batch import WriteBatch


class IdleSlices:
    """One per worker. ``owned`` changes meanwhile; ``on_write`` is called with what was written."""

    def __init__(
        self,
        owned: Mapping[int, OwnedPartition],
        reading: LogReading,
        probe: LogProbe,
        grace_ms: int,
        on_write: Callable[[WriteBatch], None],
    ) -> None:
        self._owned = owned
        self._reading = reading
        self._probe = probe
        self._grace_ms = grace_ms
        self._on_write = on_write

    async def close_overdue(self, now_ms: int) -> None:
        """Close what should be closed by ``now_ms``, UTC; ``KafkaError`` where nobody can tell."""
        overdue = {
            number: label
            for number, owned in self._owned.items()
            if (label := owned.partition.overdue_label(now_ms, self._grace_ms)) is not None
        }
        if not overdue:
            return
        # The end is asked for after the period is over: nothing of that period can come later.
        ends = await self._probe.ends(overdue)
        for number, label in overdue.items():
            owned = self._owned.get(number)
            if owned is None:
                continue
            end, applied = ends[number], owned.applied
            if applied < end and await self._reading.read_up_to(number, applied) < end:
                continue
            if self._owned.get(number) is owned:
                self._on_write(owned.partition.close_until(label))
                owned.delivery.wake()
