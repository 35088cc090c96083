"""Where a partition of a source is gone on with, or why it cannot be; pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from everfresh.contracts.errors import LogMismatch
from everfresh.contracts.report import ComponentStatus


class Found(msgspec.Struct, frozen=True):
    """A partition as Kafka has it: ``committed`` is the group's offset with the id of the topic
    that it was committed for, ``None`` before the first; ``start`` and ``end`` are the log's.
    ``reported`` is the offset that a bridge last said to be next, ``None`` where none did."""

    partition: int
    committed: tuple[int, str] | None
    start: int
    end: int
    reported: int | None = None


class Position(msgspec.Struct, frozen=True):
    """The next offset to read. ``first`` is whether it is still to be committed, ``gap`` how many
    records before it are known to have gone unread."""

    offset: int
    first: bool = False
    gap: int = 0


def position(
    topic: str, topic_id: str, found: Found, *, begin: str, accept_gap: bool, setting: str
) -> Position:
    """Where to go on; ``LogMismatch`` where the next record has gone and ``accept_gap`` is off.

    ``setting`` is the name of the source's table.
    """
    forgotten = found.committed is None
    if found.committed is not None:
        offset, made_for = found.committed
    elif found.reported is not None:  # Kafka drops the offsets of a group that is long empty
        offset, made_for = found.reported, topic_id
    else:
        return Position(found.start if begin == "earliest" else found.end, first=True)
    place = f"source topic {topic} partition {found.partition}"
    again = (
        f"set {setting}.accept_gap to true to go on with the oldest record there is, and back to "
        "false afterwards"
    )
    if made_for and made_for != topic_id:
        if accept_gap:
            return Position(found.start, first=True)
        raise LogMismatch(
            f"{place} was deleted and created again: offset {offset} was next in the topic with id "
            f"{made_for}, and its id is now {topic_id}; what was not read of the old one is lost; "
            f"{again}"
        )
    if offset > found.end:
        if accept_gap:
            return Position(found.start, first=True)
        raise LogMismatch(
            f"{place} ends at offset {found.end}, and offset {offset} was to be read next; it was "
            f"cut or restored from an older copy; {again}"
        )
    if offset < found.start:
        if accept_gap:
            return Position(found.start, first=True, gap=found.start - offset)
        raise LogMismatch(
            f"{place} begins at offset {found.start}, and offset {offset} was to be read next: "
            f"retention removed up to {found.start - offset} records that were not read; keep them "
            f"for longer (retention.ms), or run more bridges; {again}"
        )
    return Position(offset, first=forgotten)


def reported_positions(
    statuses: Iterable[ComponentStatus], source: str, topic_id: str
) -> dict[int, int]:
    """The next offset by partition, as the bridges of a source last said for that very topic."""
    positions: dict[int, int] = {}
    for status in statuses:
        figures = status.figures
        if (figures.get("source"), figures.get("topic_id")) != (source, topic_id):
            continue
        said = figures.get("positions")
        for number, offset in said.items() if isinstance(said, dict) else ():
            if str(number).isdecimal() and isinstance(offset, int):
                positions[int(number)] = max(offset, positions.get(int(number), 0))
    return positions
