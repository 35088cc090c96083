"""Popularity and Markov rank as counting by hand does, and learn alike however they are cut."""

from __future__ import annotations

import numpy as np
import pytest

from everfresh.contracts.window import DecodedExample
from everfresh.model.metrics import MISS
from everfresh.model.opponents import markov as markov_module
from everfresh.model.opponents.fading import HALF_LIVES, Choice
from everfresh.model.opponents.opponent_file import encode_opponents
from everfresh.model.opponents.opponents import MARKOV, OPPONENTS, POPULARITY, Opponents
from everfresh.model.vocabulary.admission import Limits
from tests.model.opponents.by_hand import Counted
from tests.model.streams import example, stream

WINDOWS = [stream(seed, users=6, items=25, longest=8) for seed in range(4)]


def timed(examples: list[DecodedExample]) -> list[DecodedExample]:
    """Each of them appended after the one before it."""
    made, number = [], 0
    for each in examples:
        stamps = list(range(number, number := number + len(each.targets)))
        made.append(DecodedExample(each.user, each.context, each.targets, stamps, stamps))
    return made


@pytest.mark.parametrize("exclude_seen", [False, True])
@pytest.mark.parametrize("name", [POPULARITY, MARKOV])
def test_ranks_equal_places_in_the_sorted_list(name: str, exclude_seen: bool) -> None:
    opponents, counted = Opponents(), Counted()
    for window in WINDOWS:
        expected = counted.ranks(name, window, exclude_seen, counted.best(name))
        assert opponents.contenders()[name].ranks(window, exclude_seen).tolist() == expected
        counted.judge(window, exclude_seen)
        opponents.update(window, exclude_seen=exclude_seen)
        counted.update(window)
        learner = opponents.popularity if name == POPULARITY else opponents.markov
        if name == POPULARITY:
            assert learner.choice.gains == pytest.approx(counted.gains[name])
        assert HALF_LIVES[learner.choice.best] == counted.best(name)
    assert min(expected) < 4


def drifting(windows: int, items: int) -> list[list[DecodedExample]]:
    """Every third window has other items, in another order by how much they are clicked."""
    made = []
    for at in range(windows):
        new = [(at // 3) * items + number for number in range(items)]
        made.append([example(user, [], [new[0], *new[user % items :]]) for user in range(60)])
    return made


@pytest.mark.parametrize("name", [POPULARITY, MARKOV])
def test_on_a_stream_that_drifts_what_fades_is_chosen_and_is_ahead_of_what_never_does(
    name: str,
) -> None:
    opponents, hits = Opponents(), {"fades": 0, "never": 0}
    for at, window in enumerate(drifting(12, 12)):
        contender = opponents.contenders()[name]
        learner = opponents.popularity if name == POPULARITY else opponents.markov
        if at > 6:
            hits["fades"] += int((contender.ranks(window, False) <= 10).sum())
            kept, learner.choice = learner.choice, Choice()
            fill, opponents.popularity.choice = opponents.popularity.choice, Choice()
            hits["never"] += int((contender.ranks(window, False) <= 10).sum())
            opponents.popularity.choice, learner.choice = fill, kept
        opponents.update(window)
    assert opponents.popularity.choice.best > 0
    assert hits["fades"] > hits["never"]


def test_the_same_clicks_give_the_same_counts_however_they_are_cut_into_windows() -> None:
    events = timed([example(user, [], [user % 7, user % 5, user % 3]) for user in range(60)])
    once, often = Opponents(), Opponents()
    once.update(events)
    for begin in range(0, 60, 7):
        often.update(events[begin : begin + 7])
    for name in ("popularity", "markov"):
        one, other = getattr(once, name).counts, getattr(often, name).counts
        assert np.array_equal(one.values, other.values)
        assert np.array_equal(one.touched, other.touched)
    assert np.array_equal(once.neighbours.log.sequences, often.neighbours.log.sequences)


def test_followers_are_in_the_order_of_append_whatever_the_examples_order() -> None:
    first, second = example(1, [], ["a"]), example(2, [], ["a", "b"])
    window = [
        DecodedExample(1, first.context, first.targets, [5], [20]),
        DecodedExample(2, second.context, second.targets, [4, 6], [20, 20]),
    ]
    one, other = Opponents(), Opponents()
    one.update(window)
    other.update(window[::-1])
    assert one.markov.counts.touched.tolist() == other.markov.counts.touched.tolist()
    assert one.popularity.counts.touched[:3].tolist() == [0, 2, 3]


def test_the_last_item_decides_what_follows() -> None:
    opponents = Opponents()
    opponents.update([example(1, [], ["a", "b", "a", "b", "x", "x", "x"])])
    assert opponents.markov.ranks([example(2, ["a"], ["b"])], False).tolist() == [1]
    assert opponents.markov.ranks([example(2, [], ["x"])], False).tolist() == [1]


def test_a_first_window_is_missed_by_all_but_what_it_brings_itself() -> None:
    opponents = Opponents()
    for name, ranks in opponents.contenders().items():
        assert ranks.ranks([example(1, [], [1, 2])], True).tolist() == [MISS, MISS], name
        assert ranks.ranks([], True).tolist() == []


@pytest.mark.parametrize("name", OPPONENTS)
def test_ranking_changes_nothing(name: str) -> None:
    opponents = Opponents()
    opponents.update(WINDOWS[0])
    before = encode_opponents(opponents)
    ranks = opponents.contenders()[name].ranks(WINDOWS[1], False)
    assert encode_opponents(opponents) == before
    assert np.array_equal(opponents.contenders()[name].ranks(WINDOWS[1], False), ranks)


def test_items_that_made_room_are_unknown_to_all() -> None:
    opponents, limits = Opponents(), Limits(1_000, 12)
    for at, window in enumerate(WINDOWS):
        opponents.update(window, at, limits)
    assert len(opponents.vocabulary) == 12
    gone = next(n for n in range(1, 26) if n not in opponents.vocabulary)
    for name, ranks in opponents.contenders().items():
        assert ranks.ranks([example(99, [], [gone])], False).tolist() == [MISS], name
    free = opponents.vocabulary.free_rows()
    assert not opponents.popularity.counts.values[free].any()
    assert not np.isin(opponents.markov.pairs, free[free > 0]).any()
    assert not np.isin(opponents.neighbours.log.sequences, free[free > 0]).any()
    # And what took their place is counted alone.
    places = opponents.popularity.ranks([example(99, [], list(range(1, 26)))], False)
    assert sorted(places[places < MISS].tolist()) == list(range(1, 13))


def test_followers_are_bounded_by_item_and_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    opponents = Opponents()
    bounded = markov_module.FadingMarkov(opponents.vocabulary, opponents.popularity, 4, 30)
    opponents.markov = bounded
    opponents.update([example(1, [], [1, *([2, 1] * 20), *range(3, 40)])])
    for user in range(40):
        opponents.update([example(user, [], [1, 100 + user]), example(user, [], [user, user + 1])])
        slots = np.flatnonzero(bounded.pairs[: bounded.used, 0])
        assert len(slots) <= 30
        lasts = bounded.pairs[slots, 0]
        assert np.bincount(lasts).max(initial=0) <= 8
    row = opponents.vocabulary.row
    assert [row(1), row(139)] in bounded.pairs.tolist(), "the newest stays"
    assert [row(1), row(100)] not in bounded.pairs.tolist(), "the oldest does not"
