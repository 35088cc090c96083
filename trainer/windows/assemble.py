"""Slice records in, complete training windows out (law 3: windows tile the log).

Pure: fed by whoever reads the ``windows`` topic, in any interleaving of its partitions. A window is
complete once every partition has closed its label or a later one; windows leave in label order.
What is held is small: encoded examples, decoded only when their window is taken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from everfresh.contracts.errors import ForeignRecord, WindowGap
from everfresh.contracts.foreign import advice
from everfresh.contracts.window import (
    READABLE,
    Place,
    SliceClosed,
    SlicePart,
    SliceRecord,
    TrainingWindow,
    decode_example,
    encode_slice_record,
)

_NAMED = 5
_ONE_RELEASE = "run a trainer and a stream worker of one release"


class Progress(msgspec.Struct, frozen=True):
    """How far the log has been consumed: what a manifest keeps and a restart begins from (law 5).

    ``label`` and ``cut`` are of the last consumed window; ``through`` maps events partition to the
    offset after its last consumed event; ``reads`` maps windows partition to the next offset to
    read. A partition that is missing from a map has had nothing consumed yet.
    """

    label: int | None = None
    through: dict[int, int] = {}
    reads: dict[int, int] = {}
    cut: int = 0

    @property
    def place(self) -> Place | None:
        """Of the last consumed window."""
        return None if self.label is None else (self.label, self.cut)

    def after(self, window: TrainingWindow) -> Progress:
        """The progress once ``window`` has been consumed, trained or not."""
        ends = {partition: end for partition, (_, end) in window.ranges.items()}
        through, reads = {**self.through, **ends}, {**self.reads, **window.next_read}
        return Progress(window.label, through, reads, window.cut)


class _Slice(msgspec.Struct, frozen=True):
    closed: SliceClosed
    parts: list[SlicePart]
    next_read: int


class _Partition:
    """One partition of the topic: the open run of parts, and the slices that wait to be taken."""

    def __init__(self, number: int, place: Place | None, expected: int | None) -> None:
        self.number = number
        self.place = place
        self.expected = expected
        # By part number: a run written twice, even half, overwrites itself with equal parts.
        self.open: dict[int, SlicePart] = {}
        self.closed: dict[Place, _Slice] = {}
        # Offsets of the last record that closed a slice, and of parts since that one that broke off
        # a run or changed a part of it, which no stream worker's do: named where slices do not fit.
        self.closed_at: list[int] = []
        self.odd: list[int] = []

    def part(self, part: SlicePart, offset: int) -> None:
        if self.place is not None and part.place <= self.place:
            return
        if self.open and next(iter(self.open.values())).place != part.place:
            self.open.clear()
            self.odd.append(offset)
        elif self.open.get(part.part, part) != part:
            self.odd.append(offset)
        self.open[part.part] = part

    def close(self, closed: SliceClosed, offset: int) -> bool:
        """Whether a new slice was closed; a repeated or headless run closes none."""
        self._check_format(closed)
        if self.place is not None and closed.place <= self.place:
            self._check_repeated(closed)
            return False
        parts = [part for _, part in sorted(self.open.items()) if part.place == closed.place]
        self.open.clear()
        # Where the topic's retention took the head of the first run, the log begins after it.
        headless = self.expected is None and len(parts) < closed.parts
        if not headless:
            self._check(closed, parts)
        self.place, self.expected = closed.place, closed.end
        self.closed_at, self.odd = [offset], []
        if headless:
            return False
        self.closed[closed.place] = _Slice(closed, parts, offset + 1)
        return True

    def _check_format(self, closed: SliceClosed) -> None:
        """Before all else: in a newer format the rest may mean something else."""
        if closed.format not in READABLE:
            raise WindowGap(
                f"windows partition {self.number}, label {closed.label}: slice format "
                f"{' or '.join(map(str, READABLE))} expected, found {closed.format}; "
                f"{advice(closed.format, READABLE, _ONE_RELEASE)}"
            )

    def _check(self, closed: SliceClosed, parts: list[SlicePart]) -> None:
        where = f"windows partition {self.number}, label {closed.label}"
        if self.expected is not None and closed.start != self.expected:
            raise WindowGap(
                f"{where}: expected a slice from events offset {self.expected}, found one from "
                f"{closed.start}; retention took slices before they were trained, or the topic was "
                "recreated: start with an empty weight store, or restore the topic"
            )
        if len(parts) != closed.parts or any(part.part != n for n, part in enumerate(parts)):
            raise WindowGap(
                f"{where}: expected parts 0 to {closed.parts - 1}, "
                f"found {[part.part for part in parts]}; the topic has lost records"
            )
        offsets = [offset for part in parts for each in part.examples for offset in each.offsets]
        least, after = min(offsets, default=closed.start), max(offsets, default=-1) + 1
        if not closed.start <= least <= max(after, least) <= closed.end:
            raise WindowGap(
                f"{where}: expected events from offset {closed.start} to before {closed.end}, "
                f"found {len(offsets)} from {least} to before {after}; no stream worker writes this"
            )
        digest = slice_digest(parts)
        if digest != closed.digest or len(offsets) != closed.events:
            raise WindowGap(
                f"{where}: expected {closed.events} events with digest {closed.digest[:12]!a}, "
                f"found {len(offsets)} with {digest[:12]!a}; parts of two different runs stand in "
                "the topic"
            )

    def _check_repeated(self, closed: SliceClosed) -> None:
        if self.expected is not None and closed.end > self.expected:
            raise WindowGap(
                f"windows partition {self.number}: label {closed.label} was closed before at or "
                f"below events offset {self.expected}, found it again up to {closed.end}; two "
                "stream workers cut this partition, or its state was rebuilt with other settings"
            )


def slice_digest(parts: Iterable[SlicePart]) -> str:
    """The sha256 of the encoded parts in order, in hex, as ``SliceClosed.digest`` carries it."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(encode_slice_record(part))
    return digest.hexdigest()


