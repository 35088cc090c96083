"""The join of one partition's exposures with its feedback, by request id within the horizon.

One outcome per exposure, the same whatever dies and however the two logs are interleaved:

1. an accepted event that names a request is written down in the batch that applies it (law 2);
2. an exposure is written down together with the exposures' offset, in a batch of its own;
3. once both logs have been read past a request's horizon, ``settle`` turns it into its outcome in
   the outbox and removes what it came from, in one batch.

Each step reads only what is stored, so that a crash between any two leaves the next one to do. The
verdict on a request (``streaming.join.matching``) follows from the append times in the logs alone.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, islice
from operator import attrgetter

import msgspec

from everfresh.contracts.errors import EventRejected
from everfresh.contracts.event import Event, user_key
from everfresh.contracts.exposure import Exposure, decode_exposure
from everfresh.contracts.outcome import Feedback, Outcome, encode_outcome
from everfresh.contracts.topics import OUTCOMES
from everfresh.streaming.fold.dead_letters import PlacedRecord, Record, dead_letter
from everfresh.streaming.fold.write_batch import Changes
from everfresh.streaming.join.matching import Heard, Shown, judge, repeats
from everfresh.streaming.join.rows import (
    DUE_PREFIX,
    HEARD_PREFIX,
    JOIN_KEY,
    REQUEST_PREFIX,
    JoinHead,
    decode_heard,
    decode_shown,
    due_key,
    due_of,
    encode,
    heard_key,
    request_of,
)
from everfresh.streaming.state.key_layout import OutboxRow

MAX_FEEDBACK = 1000
"""More feedback on one exposure is counted as ``surplus_feedback`` and left out of its outcome."""

KINDS = ("exposures", "outcomes", "unmatched", "late_feedback", "not_shown", "surplus_feedback")
"""What :attr:`Changes.joins` counts."""

_REMINDERS_AT_ONCE = 128

_APPENDED = attrgetter("timestamp")
_OFFSET = attrgetter("offset")

Read = Callable[[Sequence[bytes]], list[bytes | None]]
Scan = Callable[[bytes, bytes], Iterator[tuple[bytes, bytes]]]


class Join:
    """The join of one partition; ``read`` and ``scan`` look at what has been written.

    It counts, in ``Changes.joins``: ``exposures`` taken in, ``outcomes`` written, and of the
    feedback what is ``unmatched``, ``late_feedback``, ``not_shown`` (in an outcome, on an item that
    was not shown) and ``surplus_feedback``.

    Like the fold, what it remembers runs ahead of the store until the returned changes are
    written; where the write fails, drop this object and open the partition again.
    """

    def __init__(
        self, head: JoinHead, partition: int, horizon_ms: int, read: Read, scan: Scan
    ) -> None:
        """``scan(prefix, begin)`` gives the pairs under ``prefix`` from key ``begin`` on."""
        self.head = head
        self._partition = partition
        self._horizon = horizon_ms
        self._read = read
        self._scan = scan
        self._due = self._first_due()

    def hear(self, records: Sequence[Record], applied: int, changes: Changes) -> None:
        """Step 1: note the feedback among ``changes.named``, in the batch that applies it.

        ``records`` are those that were folded, ``applied`` the offset they reach.
        """
        head = self.head
        if changes.named:
            # Log time does not run backwards, even where a broker's clock did.
            times = accumulate(map(_APPENDED, records), max, initial=head.events_ms)
            reached = dict(zip(map(_OFFSET, records), islice(times, 1, None), strict=False))
            for offset, event in changes.named:
                self._hear(offset, reached[offset], event, changes)
        head.events = applied
        newest = max(map(_APPENDED, records))
        head.events_ms = max(head.events_ms, newest)
        self.mark(changes)

    def expose(self, records: Iterable[PlacedRecord]) -> Changes:
        """Step 2: take in records of the exposures partition, in log order.

        Those below the offset that was reached are skipped; those that are no exposure, or repeat
        one, become dead letters.
        """
        changes = Changes()
        taken: list[tuple[PlacedRecord, bytes, int]] = []
        for record in records:
            if record.offset < self.head.exposures:
                continue
            self.head.exposures = record.offset + 1
            self.head.exposures_ms = max(self.head.exposures_ms, record.timestamp)
            try:
                taken.append((record, _request_in(record), self.head.exposures_ms))
            except EventRejected as cause:
                _reject(record, cause, changes)
        requests = list({request for _, request, _ in taken})
        stored = self._read([REQUEST_PREFIX + request for request in requests])
        shown = {
            request: decode_shown(raw) if raw else []
            for request, raw in zip(requests, stored, strict=True)
        }
        for record, request, at in taken:
            self._expose(record, request, at, shown[request], changes)
        self.mark(changes)
        return changes

    def reached(self, events_ms: int, exposures_ms: int) -> None:
        """Log times of idle logs: all that was appended before has been taken in."""
        self.head.events_ms = max(self.head.events_ms, events_ms)
        self.head.exposures_ms = max(self.head.exposures_ms, exposures_ms)

    @property
    def due(self) -> int | None:
        """The log time that both logs must pass before there is something to settle."""
        return self._due

    def settle(self) -> Changes | None:
        """Step 3, for some of the requests that are due; ``None`` where none is."""
        if self._due is None or self._due >= self.head.clock:
            return None
        changes = Changes()
        reminders = self._reminders()
        requests = list(dict.fromkeys(request for _, _, request in reminders))
        stored = self._read([REQUEST_PREFIX + request for request in requests])
        for request, raw in zip(requests, stored, strict=True):
            self._settle(request, raw, changes)
        changes.deletes += [key for key, _, _ in reminders]
        self.mark(changes)
        return changes

    def _reminders(self) -> list[tuple[bytes, int, bytes]]:
        """Key, time and request of the first reminders that are due; the next one is noted."""
        found: list[tuple[bytes, int, bytes]] = []
        self._due = None
        for key, _ in self._scan(DUE_PREFIX, due_key(self.head.looked_ms)):
            due, request = due_of(key)
            if due >= self.head.clock or len(found) == _REMINDERS_AT_ONCE:
                self._due = due
                break
            found.append((key, due, request))
            self.head.looked_ms = due
        return found

    def mark(self, changes: Changes) -> None:
        """Write down how far the join has come."""
        changes.puts[JOIN_KEY] = encode(self.head)

    def _hear(self, offset: int, at: int, event: Event, changes: Changes) -> None:
        request = request_of(event.user_id, event.request_id or "")
        row = Heard(at, offset, event.time, event.type, event.item_id, event.value)
        changes.puts[heard_key(request, offset)] = encode(row)
        self._remind(at + self._horizon, request, changes)

    def _expose(
        self, record: PlacedRecord, request: bytes, at: int, shown: list[Shown], changes: Changes
    ) -> None:
        if repeats(shown, at, self._horizon):
            detail = "this user's request has an exposure already; request ids must be unique"
            _reject(record, EventRejected("repeated_request", detail), changes)
            return
        shown.append(Shown(at, record.offset, record.value))
        changes.puts[REQUEST_PREFIX + request] = encode(shown)
        changes.joins["exposures"] += 1
        self._remind(at + self._horizon, request, changes)

    def _settle(self, request: bytes, raw: bytes | None, changes: Changes) -> None:
        prefix = HEARD_PREFIX + request
        heard = [decode_heard(row) for _, row in self._scan(prefix, prefix)]
        shown = decode_shown(raw) if raw else []
        verdict = judge(shown, heard, self.head.clock, self._horizon)
        changes.rows += [self._outcome(one, answers, changes) for one, answers in verdict.closed]
        changes.joins["late_feedback"] += len(verdict.late)
        changes.joins["unmatched"] += len(verdict.unmatched)
        stays = {one.offset for one in verdict.heard}
        changes.deletes += [
            heard_key(request, one.offset) for one in heard if one.offset not in stays
        ]
        if not verdict.shown:
            changes.deletes.append(REQUEST_PREFIX + request)
        elif verdict.shown != shown:
            changes.puts[REQUEST_PREFIX + request] = encode(verdict.shown)
        if verdict.due is not None:
            self._remind(verdict.due, request, changes)

    def _outcome(self, one: Shown, answers: list[Heard], changes: Changes) -> OutboxRow:
        exposure = decode_exposure(one.raw or b"")
        feedback = [_feedback(exposure, each) for each in answers[:MAX_FEEDBACK]]
        name = f"{self._partition}-{one.offset}"
        changes.joins["outcomes"] += 1
        changes.joins["surplus_feedback"] += len(answers) - len(feedback)
        changes.joins["not_shown"] += sum(each.position is None for each in feedback)
        value = encode_outcome(Outcome(name, one.at, self._horizon, exposure, feedback))
        return OutboxRow(OUTCOMES.name, self._partition, name.encode(), value, [])

    def _remind(self, due: int, request: bytes, changes: Changes) -> None:
        changes.puts[due_key(due, request)] = b""
        self._due = due if self._due is None else min(self._due, due)

    def _first_due(self) -> int | None:
        for key, _ in self._scan(DUE_PREFIX, due_key(self.head.looked_ms)):
            return due_of(key)[0]
        return None


def _request_in(record: Record) -> bytes:
    try:
        exposure = decode_exposure(record.value or b"")
        request = request_of(exposure.user_id, exposure.request_id)
    except (msgspec.MsgspecError, struct.error, RecursionError) as error:
        raise EventRejected("bad_exposure", str(error)) from None
    if user_key(exposure.user_id) != record.key:
        raise EventRejected(
            "bad_exposure", f"the key must be the user id {exposure.user_id!r}, not {record.key!r}"
        )
    return request


def _reject(record: PlacedRecord, cause: EventRejected, changes: Changes) -> None:
    changes.rows.append(dead_letter(record, cause))
    changes.rejected[cause.reason] += 1


def _feedback(exposure: Exposure, each: Heard) -> Feedback:
    position = exposure.items.index(each.item_id) if each.item_id in exposure.items else None
    return Feedback(each.offset, each.at, each.time, each.type, each.item_id, position, each.value)
