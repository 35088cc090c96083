"""Reads what the run has left: the log, windows and dead letters on Kafka, states on disk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from rocksdict import AccessType, Options, Rdict

from benchmarks.crash_storm.plain import PlainPartition
from benchmarks.crash_storm.tiling import interactions
from everfresh.adapters.kafka.consumers import connect_consumer
from everfresh.adapters.state.user_state import UserReader
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.segment import decode_runs, segment_key
from everfresh.contracts.sequence import META_KEY, USER_PREFIX, PartitionMeta, decode_id

_TRIES = 20


class TopicReader:
    """Reads a topic on from where it stood; every round by a connection of its own."""

    def __init__(self, servers: str, topic: str) -> None:
        self._servers = servers
        self._topic = topic
        self._next: dict[int, int] = {}

    def new_records(self) -> Iterator[Any]:
        """Records up to the end as of the call, in order per partition."""
        consumer = connect_consumer(Brokers(self._servers), [self._topic])
        try:
            places = sorted(consumer.assignment())
            ends = consumer.end_offsets(places)
            for place in places:
                consumer.seek(place, self._next.get(place.partition, 0))
            while any(consumer.position(place) < ends[place] for place in places):
                for records in consumer.poll(timeout_ms=500).values():
                    yield from records
            self._next = {place.partition: consumer.position(place) for place in places}
        finally:
            consumer.close()


class StateFaults(msgspec.Struct):
    """Differences between state and log, over all users of one directory."""

    lost: int = 0
    duplicated: int = 0
    wrong: list[str] = []


def read_pairs(path: Path) -> dict[bytes, bytes]:
    """A state directory's pairs, also beside its writer, whose files come and go."""
    for _ in range(_TRIES - 1):
        try:
            return _pairs(path)
        except Exception:  # rocksdict raises plain Exception for every cause
            time.sleep(0.1)
    return _pairs(path)


def _pairs(path: Path) -> dict[bytes, bytes]:
    database = Rdict(str(path), Options(raw_mode=True), access_type=AccessType.read_only())
    try:
        return dict(database.items())
    finally:
        database.close()


def applied(pairs: dict[bytes, bytes]) -> int:
    """The offset that a state says it has reached."""
    return msgspec.msgpack.decode(pairs[META_KEY], type=PartitionMeta).applied


def _users(pairs: dict[bytes, bytes], meta: PartitionMeta) -> set[int | str]:
    """Everyone the state knows: with a value of their own, or in a segment."""
    users = {key[1:] for key in pairs if key[:1] == USER_PREFIX}
    for name in meta.segments:
        users |= decode_runs(pairs[segment_key(name)]).keys()
    return {decode_id(user) for user in users}


def compare(pairs: dict[bytes, bytes], log: PlainPartition, length: int) -> StateFaults:
    """The state of every user against the log up to the offset that the state has reached."""
    meta = msgspec.msgpack.decode(pairs[META_KEY], type=PartitionMeta)
    expected = log.state_at(meta.applied)
    stored_users = _users(pairs, meta)
    reader = UserReader(pairs.get, meta.partition, length)
    faults = StateFaults(wrong=[])
    for user in expected.keys() | stored_users:
        entries = expected.get(user, [])
        stored = reader.stored(user)
        if stored is None:
            faults.lost += len(entries)
            continue
        state = stored.decode()
        faults.lost += max(0, len(entries) - state.accepted)
        faults.duplicated += max(0, state.accepted - len(entries))
        last = entries[-1].offset if entries else -1
        if state.offset != last or state.history != interactions(entries[-length:]):
            faults.wrong.append(f"user {user!r} of partition {meta.partition}")
    return faults
