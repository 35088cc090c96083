"""Too many targets to rank: a sample is ranked, and each of it as it would be among all."""

from __future__ import annotations

import math
import random

import msgspec
import numpy as np
import pytest

from everfresh.contracts.settings import TrainerSettings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.cold_items import WithCold
from everfresh.model.metrics import only
from everfresh.model.opponents.opponents import Opponents
from everfresh.trainer.scoring import judged
from everfresh.trainer.scoring.judged import asked_examples, of_targets
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
    assert asked_examples(few, 10_000, 17) is None
    assert asked_examples(few, judged.SCORES // few.events, 17) is None
    assert asked_examples(few, judged.SCORES // few.events + 1_000, 17) is not None
    assert asked_examples(few, 10**9, 17).sum() > 0  # type: ignore[union-attr]


@pytest.mark.parametrize(("items", "most"), [(30, 100), (10**9, 40)])
def test_a_sample_is_no_larger_than_it_need_be_and_the_same_every_time(
    items: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law 5: it follows from the window's place and the seed alone."""
    monkeypatch.setattr(judged, "TARGETS", 100)
    monkeypatch.setattr(judged, "FEWEST", 40)
    many = window(logged(2, 80))
    longest = max(len(each.targets) for each in many.examples)
    asked = asked_examples(many, items, 17)
    assert asked is not None
    assert most <= of_targets(many.examples, asked).sum() < most + longest
    again = asked_examples(window(logged(2, 80)), items, 17)
    assert again is not None
    assert again.tolist() == asked.tolist()
    for other, seed in (
        (window(many.examples, 5), 17),
        (window(many.examples, 4, 1), 17),
        (many, 18),
    ):
        found = asked_examples(other, items, seed)
        assert found is not None
        assert found.tolist() != asked.tolist()


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
    asked = np.array([random.Random(at).random() < 0.3 for at in range(len(whole.examples))])
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
    asked = asked_examples(whole, len(model.vocabulary), TrainerSettings().seed)
    part = only(whole.examples, asked)
    assert scored.judged == part
    assert scored.summary.ranked == sum(each.taught for each in part) > 0
    assert scored.summary.events == sum(each.taught for each in examples) > scored.summary.ranked
    ranks = rank_window(whole, serving, False)
    mask = of_targets(examples, asked)
    assert scored.behind == pair(ranks[LIVE][mask], ranks[COUNTS][mask], part)
