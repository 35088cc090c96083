"""An independent reading of two logs: which feedback belongs to which exposure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from itertools import accumulate
from typing import NamedTuple


class Entry(NamedTuple):
    """A record of either log: where, when it was appended, and which user's request it names."""

    offset: int
    appended: int
    request: Hashable


def expected_outcomes(
    shown: Sequence[Entry], heard: Sequence[Entry], horizon: int
) -> tuple[dict[int, list[int]], Counter[str]]:
    """Offsets of the feedback by that of its exposure, in the plainest way; and what had none."""
    matched: dict[int, list[int]] = {}
    counting: dict[Hashable, list[tuple[int, int]]] = defaultdict(list)
    for entry, ms in zip(shown, _log_times(shown), strict=True):
        before = counting[entry.request]
        if not before or ms - before[-1][0] > 2 * horizon:
            before.append((ms, entry.offset))
            matched[entry.offset] = []
    counts: Counter[str] = Counter()
    for entry, ms in zip(heard, _log_times(heard), strict=True):
        distances = [(ms - when, offset) for when, offset in counting[entry.request]]
        near = [offset for distance, offset in distances if abs(distance) <= horizon]
        if near:
            matched[near[0]].append(entry.offset)
        elif any(horizon < distance <= 2 * horizon for distance, _ in distances):
            counts["late_feedback"] += 1
        else:
            counts["unmatched"] += 1
    return matched, counts


def _log_times(entries: Sequence[Entry]) -> list[int]:
    """A log's clock does not run backwards, even where its broker's did."""
    return list(accumulate([entry.appended for entry in entries], max))
