"""Events by which users say no: context for the model, and nothing that it is taught to recommend.

A skip says that an item was there and was not wanted. To predict it would be to recommend it, and
to count it would make what nobody wants hot. So such a target (``trainer.refusals``) is marked: it
is neither scored nor trained nor counted, and later targets have it in their context.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from everfresh.contracts.settings.refusals import Refusals
from everfresh.contracts.window import DecodedExample, TrainingWindow


def marked(window: TrainingWindow, kinds: Sequence[str]) -> TrainingWindow:
    """The window with its refusals marked; itself where it has none."""
    refusals = Refusals(kinds)
    if not refusals:
        return window
    examples = [_marked(example, refusals) for example in window.examples]
    if not any(example.refused for example in examples):
        return window
    return msgspec.structs.replace(window, examples=examples)


def without_refusals(examples: Sequence[DecodedExample]) -> list[DecodedExample]:
    """The examples as those see them who learn by counting: a refused target was not there."""
    return [_taught(example) if example.refused else example for example in examples]


def _marked(example: DecodedExample, refusals: Refusals) -> DecodedExample:
    refused = [refusals.holds(target.action, target.value) for target in example.targets]
    return msgspec.structs.replace(example, refused=refused) if any(refused) else example


def _taught(example: DecodedExample) -> DecodedExample:
    kept = [at for at, refused in enumerate(example.refused) if not refused]
    return msgspec.structs.replace(
        example,
        targets=[example.targets[at] for at in kept],
        offsets=[example.offsets[at] for at in kept],
        appended=[example.appended[at] for at in kept],
        refused=[],
    )
