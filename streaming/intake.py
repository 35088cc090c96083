"""From records to the runs of one segment: decode, validate, group by user.

The inner loop of the worker. A record that decodes as :class:`PlainEvent`, with its user's key, is
taken at once; every other one goes through :class:`EventDecoder`, which knows all the rules and
alone decides what is rejected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import itemgetter

import msgspec

from contracts.errors import EventRejected
from contracts.event import Event, UserId, user_key
from contracts.segment import INT_ROW, encode_row, first_offset
from contracts.sequence import INT_ENTRY, encode_entry, encode_id
from streaming.decode import CE_VERSION, SPEC_VERSION, EventDecoder, PlainEvent
from streaming.letters import Record
from streaming.recent import Ids, RecentIds

# The user's record key, then a row for every event; the events' ids.
_Group = tuple[list[bytes], list[str]]
_VERSION_FIRST = (CE_VERSION, SPEC_VERSION)
# What msgspec and an unknown action raise; EventDecoder then tells whether it is a reject at all.
_NOT_PLAIN = (msgspec.MsgspecError, ValueError, TypeError, KeyError, RecursionError, OverflowError)
_NAN = math.nan
_REST = INT_ENTRY.size - 1


class Taken(msgspec.Struct, frozen=True):
    """What became of some records: ``count`` of them, ``events`` accepted, the others rejected.

    ``named`` are the accepted events that name a request, with their offsets; ``ids`` the ids of
    all accepted events.
    """

    count: int
    events: int
    runs: dict[bytes, bytes]
    rejects: list[tuple[Record, EventRejected]]
    named: list[tuple[int, Event]]
    ids: Ids


class Intake:
    """Takes records in; immutable. ``actions`` is the action table, ``max_bytes`` as in decode.

    Events more than ``ahead_ms`` ahead of their append time are rejected as ``in_the_future``.
    """

    def __init__(self, actions: Sequence[str], max_bytes: int, ahead_ms: int) -> None:
        self._codes = {action: code for code, action in enumerate(actions) if action}
        self._max_bytes = max_bytes
        self._ahead_ms = ahead_ms
        self._plain = msgspec.json.Decoder(PlainEvent).decode
        self._decode = EventDecoder(actions, max_bytes).decode

    def take(
        self, records: Sequence[Record], before_ms: int, recent: RecentIds | None = None
    ) -> Taken:
        """Take ``records`` in order, up to the first one appended at or after ``before_ms``.

        What ``recent`` knows already is rejected as ``duplicate_id``; it has room for all.
        """
        groups: dict[UserId, _Group] = {}
        rejects: list[tuple[Record, EventRejected]] = []
        named: list[tuple[int, Event]] = []
        decode, codes, max_bytes = self._plain, self._codes, self._max_bytes
        count, pack, ahead_ms = 0, INT_ROW.pack, self._ahead_ms
        event: Event
        for record in records:
            appended = record.timestamp
            if appended >= before_ms:
                break
            count += 1
            key, value, headers = record.key, record.value, record.headers
            try:
                event = decode(value)  # type: ignore[arg-type]  # None is not plain
                code = codes[event.type]
                group = groups.get(event.user_id)
                plain = (
                    key == (user_key(event.user_id) if group is None else group[0][0])
                    and len(value) <= max_bytes  # type: ignore[arg-type]
                    and (not headers or headers[0] == _VERSION_FIRST)
                )
            except _NOT_PLAIN:
                plain = False
            if not plain:
                try:
                    event = self._decode(key, value, headers)
                except EventRejected as cause:
                    rejects.append((record, cause))
                    continue
                code = codes[event.type]
                group = groups.get(event.user_id)
            if event.time > appended + ahead_ms:
                rejects.append((record, in_the_future(event.time, appended)))
                continue
            if group is None:
                group = groups[event.user_id] = ([key or b""], [])
            item, number = event.item_id, event.value
            if item.__class__ is int:
                size = _NAN if number is None else number
                row = pack(record.offset, appended, _REST, code, event.time, size, b"i", item)
            else:
                row = encode_row(
                    record.offset, appended, encode_entry(item, code, event.time, number)
                )
            group[0].append(row)
            group[1].append(event.id)
            if event.request_id is not None:
                named.append((record.offset, event))
        known = _leave_known_out(groups, rejects, records[:count], recent)
        named = _without(named, known)
        return Taken(count, count - len(rejects), _runs(groups), rejects, named, _ids(groups))


def in_the_future(time: int, appended: int) -> EventRejected:
    """Why an event of ``time`` is not accepted at ``appended``, both UTC ms."""
    return EventRejected(
        "in_the_future",
        f"time {time} is {time - appended} ms later than the broker's; check the producer's clock",
    )


def _runs(groups: dict[UserId, _Group]) -> dict[bytes, bytes]:
    runs = {}
    for user, (rows, _) in groups.items():
        rows[0] = b""
        runs[encode_id(user)] = b"".join(rows)
    return runs


def _ids(groups: dict[UserId, _Group]) -> Ids:
    return {user: names for user, (_, names) in groups.items()}


def _without(named: list[tuple[int, Event]], offsets: set[int]) -> list[tuple[int, Event]]:
    return [one for one in named if one[0] not in offsets] if offsets else named


def _leave_known_out(
    groups: dict[UserId, _Group],
    rejects: list[tuple[Record, EventRejected]],
    records: Sequence[Record],
    recent: RecentIds | None,
) -> set[int]:
    """Move events that ``recent`` knows from the groups to the rejects; returns their offsets."""
    offsets: set[int] = set()
    if recent is None:
        return offsets
    known = recent.add(_ids(groups), len(records) - len(rejects))
    for user, index in sorted(known, key=itemgetter(1), reverse=True):
        rows = groups[user][0]
        offsets.add(first_offset(rows.pop(1 + index)))
        if len(rows) == 1:
            del groups[user]
    if offsets:
        cause = EventRejected("duplicate_id", "this user's event of that id was accepted before")
        rejects += [(record, cause) for record in records if record.offset in offsets]
        rejects.sort(key=lambda one: one[0].offset)
        # What is left out leaves no trace: users stand in the order of their first accepted event.
        ordered = sorted(groups.items(), key=lambda one: first_offset(one[1][0][1]))
        groups.clear()
        groups.update(ordered)
    return offsets
