"""Whether the state on a machine's disk is the fold of the log."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import msgspec

from everfresh.adapters.kafka.consumers import connect_consumer
from everfresh.adapters.state.reader import RocksHistoryReader
from everfresh.contracts.event import Event
from everfresh.contracts.kafka.security import Brokers

LENGTH = 200
"""How many of a user's events the state keeps (``state.history_length``)."""


class Log(msgspec.Struct, frozen=True):
    """The events topic: each user's events as (offset, item, type), and each partition's end."""

    users: dict[int | str, list[tuple[int, int | str, str]]]
    ends: dict[int, int]


def read_log(brokers: Brokers, topic: str) -> Log:
    """From its beginning to its end of now."""
    decode = msgspec.json.Decoder(Event).decode
    users: dict[int | str, list[tuple[int, int | str, str]]] = defaultdict(list)
    consumer = connect_consumer(brokers, [topic])
    try:
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(consumer.assignment())
        while any(consumer.position(at) < end for at, end in ends.items()):
            for records in consumer.poll(500).values():
                for record in records:
                    event = decode(record.value)
                    users[event.user_id].append((record.offset, event.item_id, event.type))
        return Log(dict(users), {at.partition: end for at, end in ends.items()})
    finally:
        consumer.close()


class Disk:
    """The state in a home, read beside its writer."""

    def __init__(self, home: Path, topic: str) -> None:
        self._reader = RocksHistoryReader(home / ".everfresh" / "state", topic, LENGTH)

    def holds(self, log: Log) -> bool:
        """Whether all of it has been applied."""
        metas = {number: self._reader.partition_meta(number) for number in log.ends}
        return all(
            end == 0 or ((meta := metas[number]) is not None and meta.applied >= end)
            for number, end in log.ends.items()
        )

    def wrong(self, log: Log) -> int:
        """How many users' states are not what the log says."""
        return sum(self._differs(user, events) for user, events in log.users.items())

    def close(self) -> None:
        """Let go of the files."""
        self._reader.close()

    def _differs(self, user: int | str, events: list[tuple[int, int | str, str]]) -> bool:
        state = self._reader.read(user)
        if state is None:
            return True
        kept = [(each.item, each.action) for each in state.history]
        wanted = [(item, action) for _, item, action in events[-LENGTH:]]
        return (kept, state.accepted, state.offset) != (wanted, len(events), events[-1][0])
