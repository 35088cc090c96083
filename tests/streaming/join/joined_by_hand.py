"""A join of one partition, fed by hand: exposures, feedback, and the outcomes it writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from everfresh.contracts.event import Event, UserId, user_key
from everfresh.contracts.exposure import Exposure, encode_exposure
from everfresh.contracts.outcome import Outcome, decode_outcome
from everfresh.streaming.join.join import Join
from everfresh.streaming.join.rows import (
    JOIN_FORMAT,
    JOIN_KEY,
    JoinHead,
    decode_join_head,
)
from everfresh.streaming.outbox.outbox import Outbox
from everfresh.streaming.outbox.rows import decode_outbox_row
from everfresh.streaming.state.key_layout import OUTBOX_PREFIX
from everfresh.streaming.state.store import MemoryStore
from everfresh.streaming.state.write_batch import WriteBatch
from tests.streaming.sample_log import LogRecord

HORIZON = 100
FAR = 1_000_000
ITEMS: list[int | str] = [1, 2, "2"]

NamedEvent = tuple[LogRecord, Event]


def exposed(offset: int, at: int, request: str = "r", user: UserId = 7) -> LogRecord:
    made = Exposure(request, user, at - 5, "a", 3, 1, "model", ITEMS, [0.3, 0.2, 0.1], 0, 9)
    return LogRecord(offset, at, user_key(user), encode_exposure(made), topic="t.exposures")


def named(
    offset: int, at: int, request: str = "r", user: UserId = 7, item: int | str = 1
) -> NamedEvent:
    event = Event(f"e{offset}", "click", at, user, item, None, request)
    return LogRecord(offset, at, user_key(user), None), event


def add_feedback(join: Join, events: Iterable[NamedEvent], applied: int) -> WriteBatch:
    batch = WriteBatch()
    feedback = list(events)
    batch.feedback = [(record.offset, event) for record, event in feedback]
    if feedback:
        join.add_feedback([record for record, _ in feedback], applied, batch)
    return batch


class Run:
    """A join over a store in memory, and all that was written."""

    def __init__(self, horizon: int = HORIZON) -> None:
        self.store = MemoryStore()
        self.outcomes: dict[str, Outcome] = {}
        self.dead_letters: list[tuple[str, int]] = []
        self.counts: Counter[str] = Counter()
        self.horizon = horizon
        self.reopen()

    def reopen(self) -> None:
        raw = self.store.get(JOIN_KEY)
        head = decode_join_head(raw) if raw else JoinHead(JOIN_FORMAT, "x", 0, 0)
        self.join = Join(head, 0, self.horizon, self.store, Outbox(self.store))

    def write(self, batch: WriteBatch) -> None:
        outbox = {key: raw for key, raw in batch.puts.items() if key.startswith(OUTBOX_PREFIX)}
        join = {key: raw for key, raw in batch.puts.items() if key not in outbox}
        self.store.write(join, batch.deletes)  # the outbox is delivered at once
        self.counts += batch.joins
        for row in map(decode_outbox_row, outbox.values()):
            if row.topic == "outcomes":
                outcome = decode_outcome(row.value or b"")
                assert row.key == outcome.id.encode()
                assert self.outcomes.setdefault(outcome.id, outcome) == outcome
            else:
                headers = dict(row.headers)
                self.dead_letters.append(
                    (headers["dead_reason"].decode(), int(headers["dead_offset"]))
                )

    def add_feedback(self, *events: NamedEvent) -> None:
        self.write(add_feedback(self.join, events, events[-1][0].offset + 1))

    def add_exposures(self, *records: LogRecord) -> None:
        self.write(self.join.add_exposures(records))

    def write_outcomes(self, clock: int) -> None:
        self.join.advance(clock, clock)
        while (batch := self.join.write_outcomes()) is not None:
            self.write(batch)
