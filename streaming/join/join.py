"""The join of one partition's exposures with its feedback, by request id within the horizon.

One outcome per exposure, the same whatever dies and however the two logs are interleaved:

1. an accepted event that names a request is written down in the batch that applies it (law 2);
2. an exposure is written down together with the exposures' offset, in a batch of its own; that of
   a sticky experiment leaves the user's first arm there too;
3. once both logs have been read past a request's horizon, ``write_outcomes`` turns it into its
   outcome in the outbox and removes what it came from, in one batch.

Each step reads only what is stored, so that a crash between any two leaves the next one to do. What
is decided about a request (``streaming.join.matching``) follows from the append times in the logs
alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, islice
from operator import attrgetter

from everfresh.contracts.errors import EventRejected, ForeignRecord
from everfresh.contracts.event import Event, user_key
from everfresh.contracts.exposure import Exposure, decode_exposure
from everfresh.contracts.partitioning import WRONG_PARTITION
from everfresh.streaming.join.first_arms import remember
from everfresh.streaming.join.matching import StoredExposure, StoredFeedback, is_repeated, match
from everfresh.streaming.join.outcomes import outcome_row
from everfresh.streaming.join.rows import (
    DUE_PREFIX,
    EXPOSURES_PREFIX,
    FEEDBACK_PREFIX,
    JOIN_KEY,
    JoinHead,
    decode_exposures,
    decode_feedback,
    due_key,
    due_of,
    encode,
    feedback_key,
    request_of,
)
from everfresh.streaming.log.placement import Placement
from everfresh.streaming.log.records import PlacedRecord, Record
from everfresh.streaming.outbox.dead_letters import dead_letter
from everfresh.streaming.outbox.outbox import Outbox
from everfresh.streaming.outbox.rows import OutboxRow
from everfresh.streaming.state.store import PartitionStore
from everfresh.streaming.state.write_batch import WriteBatch

JOIN_COUNTS = (
    "exposures",
    "outcomes",
    "unmatched",
    "late_feedback",
    "not_shown",
    "surplus_feedback",
)
"""What :attr:`WriteBatch.joins` counts."""

_REMINDERS_AT_ONCE = 128
_REMINDERS_A_HORIZON = 1024
"""Of one request. Each is a look at what it has; an outcome comes so much of a horizon late."""

_APPENDED = attrgetter("timestamp")
_OFFSET = attrgetter("offset")


class Join:
    """The join of one partition. It reads ``store`` and never writes it; outcomes and dead letters
    go to ``outbox``.

    It counts, in ``WriteBatch.joins``: ``exposures`` taken in, ``outcomes`` written, and of the
    feedback what is ``unmatched``, ``late_feedback``, ``not_shown`` (in an outcome, on an item that
    was not shown) and ``surplus_feedback``.

    Like the fold, what it remembers runs ahead of the store until the returned batch is written;
    where the write fails, drop this object and open the partition again.
    """

    def __init__(
        self,
        head: JoinHead,
        partition: int,
        horizon_ms: int,
        store: PartitionStore,
        outbox: Outbox,
        placement: Placement | None = None,
    ) -> None:
        self.head = head
        self._partition = partition
        self._placement = placement or Placement()
        self._horizon = horizon_ms
        self._store = store
        self._outbox = outbox
        self._due = self._first_due()

    def add_feedback(self, records: Sequence[Record], applied: int, batch: WriteBatch) -> None:
        """Step 1: store ``batch.feedback``, in the batch that applies it.

        ``records`` are those that were folded, ``applied`` the offset they reach.
        """
        head = self.head
        if batch.feedback:
            # Log time does not run backwards, even where a broker's clock did.
            times = accumulate(map(_APPENDED, records), max, initial=head.events_ms)
            log_times = dict(zip(map(_OFFSET, records), islice(times, 1, None), strict=False))
            for offset, event in batch.feedback:
                self._add_feedback(offset, log_times[offset], event, batch)
        head.events = applied
        newest = max(map(_APPENDED, records))
        head.events_ms = max(head.events_ms, newest)
        self.put_head(batch)

    def add_exposures(self, records: Iterable[PlacedRecord]) -> WriteBatch:
        """Step 2: take in records of the exposures partition, in log order.

        Those below the offset that was reached are skipped; those that are no exposure, repeat one,
        or stand in the wrong partition, become dead letters.
        """
        batch = WriteBatch()
        dead_letters: list[OutboxRow] = []
        valid: list[tuple[PlacedRecord, bytes, int, Exposure]] = []
        taken: list[Exposure] = []
        for record in records:
            if record.offset < self.head.exposures:
                continue
            self.head.exposures = record.offset + 1
            self.head.exposures_ms = max(self.head.exposures_ms, record.timestamp)
            try:
                exposure = _exposure_in(record)
                request = request_of(exposure.user_id, exposure.request_id)
                self._placement.require(record.key or b"")
                valid.append((record, request, self.head.exposures_ms, exposure))
            except EventRejected as cause:
                dead_letters.append(_reject(record, cause, batch))
        requests = list({request for _, request, *_ in valid})
        stored = self._stored_exposures(requests)
        for record, request, at, exposure in valid:
            try:
                self._add_exposure(record, request, at, stored[request], batch)
                taken.append(exposure)
            except EventRejected as cause:
                dead_letters.append(_reject(record, cause, batch))
        remember(taken, self._store, batch)
        self._outbox.add_batch(dead_letters, batch)
        self.put_head(batch)
        return batch

    def advance(self, events_ms: int, exposures_ms: int) -> None:
        """Log times of idle logs: all that was appended before them has been taken in."""
        self.head.events_ms = max(self.head.events_ms, events_ms)
        self.head.exposures_ms = max(self.head.exposures_ms, exposures_ms)

    def write_outcomes(self) -> WriteBatch | None:
        """Step 3, for some of the requests that are due; ``None`` where none is."""
        if self._due is None or self._due >= self.head.clock:
            return None
        batch = WriteBatch()
        outcomes: list[OutboxRow] = []
        reminders = self._take_reminders()
        requests = list(dict.fromkeys(request for _, _, request in reminders))
        for request, exposures in self._stored_exposures(requests).items():
            outcomes += self._decide(request, exposures, batch)
        batch.deletes += [key for key, _, _ in reminders]
        self._outbox.add_batch(outcomes, batch)
        self.put_head(batch)
        return batch

    def put_head(self, batch: WriteBatch) -> None:
        """Write down how far the join has come."""
        batch.puts[JOIN_KEY] = encode(self.head)

    def _stored_exposures(self, requests: Sequence[bytes]) -> dict[bytes, list[StoredExposure]]:
        stored = self._store.get_many([EXPOSURES_PREFIX + request for request in requests])
        return {
            request: decode_exposures(raw) if raw else []
            for request, raw in zip(requests, stored, strict=True)
        }

    def _take_reminders(self) -> list[tuple[bytes, int, bytes]]:
        """Key, time and request of the first reminders that are due; the next one is noted."""
        reminders: list[tuple[bytes, int, bytes]] = []
        self._due = None
        for key, _ in self._store.scan(DUE_PREFIX, due_key(self.head.looked_ms)):
            due, request = due_of(key)
            if due >= self.head.clock or len(reminders) == _REMINDERS_AT_ONCE:
                self._due = due
                break
            reminders.append((key, due, request))
            self.head.looked_ms = due
        return reminders

    def _add_feedback(self, offset: int, at: int, event: Event, batch: WriteBatch) -> None:
        request = request_of(event.user_id, event.request_id or "")
        row = StoredFeedback(at, offset, event.time, event.type, event.item_id, event.value)
        batch.puts[feedback_key(request, offset)] = encode(row)
        self._remind(at + self._horizon, request, batch)

    def _add_exposure(
        self,
        record: PlacedRecord,
        request: bytes,
        at: int,
        stored: list[StoredExposure],
        batch: WriteBatch,
    ) -> None:
        if is_repeated(stored, at, self._horizon):
            detail = "this user's request has an exposure already; request ids must be unique"
            raise EventRejected("repeated_request", detail)
        stored.append(StoredExposure(at, record.offset, record.value))
        batch.puts[EXPOSURES_PREFIX + request] = encode(stored)
        batch.joins["exposures"] += 1
        self._remind(at + self._horizon, request, batch)

    def _decide(
        self, request: bytes, exposures: list[StoredExposure], batch: WriteBatch
    ) -> list[OutboxRow]:
        """The outcomes of a request; what is decided is removed, what is not stays."""
        feedback = self._feedback_of(request, exposures)
        matches = match(exposures, feedback, self.head.clock, self._horizon)
        batch.joins["late_feedback"] += len(matches.late)
        batch.joins["unmatched"] += len(matches.unmatched)
        staying = {each.offset for each in matches.feedback}
        batch.deletes += [
            feedback_key(request, each.offset) for each in feedback if each.offset not in staying
        ]
        if not matches.exposures:
            batch.deletes.append(EXPOSURES_PREFIX + request)
        elif matches.exposures != exposures:
            batch.puts[EXPOSURES_PREFIX + request] = encode(matches.exposures)
        if matches.due is not None:
            self._remind(matches.due, request, batch)
        return [
            outcome_row(self._partition, self._horizon, exposure, answers, batch)
            for exposure, answers in matches.joined
        ]

    def _feedback_of(self, request: bytes, exposures: list[StoredExposure]) -> list[StoredFeedback]:
        """That of a request as far as something can be decided about it: one id may stand in any
        number of events."""
        clock, horizon = self.head.clock, self._horizon
        ends = any(each.raw is not None and each.at + horizon < clock for each in exposures)
        prefix = FEEDBACK_PREFIX + request
        feedback: list[StoredFeedback] = []
        for _, row in self._store.scan(prefix, prefix):
            feedback.append(decode_feedback(row))
            # What was appended later stays too, and is due later.
            if not ends and feedback[-1].at + horizon >= clock:
                break
        return feedback

    def _remind(self, due: int, request: bytes, batch: WriteBatch) -> None:
        # So many a horizon at most, however many events name the request.
        due += -due % max(1, self._horizon // _REMINDERS_A_HORIZON)
        batch.puts[due_key(due, request)] = b""
        self._due = due if self._due is None else min(self._due, due)

    def _first_due(self) -> int | None:
        for key, _ in self._store.scan(DUE_PREFIX, due_key(self.head.looked_ms)):
            return due_of(key)[0]
        return None


def _exposure_in(record: Record) -> Exposure:
    try:
        exposure = decode_exposure(record.value)
    except ForeignRecord as error:
        raise EventRejected("bad_exposure", str(error)) from None
    if user_key(exposure.user_id) != record.key:
        raise EventRejected(
            "bad_exposure", f"the key must be the user id {exposure.user_id!r}, not {record.key!r}"
        )
    return exposure


def _reject(record: PlacedRecord, cause: EventRejected, batch: WriteBatch) -> OutboxRow:
    batch.rejected[cause.reason] += 1
    batch.misplaced += cause.reason == WRONG_PARTITION
    return dead_letter(record, cause)
