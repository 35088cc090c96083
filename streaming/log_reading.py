"""Compares how far the partitions have been read with what the log holds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

from aiokafka.errors import KafkaError
from faust.types import TP

from everfresh.contracts.errors import LogMismatch, Unreachable
from everfresh.streaming.log.fetch_transport import FetchConsumer
from everfresh.streaming.log.probe import LogProbe
from everfresh.streaming.log.records import Fetch
from everfresh.streaming.owned_partition import OwnedPartition


class LogReading:
    """One per worker. ``consumer`` returns the consumer that reads ``topic``."""

    def __init__(self, topic: str, probe: LogProbe, consumer: Callable[[], FetchConsumer]) -> None:
        self._topic = topic
        self._probe = probe
        self._consumer = consumer
        self.looked: dict[int, tuple[int, int]] = {}
        """Of each partition the log's end at the last :meth:`lag`, and where the state is then."""

    async def sent_back(self, owned: OwnedPartition, fetch: Fetch) -> bool:
        """Send reading back where the fetch begins after records that the state lacks.

        Where it begins later than the state ends, either reading went ahead of the state (a poll
        dropped in a rebalance) or the log has a hole; only the log can tell. A hole that retention
        made is an error, one of transaction markers or compaction is none.
        """
        number, applied, first = fetch.partition, owned.applied, fetch.records[0].offset
        if first < applied:
            await self._verify()  # reading went back: perhaps in another log
        if first <= applied:
            return False
        try:
            start = (await self._probe.starts([number]))[number]
            readable = await self._probe.next_offset(number, applied)
        except (KafkaError, Unreachable):
            start, readable = applied, None  # asked again when the fetch comes again
        if start > applied:
            raise LogMismatch(
                f"partition {number} of {self._topic} now begins at {start}, "
                f"the state reaches {applied}: retention removed records that were never applied; "
                "keep the log longer, then delete the state directory to rebuild it"
            )
        if readable is not None and readable >= first:
            return False
        await self._consumer().seek_wait({TP(self._topic, number): applied})
        return True

    async def read_up_to(self, number: int, applied: int) -> int:
        """The offset up to which nothing is left to apply: markers may follow the last record."""
        consumer = self._consumer()
        if number not in consumer.resumed:
            return applied
        position = await consumer.position(TP(self._topic, number))
        # Asked for after the position: what was taken up to it may still be on its way to the fold.
        taken = consumer.taken_end.get(number, 0)
        if number not in consumer.resumed or position is None or applied < taken:
            return applied
        return max(applied, position)

    async def lag(self, owned: Mapping[int, OwnedPartition]) -> int:
        """Records of all partitions that are not applied yet; ``LogMismatch`` where a log ends
        before its state."""
        # Read before asking for the ends: meanwhile the state may rightly pass them.
        applied = {number: partition.applied for number, partition in owned.items()}
        ends = await self._probe.ends(list(applied))
        lag, looked = 0, {}
        for number, end in ends.items():
            if end < applied[number]:
                raise LogMismatch(
                    f"partition {number} of {self._topic} ends at {end}, the state "
                    f"reaches {applied[number]}: the topic was recreated or cut; use another home, "
                    "or delete the state directory to rebuild it from the log"
                )
            reached = applied[number]
            if reached < end:
                reached = await self.read_up_to(number, reached)
                lag += max(0, end - reached)
            looked[number] = (end, reached)
        self.looked = looked
        return lag

    async def _verify(self) -> None:
        with contextlib.suppress(Unreachable):
            await self._probe.verify()
