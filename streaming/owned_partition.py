"""A partition that this worker owns, with everything that runs beside it."""

from __future__ import annotations

import asyncio

import msgspec

from everfresh.adapters.state.snapshots import Origin
from everfresh.streaming.outbox.delivery import OutboxDelivery
from everfresh.streaming.partition import Partition
from everfresh.streaming.state.store import RocksStore


class OwnedPartition(msgspec.Struct):
    """``delivery`` empties the partition's outbox, in ``delivery_task``.

    ``origin`` names the state in snapshots. ``target`` is the end of the log when a state that had
    been lost was opened: until it is reached, the partition is being restored.
    """

    partition: Partition
    store: RocksStore
    origin: Origin
    delivery: OutboxDelivery
    delivery_task: asyncio.Task[None]
    target: int = 0

    @property
    def applied(self) -> int:
        """The offset after the last record that the state contains."""
        return self.partition.applied

    @property
    def restore_left(self) -> int:
        """Records still to be replayed until the partition is restored."""
        return max(0, self.target - self.applied)
