"""Too many targets to rank: a sample is ranked, and each of it as it would be among all."""

from __future__ import annotations

import math
import random

import msgspec
import numpy as np
import pytest

from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import TrainerSettings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.cold_items import WithCold
from everfresh.model.metrics import only
from everfresh.model.opponents.opponents import Opponents
from everfresh.trainer.scoring import judged
from everfresh.trainer.scoring.judged import asked_targets, of_targets
from everfresh.trainer.scoring.paired import pair
from everfresh.trainer.scoring.prequential import COUNTS, LIVE, OWN, Served, rank_window
from everfresh.trainer.scoring.window_scores import score_planned
from everfresh.trainer.windows.backlog import PlannedWindow
from tests.model.streams import stream
from tests.model.test_ranking_with_tail import in_log, with_trends


def window(examples: list[DecodedExample], label: int = 4, cut: int = 0) -> TrainingWindow:
    return TrainingWindow(label, {}, examples, {}, cut=cut)


def logged(seed: int, users: int) -> list[DecodedExample]:
    return in_log(stream(seed, users=users, items=34, longest=8), seed)


def test_a_window_is_ranked_as_a_whole_while_that_is_cheap() -> None:
    few = window(logged(1, 60))
    assert asked_targets(few, 10_000, 17) is None
    assert asked_targets(few, judged.SCORES // few.events, 17) is None
    assert asked_targets(few, judged.SCORES // few.events + 1_000, 17) is not None
    assert asked_targets(few, 10**9, 17).sum() == judged.FEWEST  # type: ignore[union-attr]


@pytest.mark.parametrize(("items", "most"), [(30, 100), (10**9, 40)])
def test_a_sample_is_as_large_as_it_may_be_and_the_same_every_time(
    items: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law 5: it follows from the window's place, the catalogue's size and the seed alone."""
    monkeypatch.setattr(judged, "TARGETS", 100)
    monkeypatch.setattr(judged, "FEWEST", 40)
    many = window(logged(2, 80))
    asked = asked_targets(many, items, 17)
    assert asked is not None
    assert of_targets(many.examples, asked).sum() == most
    again = asked_targets(window(logged(2, 80)), items, 17)
    assert again is not None
    assert again.tolist() == asked.tolist()
    for other, seed in (
        (window(many.examples, 5), 17),
        (window(many.examples, 4, 1), 17),
        (many, 18),
    ):
        found = asked_targets(other, items, seed)
        assert found is not None
        assert found.tolist() != asked.tolist()


def with_events(user: int, number: int, refused: int = 0) -> DecodedExample:
    events = [Interaction(at, "click", 1000 * at) for at in range(number)]
    places = list(range(number))
    marks = [at < refused for at in range(number)] if refused else []
    return DecodedExample(user, [], events, places, places, marks)


def test_one_user_with_very_many_events_has_a_small_part_in_a_sample() -> None:
    bot, people = with_events(0, 20_000), [with_events(user, 3) for user in range(1, 1_001)]
    drawn = [asked_targets(window([bot, *people]), 1_000, seed) for seed in range(20)]
    assert {int(each.sum()) for each in drawn if each is not None} == {judged.TARGETS}
    parts = {int(each[0]) for each in drawn if each is not None}
    assert max(parts) == judged.TARGETS // judged.EXAMPLES
    # In a catalogue of a million 128 targets remain: of 7 users with 20 each they were of 7 users.
    busy = asked_targets(window([with_events(user, 20) for user in range(100)]), 10**6, 17)
    assert busy is not None
    assert (busy > 0).sum() >= judged.EXAMPLES
    # Where there are few users, each has a larger one.
    few = asked_targets(window([with_events(user, 2_000) for user in range(4)]), 1_000, 17)
    assert few is not None
    assert few.sum() == judged.TARGETS


def test_a_sample_is_not_of_refusals_alone() -> None:
    refusing = [with_events(user, 50, refused=45) for user in range(100)]
    asked = asked_targets(window([*refusing, *(with_events(7, 9) for _ in range(40))]), 10**6, 17)
    assert asked is not None
    assert asked[:100].sum() == 0
    assert asked[100:].sum() == min(40 * 9, judged.SCORES // 10**6)


@pytest.mark.parametrize("exclude_seen", [False, True])
def test_targets_of_a_sample_are_ranked_as_if_all_were(exclude_seen: bool) -> None:
    """What learns within a window hears of all its events all the same."""
    whole = window(logged(3, 70))
    opponents = Opponents()
    opponents.update(stream(9, users=40, items=34, longest=8))
    model = with_trends(3)
    contenders = {
        LIVE: Served(WithCold(model, {}), True, 4_096.0),
        "frozen": model,
        **opponents.contenders(),
    }
    sizes = [len(each.targets) for each in whole.examples]
    asked = np.array([random.Random(at).choice([0, 0, 1, size]) for at, size in enumerate(sizes)])
    every = rank_window(whole, contenders, exclude_seen)
    some = rank_window(whole, contenders, exclude_seen, asked=asked)
    mask = of_targets(whole.examples, asked)
    assert some.keys() == every.keys() >= {LIVE, OWN, COUNTS, "frozen", "vmis-knn"}
    for name, ranks in some.items():
        assert ranks.tolist() == every[name][mask].tolist(), name


def test_scores_of_a_sample_say_how_many_they_are_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judged, "TARGETS", 60)
    examples = [
        msgspec.structs.replace(each, refused=[True, *[False] * (len(each.targets) - 1)])
        for each in logged(3, 70)
    ]
    whole, model = window(examples), with_trends(3)
    serving = {LIVE: Served(WithCold(model, {}), True, math.inf), **Opponents().contenders()}
    scored = score_planned(
        PlannedWindow(whole, [4]), serving, model.vocabulary, 3, TrainerSettings()
    )
    asked = asked_targets(whole, len(model.vocabulary), TrainerSettings().seed)
    part = only(whole.examples, asked)
    assert scored.judged == part
    assert scored.summary.ranked == sum(each.taught for each in part) > 0
    assert scored.summary.events == sum(each.taught for each in examples) > scored.summary.ranked
    ranks = rank_window(whole, serving, False)
    mask = of_targets(examples, asked)
    assert scored.behind == pair(ranks[LIVE][mask], ranks[COUNTS][mask], part)