class Assembler:
    """Joins the slices of all ``partitions`` into windows, from ``progress`` on.

    Call :meth:`add` with every record in its partition's order, :meth:`take` for complete windows.
    """

    def __init__(self, partitions: Iterable[int], progress: Progress) -> None:
        self._partitions = {
            number: _Partition(number, progress.place, progress.through.get(number))
            for number in partitions
        }
        self._places: set[Place] = set()
        self._held = 0

    @property
    def backlog(self) -> int:
        """Complete windows that wait to be taken, those without events included."""
        return len(self.complete())

    @property
    def held(self) -> int:
        """Events of closed slices that wait, in complete windows or not."""
        return self._held

    def complete(self) -> list[Place]:
        """Places of the complete windows that wait, ascending."""
        watermark = self._watermark()
        if watermark is None:
            return []
        return sorted(place for place in self._places if place <= watermark)

    def events(self, place: Place) -> int:
        """Events of a window that waits."""
        waiting = [state.closed.get(place) for state in self._partitions.values()]
        return sum(piece.closed.events for piece in waiting if piece is not None)

    def add(self, partition: int, offset: int, record: SliceRecord) -> None:
        """One record of the topic.

        ``WindowGap`` where slices do not tile the log. It names the records in doubt: which of them
        a stream worker wrote cannot be told here, so it is for the operator to leave some out.
        """
        state = self._partitions.get(partition)
        if state is None:
            raise WindowGap(
                f"windows partition {partition} appeared after the trainer started with "
                f"{len(self._partitions)}; restart the trainer"
            )
        if record.partition != partition:
            raise WindowGap(
                f"windows partition {partition}, offset {offset}: expected slices of events "
                f"partition {partition}, found one of {record.partition}; the topic's partition "
                f"count was changed{_in_doubt(partition, [offset])}"
            )
        if isinstance(record, SlicePart):
            state.part(record, offset)
            return
        doubted = [*state.closed_at, *state.odd[:_NAMED], offset]
        try:
            if state.close(record, offset):
                self._places.add(record.place)
                self._held += record.events
        except WindowGap as gap:
            raise WindowGap(f"{gap}{_in_doubt(partition, doubted)}") from None

    def take(self) -> TrainingWindow | None:
        """The next complete window, decoded; ``None`` where none is complete.

        A window may have no events: it moves the watermark and is not to be trained.
        """
        complete = self.complete()
        if not complete:
            return None
        place = complete[0]
        self._places.remove(place)
        slices = {
            number: state.closed.pop(place)
            for number, state in sorted(self._partitions.items())
            if place in state.closed
        }
        self._held -= sum(piece.closed.events for piece in slices.values())
        try:
            return _join(place, slices)
        except ForeignRecord as error:
            raise WindowGap(
                f"window {place[0]} has slices that fit and cannot be read: {error}; run a trainer "
                "and a stream worker of one release, or start with an empty weight store"
            ) from None

    def _watermark(self) -> Place | None:
        places = [state.place for state in self._partitions.values()]
        known = [place for place in places if place is not None]
        return min(known) if known and len(known) == len(places) else None


def _in_doubt(partition: int, offsets: Iterable[int]) -> str:
    places = ", ".join(f"{partition}:{offset}" for offset in offsets)
    return (
        f"; or another program wrote one of the records {places} (PARTITION:OFFSET): leave out, by "
        "trainer.leave_out, those that no stream worker of this loop wrote"
    )


def _join(place: Place, slices: Mapping[int, _Slice]) -> TrainingWindow:
    """Examples by partition, then part, then place: an order that the log alone decides."""
    label, cut = place
    return TrainingWindow(
        label=label,
        cut=cut,
        ranges={number: (piece.closed.start, piece.closed.end) for number, piece in slices.items()},
        examples=[
            decode_example(example, part.actions)
            for piece in slices.values()
            for part in piece.parts
            for example in part.examples
        ],
        next_read={number: piece.next_read for number, piece in slices.items()},
        rejected=sum(piece.closed.rejected for piece in slices.values()),
    )
