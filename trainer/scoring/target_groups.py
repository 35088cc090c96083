"""Which of a window's targets are of a kind that is told apart: by place, and by the item's age.

By place in what is known of the user: the ``first`` click of all, the ``second``, ``later`` ones.
By age of the item: ``fresh`` ones were sighted for the first time in the window trained last, so
that they are younger than one window; ``older`` ones before it. What the window itself brings is
neither. While only one window was trained there are neither: every known item would be fresh.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from everfresh.contracts.window import DecodedExample
from everfresh.model.metrics import Mask
from everfresh.model.vocabulary.vocabulary import Vocabulary

FIRST, SECOND, LATER, FRESH, OLDER = "first", "second", "later", "fresh", "older"
PLACES, AGES = (FIRST, SECOND, LATER), (FRESH, OLDER)

Groups = Mapping[str, Mask]
"""Group -> which targets are in it, examples first, targets of one in order."""


def taught_targets(examples: Sequence[DecodedExample]) -> Mask:
    """Those that are no refusals, which alone are scored."""
    marks = itertools.chain.from_iterable(example.marks for example in examples)
    return ~np.fromiter(marks, dtype=np.bool_)


def by_place(examples: Sequence[DecodedExample]) -> dict[str, Mask]:
    """The groups by place; each target is in one of them."""
    before = np.array(
        [len(each.context) + at for each in examples for at in range(len(each.targets))], np.int64
    )
    return {FIRST: before == 0, SECOND: before == 1, LATER: before > 1}


def by_age(
    examples: Sequence[DecodedExample], vocabulary: Vocabulary, label: int | None
) -> dict[str, Mask]:
    """The groups by age; ``label`` is of the window trained last, ``None`` for the only one."""
    items = (target.item for each in examples for target in each.targets)
    seen = (vocabulary.sightings(item) if label is not None else None for item in items)
    # -1 for those that nobody has sighted.
    ages = np.array([-1 if known is None else int(known.first == label) for known in seen])
    return {FRESH: ages == 1, OLDER: ages == 0}
