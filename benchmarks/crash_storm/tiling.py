"""The windows topic against the log: every accepted event a target exactly once, nothing else.

Slices are followed as they were announced. The first announcement of a label must go on exactly
where the last one ended; any later one of the same label must have the same bytes.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Any

from benchmarks.crash_storm.plain import Entry, PlainPartition
from everfresh.contracts.sequence import Interaction, decode_entries
from everfresh.contracts.window import Place, SliceClosed, SlicePart, decode_slice_record

_SINGLE = struct.Struct("<f")


class Tiling:
    """The announced slices of one partition. ``faults`` says in words what is wrong."""

    def __init__(self, log: PlainPartition, period_ms: int, length: int) -> None:
        self._log = log
        self._period_ms = period_ms
        self._length = length
        self._parts: dict[Place, dict[int, bytes]] = {}
        self._announced: dict[Place, list[bytes]] = {}
        self._place = (-1, 0)
        self._edge = (0, -1)
        self.end = 0
        self.slices = self.repeated = self.late = 0
        self.faults: list[str] = []
        self._waiting: list[tuple[SliceClosed, list[bytes]]] = []

    def add(self, raw: bytes) -> None:
        """The next record of the windows partition; the log itself is read later."""
        record = decode_slice_record(raw)
        if isinstance(record, SlicePart):
            held = self._parts.setdefault(record.place, {})
            if held.setdefault(record.part, raw) != raw:
                self._fault(f"label {record.label} part {record.part} was written with other bytes")
            return
        parts = self._parts.pop(record.place, {})
        run = [*(parts[number] for number in sorted(parts)), raw]
        if sorted(parts) != list(range(record.parts)):
            self._fault(f"label {record.label} closes {record.parts} parts, found {sorted(parts)}")
        if record.place > self._place:
            self._place = record.place
            self.end = record.end
            self._announced[record.place] = run
            self._waiting.append((record, run))
            self.slices += 1
        elif record.place in self._announced:
            self.repeated += 1
            if run != self._announced[record.place]:
                self._fault(f"label {record.label} was announced again with other bytes")
        elif record.events or record.rejected:
            self._fault(f"label {record.label} with events came after a later label")

    def check(self) -> None:
        """Compare what was announced since the last check with the log."""
        edge, label = self._edge
        for closed, run in self._waiting:
            where = f"label {closed.label} [{closed.start}, {closed.end})"
            if closed.start != edge or closed.end < edge:
                self._fault(f"{where} should begin at {edge}")
            self._check_label(where, closed, label)
            self._check_run(where, closed, run)
            edge, label = closed.end, closed.label
        self._waiting = []
        self._edge = (edge, label)

    def _check_label(self, where: str, closed: SliceClosed, before: int) -> None:
        for offset in range(closed.start, closed.end):
            appended = self._log.appended.get(offset)
            if appended is None:
                continue  # a transaction's marker
            period = appended // self._period_ms
            if period == closed.label:
                continue
            if period <= before:
                self.late += 1
            else:
                self._fault(f"{where} holds offset {offset} of period {period}")

    def _check_run(self, where: str, closed: SliceClosed, run: list[bytes]) -> None:
        offsets = range(closed.start, closed.end)
        accepted = [self._log.accepted[at] for at in offsets if at in self._log.accepted]
        rejected = sum(at in self._log.rejected for at in offsets)
        if (closed.events, closed.rejected) != (len(accepted), rejected):
            self._fault(
                f"{where} says {closed.events} events and {closed.rejected} rejected, "
                f"the log {len(accepted)} and {rejected}"
            )
        if hashlib.sha256(b"".join(run[:-1])).hexdigest() != closed.digest:
            self._fault(f"{where} has another digest than its parts")
        offsets_held: list[int] = []
        for raw in run[:-1]:
            part = decode_slice_record(raw)
            assert isinstance(part, SlicePart)
            for example in part.examples:
                offsets_held += example.offsets
                self._check_example(where, example, part.actions)
        if sorted(offsets_held) != [entry.offset for entry in accepted]:
            self._fault(f"{where} does not hold each accepted event as a target exactly once")

    def _check_example(self, where: str, example: Any, actions: list[str]) -> None:
        targets = [self._log.accepted.get(offset) for offset in example.offsets]
        before = self._log.before(example.user, example.offsets[0])
        if (
            any(entry is None or entry.user != example.user for entry in targets)
            or decode_entries(example.targets, actions) != interactions(targets)
            or decode_entries(example.context, actions) != interactions(before[-self._length :])
            or example.appended != [entry.appended for entry in targets]
        ):
            self._fault(f"{where} tells another story of user {example.user!r} than the log")

    def _fault(self, fault: str) -> None:
        self.faults.append(fault)


def interactions(entries: list[Entry]) -> list[Interaction]:
    """Entries as the state and the windows hold them: values are 32-bit floats."""
    return [Interaction(e.item, e.action, e.time, _single(e.value)) for e in entries]


def _single(value: float | None) -> float | None:
    if value is None:
        return None
    return float(_SINGLE.unpack(_SINGLE.pack(value))[0])
