"""VMIS-kNN ranks as its description does by lists, learns by the click, and stays bounded."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from everfresh.contracts.event import ItemId
from everfresh.contracts.window import DecodedExample
from everfresh.model.metrics import MISS
from everfresh.model.opponents import neighbours as module
from everfresh.model.opponents.click_log import ClickLog
from everfresh.model.opponents.neighbours import VmisKnn, user_mark
from everfresh.model.opponents.opponents import Opponents
from tests.model.opponents.by_hand import neighbours_rank
from tests.model.streams import example, interactions

SAMPLE, NEIGHBOURS, LENGTH = 6, 4, 5


def small(most: int = 10_000) -> Opponents:
    made = Opponents()
    log = ClickLog(most, LENGTH)
    made.neighbours = VmisKnn(made.vocabulary, made.popularity, SAMPLE, NEIGHBOURS, log)
    return made


def clicks(seed: int, number: int, items: int = 14, users: int = 9) -> list[tuple[int, ItemId]]:
    rng = random.Random(seed)
    return [(rng.randrange(users), rng.randrange(items)) for _ in range(number)]


def window_of(
    past: Sequence[tuple[int, ItemId]], new: Sequence[tuple[int, ItemId]]
) -> list[DecodedExample]:
    """An example for each user of ``new``, appended in that order, with what they did before."""
    made = []
    for user in sorted({user for user, _ in new}):
        at = [number for number, (who, _) in enumerate(new) if who == user]
        context = interactions([item for who, item in past if who == user])
        targets = interactions([new[number][1] for number in at])
        made.append(DecodedExample(user, context, targets, at, at))
    return made


@pytest.mark.parametrize("exclude_seen", [False, True])
def test_every_click_is_ranked_as_by_lists_given_all_clicks_before_it(
    exclude_seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPEATED", 0.0)
    opponents, past = small(), list[tuple[int, ItemId]]()
    opponents.neighbours.repeats = np.ones(2)
    sizes = (SAMPLE, NEIGHBOURS, LENGTH)
    for seed in range(6):
        new = clicks(seed, 60, items=8 + 3 * seed)
        window = window_of(past, new)
        ranks = iter(opponents.neighbours.ranks(window, exclude_seen).tolist())
        got = {(each.user, at): next(ranks) for each in window for at in range(len(each.targets))}
        rows = opponents.vocabulary.item_rows()
        tried = opponents.popularity.choice.best
        levels = opponents.popularity.counts.level(rows, tried)
        popular = [opponents.vocabulary.item(row) for row in rows[np.lexsort((rows, -levels))]]
        asked: dict[int, int] = {}
        for number, (user, item) in enumerate(new):
            before = [*past, *new[:number]]
            history = [clicked for who, clicked in before if who == user]
            seen = set(history) if exclude_seen else set()
            place = asked[user] = asked.get(user, -1) + 1
            expected = neighbours_rank(before, popular, (user, history, item, seen), sizes)
            assert got[user, place] == expected, (seed, number)
        opponents.update(window, exclude_seen=exclude_seen)
        past += new


def test_an_item_that_the_window_itself_brought_is_ranked_from_its_second_click_on() -> None:
    opponents = small()
    window = window_of([], [(1, "a"), (1, "new"), (2, "a"), (2, "new")])
    ranks = opponents.neighbours.ranks(window, False)
    assert ranks[:2].tolist() == [MISS, MISS]
    assert ranks[3] == 1
    assert opponents.popularity.ranks(window, False).tolist() == [MISS] * 4


def test_what_users_look_at_is_no_candidate_unless_they_come_back_to_it() -> None:
    once, again = small(), small()
    for user in range(20):
        once.update([example(user, [], ["a", "b", "c"])])
        again.update([example(user, [], ["a", "a", "b"])])
    assert once.neighbours.ranks([example(99, ["a"], ["b"])], False).tolist() == [1]
    assert again.neighbours.ranks([example(99, ["a"], ["a"])], False).tolist() == [1]


def test_a_bounded_log_knows_what_a_new_one_of_its_last_clicks_knows() -> None:
    log, all_clicks = ClickLog(50, LENGTH), clicks(3, 400)
    for number, (user, item) in enumerate(all_clicks):
        log.add(user, 1 + int(item))
        if number % 90 == 60:
            log.forget([1 + number % 9])
        if number == 350:
            # What is tried is taken back as if it had never been.
            users = list(range(20))
            kept = log.checkpoint_sequences(users)
            tried = [(user, 1 + user % 12) for user in users] * 2
            for at, (who, row) in enumerate(tried):
                log.try_add(who, row, at)
            log.undo(tried, kept)
    copy = ClickLog(50, LENGTH)
    copy.take(*log.kept(), log.number)
    assert (copy.number, log.number) == (400, 400)
    for user in range(20):
        mine, theirs = log.sequence_of(user), copy.sequence_of(user)
        assert (mine < 0) == (theirs < 0)
        if mine >= 0:
            assert log.newest[mine] == copy.newest[theirs]
            assert set(log.sequences[mine].tolist()) == set(copy.sequences[theirs].tolist())
    for row in range(20):
        found = [log.newest[at] for at in log.clicked(row, SAMPLE)]
        assert found == [copy.newest[at] for at in copy.clicked(row, SAMPLE)]
    for held in (log, copy):
        assert len(held.sequences) <= 64
        assert len(held.rows) <= 128


def test_a_users_mark_is_the_same_in_every_process_and_tells_types_apart() -> None:
    assert user_mark(7) == 1069821104593611630
    assert len({user_mark(user) for user in [*range(1000), *map(str, range(1000))]}) == 2000
