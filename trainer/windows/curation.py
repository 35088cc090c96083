"""Which targets of a window are left unlearnt: what a user does again and again, or far too often.

A click that comes twice teaches twice, and who clicks a hundred times teaches a hundred times: a
client that hangs, or a program. By ``trainer.curate`` such targets are left unlearnt. They are
scored and counted like others (law 3), and later targets have them in their context; they are not
taught, and the version's counts do not have them. Of each user's targets in a window are kept:

- those that repeat none: another item, or another action, than all that the user had before in this
  window and last before it;
- of these as many as ``FENCE`` times the upper quartile of all users' targets, and :data:`FEWEST`
  at least. To bound what one user contributes costs little of what all others say (Amin et al.
  2019, "Bounding user contributions"); a quartile stands while fewer than a quarter are programs.

What is chosen follows from the window alone, so that a restart chooses the same (law 5).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from everfresh.contracts.event import ItemId, UserId
from everfresh.contracts.window import DecodedExample

FENCE, FEWEST = 5, 10
"""A user's targets are too many beyond so often the upper quartile, and beyond so many."""


def curated_examples(
    examples: Sequence[DecodedExample], everyone: Sequence[DecodedExample]
) -> tuple[list[DecodedExample], int]:
    """The examples as they are learnt, and how many of their targets are left unlearnt.

    What is usual follows from ``everyone``: all of the window, of which the examples are a part.
    """
    most = usual_most(everyone)
    had: set[tuple[UserId, ItemId, str]] = set()
    taught: Counter[UserId] = Counter()
    kept: list[DecodedExample] = []
    for example in examples:
        user = example.user
        had.update((user, last.item, last.action) for last in example.context[-1:])
        marks = example.marks
        for at, target in enumerate(example.targets):
            done = (user, target.item, target.action)
            if not marks[at]:
                marks[at] = done in had or taught[user] >= most
                taught[user] += not marks[at]
            had.add(done)
        kept += with_marks(example, marks)
    before, after = (sum(each.taught for each in part) for part in (examples, kept))
    return kept, before - after


def usual_most(examples: Sequence[DecodedExample]) -> float:
    """As many targets as a user may have."""
    sizes: Counter[UserId] = Counter()
    for example in examples:
        sizes[example.user] += example.taught
    upper = float(np.percentile(list(sizes.values()), 75)) if sizes else 0.0
    return max(FEWEST, FENCE * upper)


def with_marks(example: DecodedExample, marks: Sequence[bool]) -> list[DecodedExample]:
    """The example, or none, with what is not taught marked; up to the last target that is taught,
    since others would cost tokens."""
    end = max((at + 1 for at, mark in enumerate(marks) if not mark), default=0)
    if not end:
        return []
    return [
        msgspec.structs.replace(
            example,
            targets=example.targets[:end],
            offsets=example.offsets[:end],
            appended=example.appended[:end],
            refused=list(marks[:end]) if any(marks[:end]) else [],
        )
    ]
