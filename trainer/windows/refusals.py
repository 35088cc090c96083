"""Events by which users say no: context for the model, and nothing that it is taught to recommend.

A skip says that an item was there and was not wanted. To predict it would be to recommend it, and
to count it would make what nobody wants hot. So such a target (``trainer.refusals``) is marked: it
is neither scored nor trained nor counted, and later targets have it in their context.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from everfresh.contracts.sequence import Interaction
from everfresh.contracts.window import DecodedExample, TrainingWindow

IsRefusal = Callable[[Interaction], bool]


def refusal_test(kinds: Sequence[str]) -> IsRefusal | None:
    """Whether an event is a refusal, by ``trainer.refusals``; ``None`` where none ever is."""
    bounds: dict[str, float | None] = {}
    for kind in kinds:
        name, below, number = kind.partition("<")
        bounds[name] = float(number) if below else None
    if not bounds:
        return None

    def is_refusal(event: Interaction) -> bool:
        if event.action not in bounds:
            return False
        bound = bounds[event.action]
        return bound is None or (event.value is not None and event.value < bound)

    return is_refusal


def marked(window: TrainingWindow, kinds: Sequence[str]) -> TrainingWindow:
    """The window with its refusals marked; itself where it has none."""
    is_refusal = refusal_test(kinds)
    if is_refusal is None:
        return window
    examples = [_marked(example, is_refusal) for example in window.examples]
    if not any(example.refused for example in examples):
        return window
    return msgspec.structs.replace(window, examples=examples)


def without_refusals(examples: Sequence[DecodedExample]) -> list[DecodedExample]:
    """The examples as those see them who learn by counting: a refused target was not there."""
    return [_taught(example) if example.refused else example for example in examples]


def _marked(example: DecodedExample, is_refusal: IsRefusal) -> DecodedExample:
    refused = [is_refusal(target) for target in example.targets]
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
