"""A window as the opponents read it: targets by user, and clicks in order of their append."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from everfresh.contracts.window import DecodedExample
from everfresh.model.vocabulary.vocabulary import UNKNOWN, Vocabulary


class Asked(NamedTuple):
    """A target to be ranked: its row, that of the item before it, and rows that are left out.

    ``seen`` changes once the next is asked for; it stays empty unless seen items are left out.
    """

    last: int
    row: int
    seen: set[int]

    @property
    def ranked(self) -> bool:
        """Whether it can be ranked at all."""
        return self.row != UNKNOWN and self.row not in self.seen


class Click(NamedTuple):
    """A target to be learnt: the example it is of, and the rows of itself and of the one before."""

    example: int
    last: int
    row: int


def targets_of(
    vocabulary: Vocabulary, examples: Sequence[DecodedExample], exclude_seen: bool
) -> Iterator[Asked]:
    """Targets, examples first; each knows what its user did before it."""
    for example in examples:
        known = example.context if exclude_seen else example.context[-1:]
        rows = vocabulary.rows_of([entry.item for entry in known])
        last = rows[-1] if rows else UNKNOWN
        seen = set(rows) - {UNKNOWN} if exclude_seen else set()
        for target in example.targets:
            row = vocabulary.row(target.item)
            yield Asked(last, row, seen)
            if exclude_seen and row != UNKNOWN:
                seen.add(row)
            last = row


def append_order(examples: Sequence[DecodedExample]) -> list[tuple[int, int]]:
    """``(example, target)`` of all targets in order of append time, then of offset.

    Examples without append times keep their order.
    """
    return [place for *_, place in sorted(_stamped(examples))]


def _stamped(
    examples: Sequence[DecodedExample],
) -> Iterator[tuple[int, int, tuple[int, int]]]:
    for number, example in enumerate(examples):
        timed = len(example.appended) == len(example.targets) == len(example.offsets)
        for at in range(len(example.targets)):
            stamp = (example.appended[at], example.offsets[at]) if timed else (0, 0)
            yield (*stamp, (number, at))


def clicks(vocabulary: Vocabulary, examples: Sequence[DecodedExample]) -> list[Click]:
    """All targets in order of their append, once what they sight has its rows."""
    rows = [vocabulary.rows_of([target.item for target in each.targets]) for each in examples]
    lasts = [
        vocabulary.row(example.context[-1].item) if example.context else UNKNOWN
        for example in examples
    ]
    return [
        Click(number, rows[number][at - 1] if at else lasts[number], rows[number][at])
        for number, at in append_order(examples)
    ]
