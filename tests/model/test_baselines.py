"""The baselines: popularity and last-item followers rank as counting by hand does."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.event import ItemId
from everfresh.contracts.window import DecodedExample
from everfresh.model.baselines import LastItemMarkov, Popularity
from everfresh.model.metrics import MISS
from tests.model.streams import example, stream

WINDOWS = [stream(seed, users=8, items=25, longest=12) for seed in range(4)]


class Counted:
    """The two baselines from their definitions: lists sorted afresh for every target."""

    def __init__(self) -> None:
        self.sightings: Counter[ItemId] = Counter()
        self.followers: dict[ItemId, Counter[ItemId]] = defaultdict(Counter)

    def update(self, examples: list[DecodedExample]) -> None:
        for window in examples:
            last = window.context[-1].item if window.context else None
            for target in window.targets:
                self.sightings[target.item] += 1
                if last is not None and last in self.sightings:
                    self.followers[last][target.item] += 1
                last = target.item

    def rank(self, last: ItemId | None, target: ItemId, seen: set[ItemId], markov: bool) -> int:
        popular = [item for item, _ in self.sightings.most_common()]
        order = popular
        if markov and last is not None:
            after = self.followers[last]
            order = sorted(popular, key=lambda item: (-after[item], popular.index(item)))
        order = [item for item in order if item not in seen]
        return order.index(target) + 1 if target in order else MISS

    def ranks(self, examples: list[DecodedExample], exclude: bool, markov: bool) -> list[int]:
        out = []
        for window in examples:
            events = [*window.context, *window.targets]
            for place in range(len(window.context), len(events)):
                seen = {event.item for event in events[:place]} if exclude else set()
                last = events[place - 1].item if place else None
                out.append(self.rank(last, events[place].item, seen, markov))
        return out


@pytest.mark.parametrize("exclude_seen", [False, True])
@pytest.mark.parametrize("kind", [Popularity, LastItemMarkov])
def test_ranks_equal_places_in_the_sorted_list(
    kind: type[Popularity] | type[LastItemMarkov], exclude_seen: bool
) -> None:
    baseline, counted = kind(), Counted()
    for window in WINDOWS:
        expected = counted.ranks(window, exclude_seen, kind is LastItemMarkov)
        assert baseline.ranks(window, exclude_seen).tolist() == expected
        baseline.update(window)
        counted.update(window)
    assert min(expected) == 1


@pytest.mark.parametrize("kind", [Popularity, LastItemMarkov])
def test_a_restored_baseline_ranks_and_learns_like_the_original(
    kind: type[Popularity] | type[LastItemMarkov],
) -> None:
    baseline = kind()
    baseline.update(WINDOWS[0])
    again = kind.decode(baseline.encode())
    for learner in (baseline, again):
        learner.update(WINDOWS[1])
    assert again.encode() == baseline.encode()
    assert np.array_equal(again.ranks(WINDOWS[2], True), baseline.ranks(WINDOWS[2], True))


@pytest.mark.parametrize("kind", [Popularity, LastItemMarkov])
def test_foreign_bytes_are_refused(kind: type[Popularity] | type[LastItemMarkov]) -> None:
    with pytest.raises(CorruptVersion):
        kind.decode(b"something else")


def test_the_last_item_decides_what_follows() -> None:
    markov = LastItemMarkov()
    markov.update([example(1, [], ["a", "b", "a", "b", "x", "x", "x"])])
    assert markov.ranks([example(2, ["a"], ["b"])], False).tolist() == [1]
    assert markov.ranks([example(2, [], ["x"])], False).tolist() == [1]


def test_a_first_window_is_missed_by_both() -> None:
    for baseline in (Popularity(), LastItemMarkov()):
        assert baseline.ranks([example(1, [], [1, 2])], True).tolist() == [MISS, MISS]
        assert baseline.ranks([], True).tolist() == []
