"""Turns records into the runs of one segment: decode, validate, group by user.

The inner loop of the worker. A record that decodes as :class:`PlainEvent`, with its user's key, is
taken at once; every other one goes through :class:`EventDecoder`, which knows all the rules and
alone decides what is rejected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from everfresh.contracts.errors import EventRejected
from everfresh.contracts.event import Event, UserId, user_key
from everfresh.contracts.event_codec import (
    CE_VERSION,
    SPEC_VERSION,
    EventDecoder,
    PlainEvent,
    in_the_future,
)
from everfresh.contracts.segment import INT_ROW, encode_row
from everfresh.contracts.sequence import INT_ENTRY, encode_entry, encode_id
from everfresh.streaming.fold.deduplication import Ids, RecentIds
from everfresh.streaming.fold.windows import HISTORY_AFTER_MS
from everfresh.streaming.log.placement import Placement
from everfresh.streaming.log.records import Record

# The user's record key, then a row for every event.
_Group = list[bytes]
_VERSION_FIRST = (CE_VERSION, SPEC_VERSION)
# What msgspec and an unknown action raise; EventDecoder then tells whether it is a reject at all.
_NOT_PLAIN = (msgspec.MsgspecError, ValueError, TypeError, KeyError, RecursionError, OverflowError)
_NAN = math.nan
_REST = INT_ENTRY.size - 1


class IntakeResult(msgspec.Struct, frozen=True):
    """What became of some records: ``count`` of them, ``events`` accepted, the others rejected.

    ``feedback`` are the accepted events that name a request, with their offsets; ``ids`` tells all
    accepted events. ``history`` counts those that happened long before they were appended.
    """

    count: int
    events: int
    runs: dict[bytes, bytes]
    rejects: list[tuple[Record, EventRejected]]
    feedback: list[tuple[int, Event]]
    ids: Ids
    history: int = 0


class Intake:
    """Takes records in; immutable. ``actions`` and ``max_bytes`` are those of ``EventDecoder``.

    Events more than ``ahead_ms`` ahead of their append time are rejected as ``in_the_future``,
    those whose key belongs to another partition, by ``placement``, as ``wrong_partition``.
    """

    def __init__(
        self,
        actions: Sequence[str],
        max_bytes: int,
        ahead_ms: int,
        placement: Placement | None = None,
    ) -> None:
        self._codes = {action: code for code, action in enumerate(actions) if action}
        self._max_bytes = max_bytes
        self._ahead_ms = ahead_ms
        self._placement = placement or Placement()
        self._plain = msgspec.json.Decoder(PlainEvent).decode
        self._decode = EventDecoder(actions, max_bytes).decode

    def take(
        self, records: Sequence[Record], before_ms: int, recent: RecentIds | None = None
    ) -> IntakeResult:
        """Take ``records`` in order, up to the first one appended at or after ``before_ms``.

        What ``recent`` knows already is rejected as ``duplicate_id``; it has room for all.
        """
        result = self._group(records, before_ms)
        known = recent.add(result.ids) if recent is not None else None
        if not known:
            return result
        # Seldom, so it may cost another pass: what is left out then leaves no trace in the order.
        rejected = {record.offset for record, _ in result.rejects}
        valid = [record for record in records[: result.count] if record.offset not in rejected]
        repeated = [record for at, record in enumerate(valid) if at in known]
        fresh = [record for at, record in enumerate(valid) if at not in known]
        cause = EventRejected("duplicate_id", "this user's event of that id was accepted before")
        rejects = result.rejects + [(record, cause) for record in repeated]
        rejects.sort(key=lambda reject: reject[0].offset)
        rest = self._group(fresh, before_ms)
        return msgspec.structs.replace(rest, count=result.count, rejects=rejects)

    def _group(self, records: Sequence[Record], before_ms: int) -> IntakeResult:
        # One long loop on purpose: it runs for every event, and calls cost.
        groups: dict[UserId, _Group] = {}
        users: list[UserId] = []
        ids: list[str] = []
        rejects: list[tuple[Record, EventRejected]] = []
        feedback: list[tuple[int, Event]] = []
        decode, codes, max_bytes = self._plain, self._codes, self._max_bytes
        count, history, pack, ahead_ms = 0, 0, INT_ROW.pack, self._ahead_ms
        known, holds = self._placement.known, self._placement.holds
        event: Event
        for record in records:
            appended = record.timestamp
            if appended >= before_ms:
                break
            count += 1
            key, value, headers = record.key, record.value, record.headers
            try:
                event = decode(value)  # type: ignore[arg-type]  # None is not plain
                user, code = event.user_id, codes[event.type]
                group = groups.get(user)
                plain = (
                    (
                        key == user_key(user) and (key in known or holds(key))
                        if group is None
                        else key == group[0]
                    )
                    and len(value) <= max_bytes  # type: ignore[arg-type]
                    and (not headers or headers[0] == _VERSION_FIRST)
                )
            except _NOT_PLAIN:
                plain = False
            if not plain:
                try:
                    event = self._decode(key, value, headers)
                    self._placement.require(key or b"")
                except EventRejected as cause:
                    rejects.append((record, cause))
                    continue
                user, code = event.user_id, codes[event.type]
                group = groups.get(user)
            time = event.time
            if time > appended + ahead_ms:
                rejects.append((record, in_the_future(time, appended)))
                continue
            history += time < appended - HISTORY_AFTER_MS
            if group is None:
                group = groups[user] = [key or b""]
            item, number = event.item_id, event.value
            if item.__class__ is int:
                size = _NAN if number is None else number
                row = pack(record.offset, appended, _REST, code, time, size, b"i", item)
            else:
                row = encode_row(record.offset, appended, encode_entry(item, code, time, number))
            group.append(row)
            users.append(user)
            ids.append(event.id)
            if event.request_id is not None:
                feedback.append((record.offset, event))
        runs = _runs(groups)
        return IntakeResult(count, len(ids), runs, rejects, feedback, (users, ids), history)


def _runs(groups: dict[UserId, _Group]) -> dict[bytes, bytes]:
    runs = {}
    for user, rows in groups.items():
        rows[0] = b""
        runs[encode_id(user)] = b"".join(rows)
    return runs
