"""A windows topic to read from: slices of made-up events, laid out as the stream worker does."""

from __future__ import annotations

import random
from collections.abc import Callable

from everfresh.contracts.sequence import encode_entry
from everfresh.contracts.window import (
    FORMAT,
    Example,
    SliceClosed,
    SlicePart,
    SliceRecord,
    TrainingWindow,
    decode_slice_record,
    encode_slice_record,
)
from everfresh.trainer.windows.assemble import Assembler, Progress, slice_digest

ACTIONS = ["view", "click"]

Distort = Callable[[int, list[int]], list[int]]
Log = dict[int, list[SliceRecord]]
"""Windows partition -> its records; the place in the list is the offset."""


def example(user: int, items: list[int], first: int, context: list[int] | None = None) -> Example:
    """A user's events on ``items`` at events offsets ``first``, ``first + 1`` …"""
    offsets = list(range(first, first + len(items)))
    return Example(
        user,
        b"".join(encode_entry(item, 0, 1_000 + n, None) for n, item in enumerate(context or [])),
        b"".join(encode_entry(item, 1, 2_000 + n, None) for n, item in enumerate(items)),
        offsets,
        [50_000 + offset for offset in offsets],
    )


def run(
    partition: int,
    label: int,
    start: int,
    parts: list[list[Example]],
    rejected: int = 0,
    cut: int = 0,
) -> list[SliceRecord]:
    """The records of one slice."""
    made: list[SliceRecord] = [
        SlicePart(partition, label, number, ACTIONS, examples, cut)
        for number, examples in enumerate(parts)
    ]
    events = sum(len(example.offsets) for part in parts for example in part)
    closed = SliceClosed(
        FORMAT,
        partition,
        label,
        start,
        start + events + rejected,
        len(parts),
        events,
        rejected,
        slice_digest(part for part in made if isinstance(part, SlicePart)),
        cut,
    )
    # Through the wire form, so that what is tested is what a reader gets.
    return [decode_slice_record(encode_slice_record(record)) for record in [*made, closed]]


def make_log(
    partitions: int,
    labels: list[int],
    seed: int = 1,
    users: int = 6,
    items: int = 12,
    distort: Distort = lambda label, items: items,
) -> Log:
    """One slice per partition and label: users walk up the items, so there is something to learn.

    Partition 0 has no events in the second label, and no slice at all in the third. ``distort``
    changes what a user does in a label.
    """
    rng = random.Random(seed)
    log: Log = {partition: [] for partition in range(partitions)}
    last: dict[int, list[int]] = {}
    for partition in range(partitions):
        offset = 0
        for number, label in enumerate(labels):
            if partition == 0 and number == 2:
                continue
            examples = []
            for user in range(
                partition, 0 if partition == 0 and number == 1 else users, partitions
            ):
                seen = last.setdefault(user, [])
                at = seen[-1] if seen else rng.randrange(items)
                walk = [(at + 1 + step) % items for step in range(rng.randrange(1, 5))]
                new = distort(label, walk)
                examples.append(example(user, new, offset, seen[-20:]))
                seen.extend(new)
                offset += len(new)
            parts = [examples[n : n + 2] for n in range(0, len(examples), 2)]
            start = offset - sum(len(example.offsets) for example in examples)
            log[partition] += run(partition, label, start, parts)
    return log


def windows_of(log: Log) -> list[TrainingWindow]:
    """All windows of a log, assembled."""
    assembler = Assembler(log, Progress())
    for partition, records in log.items():
        for offset, record in enumerate(records):
            assembler.add(partition, offset, record)
    made = []
    while (window := assembler.take()) is not None:
        made.append(window)
    return made
