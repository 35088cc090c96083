"""Events that come with a request: which of them the user's state holds already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from everfresh.contracts.sequence import (
    HEADER_BYTES,
    Interaction,
    StoredSequence,
    encode_entry,
    entry_starts,
)


def fresh_events(stored: StoredSequence, events: Sequence[Interaction]) -> list[Interaction]:
    """Those of a request's events that the state does not hold."""
    if not events:
        return []
    codes = {action: code for code, action in enumerate(stored.actions)}
    entries = [
        encode_entry(event.item, codes[event.action], event.time, event.value)
        if event.action in codes
        else None
        for event in events
    ]
    held = held_entries(stored.raw, filter(None, entries))
    return [event for event, entry in zip(events, entries, strict=True) if entry not in held]


def held_entries(raw: bytes, wanted: Iterable[bytes]) -> set[bytes]:
    """Those of ``wanted`` that are entries of a sequence value.

    Most are not there as bytes, and so are no entries. Where the bytes are there, it counts whether
    an entry begins there.
    """
    places = {entry: raw.find(entry, HEADER_BYTES) for entry in wanted}
    if all(at < 0 for at in places.values()):
        return set()
    starts = set(entry_starts(raw, HEADER_BYTES))
    held: set[bytes] = set()
    for entry, place in places.items():
        at = place
        while at >= 0 and at not in starts:
            at = raw.find(entry, at + 1)
        if at >= 0:
            held.add(entry)
    return held
