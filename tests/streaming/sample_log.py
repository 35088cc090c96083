"""A partition's log for tests, and an independent reading of what it must turn into."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from everfresh.adapters.state.user_state import UserReader
from everfresh.contracts.event import Event, UserId, user_key
from everfresh.contracts.segment import decode_runs, segment_key
from everfresh.contracts.sequence import (
    META_KEY,
    USER_PREFIX,
    Interaction,
    PartitionMeta,
    UserState,
    decode_id,
)
from everfresh.contracts.window import (
    SliceClosed,
    SlicePart,
    SliceRecord,
    decode_example,
    decode_slice_record,
)
from everfresh.streaming.fold.rules import FoldRules
from everfresh.streaming.log.identity import LogPlace
from everfresh.streaming.outbox.rows import OutboxRow
from everfresh.streaming.partition import Partition, open_partition
from everfresh.streaming.state.store import MemoryStore

ACTIONS = ["view", "click", "like"]
TOPIC = "t.events"
PERIOD_MS = 1000
START_MS = 1_700_000_000_000

Run = tuple[SliceClosed, list[SlicePart]]


@dataclass
class LogRecord:
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    topic: str = TOPIC
    partition: int = 0


class RawName(str):
    """A header's name that is sent as the bytes it was made of."""

    raw: bytes

    def __new__(cls, raw: bytes) -> RawName:
        self = super().__new__(cls, "name")
        self.raw = raw
        return self

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return self.raw


def rules(**changes: int | list[str]) -> FoldRules:
    plain = FoldRules(ACTIONS, 65_536, 5, 4, 1024, PERIOD_MS, 7)
    return msgspec.structs.replace(plain, **changes)


def place(**changes: int | str) -> LogPlace:
    return msgspec.structs.replace(LogPlace("cluster", TOPIC, "id", 0, 0, 1_000_000, 1), **changes)


def opened(
    store: MemoryStore, with_rules: FoldRules | None = None, **where: int | str
) -> Partition:
    return open_partition(store, place(**where), with_rules or rules())


def accepted(
    offset: int, user: UserId, item: int, at_ms: int, action: str = "view", ago_ms: int = 0
) -> LogRecord:
    event = Event(f"e{offset}", action, START_MS + offset - ago_ms, user, item, value=offset / 2)
    return LogRecord(offset, at_ms, user_key(user), msgspec.json.encode(event))


def rejected(offset: int, at_ms: int, value: bytes = b"{oops") -> LogRecord:
    return LogRecord(offset, at_ms, b"7", value)


def states(pairs: dict[bytes, bytes], length: int) -> dict[UserId, UserState]:
    """Every user's state in a store, as a reader sees it."""
    meta = msgspec.msgpack.decode(pairs[META_KEY], type=PartitionMeta)
    users = [key[1:] for key in pairs if key.startswith(USER_PREFIX)]
    for name in meta.segments:
        users += decode_runs(pairs[segment_key(name)])
    reader = UserReader(pairs.get, meta.partition, length)
    read = {user: reader.stored(user) for user in map(decode_id, users)}
    return {user: stored.decode() for user, stored in read.items() if stored is not None}


def expected_states(records: Iterable[LogRecord], length: int) -> dict[UserId, UserState]:
    """The fold of the accepted records, in the plainest way."""
    history: dict[UserId, list[tuple[int, Interaction]]] = defaultdict(list)
    for record in records:
        event = _event(record)
        if event is not None:
            entry = Interaction(event.item_id, event.type, event.time, event.value)
            history[event.user_id].append((record.offset, entry))
    return {
        user: UserState(
            user, 0, entries[-1][0], len(entries), [entry for _, entry in entries[-length:]]
        )
        for user, entries in history.items()
    }


def _event(record: LogRecord) -> Event | None:
    try:
        return msgspec.json.decode(record.value or b"", type=Event)
    except msgspec.DecodeError:
        return None


def delivered(partition: Partition) -> Iterator[OutboxRow]:
    """Everything in the outbox, which is emptied, once closed slices are made."""
    while partition.has_parts_to_make:
        partition.make_part()
    while rows := partition.outbox.oldest():
        yield from rows
        partition.outbox.remove_oldest()


def slices(rows: Iterable[OutboxRow]) -> list[Run]:
    """Runs of slice records, each with its parts; checks their numbering."""
    runs: list[Run] = []
    parts: list[SlicePart] = []
    for row in rows:
        if row.topic != "windows":
            continue
        record: SliceRecord = decode_slice_record(row.value or b"")
        if isinstance(record, SlicePart):
            assert record.part == len(parts)
            parts.append(record)
        else:
            assert record.parts == len(parts)
            runs.append((record, parts))
            parts = []
    assert not parts
    return runs


def targets(runs: Iterable[Run]) -> dict[int, tuple[UserId, Interaction]]:
    """User and interaction by offset of every training target; none may stand twice."""
    by_offset: dict[int, tuple[UserId, Interaction]] = {}
    for _, parts in runs:
        for part in parts:
            for raw in part.examples:
                example = decode_example(raw, part.actions)
                for offset, entry in zip(example.offsets, example.targets, strict=True):
                    assert offset not in by_offset
                    by_offset[offset] = (example.user, entry)
    return by_offset
