"""Poison: a window's targets replaced by events that no stream should bring."""

from __future__ import annotations

import random
from collections.abc import Callable

from msgspec.structs import replace

from everfresh.contracts.sequence import Interaction
from everfresh.contracts.window import DecodedExample, TrainingWindow

_YEAR_9999_MS = 253_402_300_799_000

Poison = Callable[[list[Interaction], random.Random], list[Interaction]]
"""All targets of a window, to as many others in the same places."""


def poisoned(window: TrainingWindow, poison: Poison, seed: int) -> TrainingWindow:
    """The window with all its targets changed at once."""
    targets = [target for example in window.examples for target in example.targets]
    changed = iter(poison(targets, random.Random(seed)))
    examples = [
        DecodedExample(
            example.user, example.context, [next(changed) for _ in example.targets], [], []
        )
        for example in window.examples
    ]
    return TrainingWindow(window.label, {}, examples, {})


def all_one_item(targets: list[Interaction], rng: random.Random) -> list[Interaction]:
    """One item of the window in place of all."""
    item = rng.choice(targets).item
    return [replace(target, item=item) for target in targets]


def shuffled(targets: list[Interaction], rng: random.Random) -> list[Interaction]:
    """The window's items dealt out anew among its users."""
    items = [target.item for target in targets]
    rng.shuffle(items)
    return [replace(target, item=item) for item, target in zip(items, targets, strict=True)]


def random_clock(targets: list[Interaction], rng: random.Random) -> list[Interaction]:
    """Times anywhere between 1970 and 9999."""
    return [replace(target, time=rng.randrange(_YEAR_9999_MS)) for target in targets]


def stopped_clock(targets: list[Interaction], rng: random.Random) -> list[Interaction]:
    """Every time the first second of 1970."""
    return [replace(target, time=0) for target in targets]


POISONS: dict[str, Poison] = {
    "all one item": all_one_item,
    "shuffled items": shuffled,
    "random clock": random_clock,
    "stopped clock": stopped_clock,
}
