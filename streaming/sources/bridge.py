"""One bridge: takes records of a source, and writes what came of them, each exactly once.

For every batch, in this order:

1. records are taken from where the group's committed offsets end;
2. each becomes an event, a dead letter or nothing; for a schema, the registry is asked and waited
   for;
3. a transaction is begun, and events and dead letters are written in it;
4. the offsets after the batch go into the same transaction;
5. it is committed.

Killed before 5 has happened, nothing of the batch is there for readers, and the next start takes
the same records again. Killed after it, the next start goes on behind them.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from threading import Event as Flag

import msgspec

from everfresh.contracts.errors import EventRejected, Unreachable
from everfresh.contracts.ports import Clock, ReportSink
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import DEAD_LETTERS, EVENTS, topic_name
from everfresh.streaming.outbox.dead_letters import dead_letter
from everfresh.streaming.sources.conversion import TOMBSTONE, Conversion, Converted
from everfresh.streaming.sources.figures import RUNNING, WAITING, BridgeFigures
from everfresh.streaming.sources.mapping import Headers
from everfresh.streaming.sources.reader import Message, Moved, SourceReader
from everfresh.streaming.sources.writer import Outgoing, TransactionalWriter

_RETRY_S = 1.0
_REPORT_S = 1.0
_ABORTED_S = 0.5  # a member that has been replaced learns so within a heartbeat
_log = logging.getLogger("everfresh.bridge")


class Stopped(Exception):
    """It was told to stop while it waited for something."""


class Taken(msgspec.Struct, frozen=True):
    """A record of a source, as the dead letters take it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]

    @property
    def place(self) -> str:
        """Names the record; another one of a topic that was made anew has another name."""
        return f"{self.topic}/{self.partition}/{self.offset}/{self.timestamp}"


class Bridge:
    """Runs until ``stop`` is set. ``report`` gets a status about once a second."""

    def __init__(
        self,
        conversion: Conversion,
        settings: Settings,
        figures: BridgeFigures,
        report: ReportSink,
        clock: Clock,
        stop: Flag,
    ) -> None:
        prefix = settings.kafka.topic_prefix
        self._events = topic_name(prefix, EVENTS)
        self._dead_letters = topic_name(prefix, DEAD_LETTERS)
        self._conversion = conversion
        self._figures = figures
        self._report = report
        self._clock = clock
        self._stop = stop
        self._reported_s = 0.0
        self.more: dict[str, str] = {}
        """Further figures of the status."""

    def run(self, reader: SourceReader, writer: TransactionalWriter) -> None:
        """Settle batch after batch. The errors of ``reader`` and ``writer``."""
        try:
            while not self._stop.is_set():
                messages = reader.take()
                try:
                    self._settle(messages, reader, writer)
                except Moved:
                    continue  # the next take begins at what is settled
                self._figures.topic_id = reader.topic.id
                self._figures.positions, self._figures.lag = reader.positions(), reader.lag()
                self._figures.reason = reader.topic.away
                self.tell(WAITING if reader.topic.away else RUNNING)
        except Stopped:
            return

    def tell(self, state: str, *, now: bool = False) -> None:
        """Report, unless that was done a moment ago."""
        if now or time.monotonic() - self._reported_s >= _REPORT_S:
            self._reported_s = time.monotonic()
            self._report.status(self._figures.status(self._clock(), state, **self.more))

    def _settle(
        self, messages: list[Message], reader: SourceReader, writer: TransactionalWriter
    ) -> None:
        counts: Counter[str] = Counter()
        if reader.gap:
            counts["gap"], reader.gap = reader.gap, 0
        if not messages:
            reader.commit_without_records()
            self._figures.add(counts, Counter())
            return
        rejected: Counter[str] = Counter()
        records = self._convert(messages, counts, rejected, reader)
        offsets = reader.after(messages)
        places, group = reader.committable(offsets), reader.group()
        if not writer.write(records, places, group, self._wait):
            self._figures.add(counts=Counter(aborted=1), rejected=Counter())
            reader.rewind()
            self._stop.wait(_ABORTED_S)
            return
        reader.settled(offsets)
        counts["read"] += len(messages)
        self._figures.reason = ""
        self._figures.add(counts, rejected)

    def _convert(
        self,
        messages: Sequence[Message],
        counts: Counter[str],
        rejected: Counter[str],
        reader: SourceReader,
    ) -> list[Outgoing]:
        """What is to be written; waits as long as the schema registry does not answer."""
        convert, events = self._conversion.convert, self._events
        with_headers = self._conversion.reads_headers
        records: list[Outgoing] = []
        for message in messages:
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            timestamp, key, value = message.timestamp()[1], message.key(), message.value()
            place = f"{topic}/{partition}/{offset}/{timestamp}"
            headers: Headers = headers_of(message) if with_headers else []
            while True:
                try:
                    made = convert(place, timestamp, key, headers, value)
                except EventRejected as cause:
                    rejected[cause.reason] += 1
                    records.append(self._dead(taken(message), cause))
                except Unreachable as error:
                    self._wait(str(error), reader.idle)
                    continue
                else:
                    if isinstance(made, Converted):
                        counts["events"] += 1
                        records.append(Outgoing(events, made.key, made.value, made.headers))
                    else:
                        counts["tombstones" if made == TOMBSTONE else "filtered"] += 1
                break
        return records

    def _dead(self, record: Taken, cause: EventRejected) -> Outgoing:
        row = dead_letter(record, cause)
        return Outgoing(self._dead_letters, row.key, row.value, row.headers)

    def _wait(self, what: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Once a second, while something does not answer: say so, and stop where told to."""
        if self._figures.reason != what:
            _log.warning("waits: %s", what)
        self._figures.reason = what
        self.tell(WAITING)
        meanwhile()
        if self._stop.wait(_RETRY_S):
            raise Stopped


def headers_of(message: Message) -> list[tuple[str, bytes | None]]:
    """The headers of a record; none where a name is no UTF-8, which the client cannot read."""
    try:
        return list(message.headers() or [])
    except UnicodeDecodeError:
        return []


def taken(message: Message) -> Taken:
    """The whole record, for a dead letter."""
    return Taken(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        [(name, raw or b"") for name, raw in headers_of(message)],
    )
