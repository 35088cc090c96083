"""What the gate measures on: a share of each window's targets, trained some windows later.

Of every example the last targets may be held out, each with the same chance. They are kept for
``gate.windows`` windows and then join the next windows' training: every event is still a
target exactly once (law 3), and until then neither a candidate nor its parent has learnt from it.
What is held out follows from the window alone, so a restart holds out the same (law 5).

A window takes in some of what waits, never so much that it is mostly about the past: what is hot,
and how much that counts, is learnt from a window as if it were of one time.
"""

from __future__ import annotations

import math
import random

import msgspec

from everfresh.contracts.settings import GateSettings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.network.batches import derive_seed

_PURPOSE = 7
_LATE, _LATE_SHARE = 2, 0.1
"""Late targets of a window, at most: so many times what it holds out itself, or this share of it,
or one."""


class HeldOut(msgspec.Struct, frozen=True):
    """The examples that one window held out."""

    label: int
    examples: list[DecodedExample]


class HoldoutSplit(msgspec.Struct, frozen=True):
    """A window as it is trained, and the slices that its candidate is measured on.

    ``window`` has the examples to train. ``new`` was held out of this window, ``past`` of the
    ``gate.windows`` before; ``held`` is what is held out once a version has come of it, and what
    waits to be trained.
    """

    window: TrainingWindow
    new: list[DecodedExample]
    past: list[DecodedExample]
    held: list[HeldOut]


def hold_out(
    window: TrainingWindow, held: list[HeldOut], settings: GateSettings, seed: int
) -> HoldoutSplit:
    """Hold out of ``window``, and take in of what was ``held`` (oldest first) long enough."""
    rng = random.Random(derive_seed(seed, window.label, _PURPOSE))
    trained: list[DecodedExample] = []
    new: list[DecodedExample] = []
    for example in window.examples:
        number = math.floor(len(example.targets) * settings.share + rng.random())
        first, last = _part(example, len(example.targets) - number)
        trained += [first] if first.targets else []
        new += [last] if last.targets else []
    measured = held[-settings.windows :]
    late, waiting = _due(
        held[: -settings.windows],
        max(1, math.ceil(max(_LATE * settings.share, _LATE_SHARE) * window.events)),
    )
    return HoldoutSplit(
        msgspec.structs.replace(window, examples=trained + late),
        new,
        [example for past in measured for example in past.examples],
        [*waiting, *measured, HeldOut(window.label, new)],
    )


def _due(held: list[HeldOut], most: int) -> tuple[list[DecodedExample], list[HeldOut]]:
    """The oldest examples, of ``most`` targets if they have so many, and what is left of them."""
    late: list[DecodedExample] = []
    for at, past in enumerate(held):
        for number, example in enumerate(past.examples):
            if most <= 0:
                left = msgspec.structs.replace(past, examples=past.examples[number:])
                return late, [left, *held[at + 1 :]]
            late.append(example)
            most -= len(example.targets)
    return late, []


def _part(example: DecodedExample, at: int) -> tuple[DecodedExample, DecodedExample]:
    """The first ``at`` targets, and the others with those as context."""
    first = msgspec.structs.replace(
        example,
        targets=example.targets[:at],
        offsets=example.offsets[:at],
        appended=example.appended[:at],
        refused=example.refused[:at],
    )
    last = msgspec.structs.replace(
        example,
        context=example.context + example.targets[:at],
        targets=example.targets[at:],
        offsets=example.offsets[at:],
        appended=example.appended[at:],
        refused=example.refused[at:],
    )
    return first, last
