"""Windows of a file's events as the trainer reads them, and the same windows poisoned."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from everfresh.contracts.sequence import Interaction, encode_entry
from everfresh.contracts.window import (
    FORMAT,
    DecodedExample,
    Example,
    SliceClosed,
    SlicePart,
    SliceRecord,
    TrainingWindow,
)
from everfresh.trainer.windows.assemble import slice_digest

_ACTIONS = ["rating"]
_YEAR_9999_MS = 253_402_300_799_000

Poison = Callable[[list[Interaction], random.Random], list[Interaction]]
"""All targets of a window, to as many others in the same places."""


def slices(windows: Iterable[TrainingWindow]) -> list[SliceRecord]:
    """The records of one partition of the windows topic."""
    records: list[SliceRecord] = []
    offset = 0
    for window in windows:
        examples = []
        start = offset
        for one in window.examples:
            offsets = list(range(offset, offset + len(one.targets)))
            offset += len(offsets)
            examples.append(
                Example(one.user, _entries(one.context), _entries(one.targets), offsets, offsets)
            )
        part = SlicePart(0, window.label, 0, _ACTIONS, examples)
        digest = slice_digest([part])
        records += [
            part,
            SliceClosed(FORMAT, 0, window.label, start, offset, 1, offset - start, 0, digest),
        ]
    return records


def _entries(events: Iterable[Interaction]) -> bytes:
    return b"".join(encode_entry(one.item, 0, one.time, one.value) for one in events)


def poisoned(window: TrainingWindow, poison: Poison, seed: int) -> TrainingWindow:
    """The window with all its targets changed at once."""
    targets = [target for example in window.examples for target in example.targets]
    changed = iter(poison(targets, random.Random(seed)))
    examples = [
        DecodedExample(one.user, one.context, [next(changed) for _ in one.targets], [], [])
        for one in window.examples
    ]
    return TrainingWindow(window.label, {}, examples, {})


def all_one_item(targets: list[Interaction], rng: random.Random) -> list[Interaction]:
    """One item of the window in place of all."""
    item = rng.choice(targets).item
    return [Interaction(item, one.action, one.time, one.value) for one in targets]


def shuffled(targets: list[Interaction], rng: random.Random) -> list[Interaction]:
    """The window's items dealt out anew among its users."""
    items = [one.item for one in targets]
    rng.shuffle(items)
    return [
        Interaction(item, one.action, one.time, one.value)
        for item, one in zip(items, targets, strict=True)
    ]


def random_clock(targets: list[Interaction], rng: random.Random) -> list[Interaction]:
    """Times anywhere between 1970 and 9999."""
    return [
        Interaction(one.item, one.action, rng.randrange(_YEAR_9999_MS), one.value)
        for one in targets
    ]


def stopped_clock(targets: list[Interaction], rng: random.Random) -> list[Interaction]:
    """Every time the first second of 1970."""
    return [Interaction(one.item, one.action, 0, one.value) for one in targets]


POISONS: dict[str, Poison] = {
    "all one item": all_one_item,
    "shuffled items": shuffled,
    "random clock": random_clock,
    "stopped clock": stopped_clock,
}
