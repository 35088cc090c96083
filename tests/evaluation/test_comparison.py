from __future__ import annotations

import math

import numpy as np
import pytest

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.settings import Settings
from everfresh.evaluation.comparison import Comparison, compare, network_of, strategy_settings
from everfresh.evaluation.file_windows import by_count, cut_windows
from everfresh.evaluation.results import (
    Margin,
    ResultLine,
    WindowScore,
    decode_line,
    encode_line,
)
from everfresh.evaluation.summary import collect
from tests.evaluation.made_up_events import event, stream


def test_fresh_targets_are_those_the_window_before_brought() -> None:
    made = list(
        cut_windows(
            [event(n, 1, item) for n, item in enumerate([1, 2, 2, 3, 1, 3, 4, 4])],
            by_count(8, 4, 0.0),
            history_length=5,
        )
    )
    comparison = Comparison.of(made, exclude_seen=False)
    # Windows: 1 2 | 2 3 | 1 3 | 4 4. An item that its own window brings cannot be known, and all
    # that are known to window 1 are of window 0.
    assert [groups["fresh"].tolist() for groups in comparison.groups] == [
        [False, False],
        [False, False],
        [False, True],
        [False, False],
    ]
    assert [groups["older"].tolist() for groups in comparison.groups] == [
        [False, False],
        [False, False],
        [True, False],
        [False, False],
    ]


def test_the_mean_over_fresh_items_is_not_that_of_the_second_window(
    small_settings: Settings,
) -> None:
    # Three windows of 40 events. All items of the second are known from the first; of the third,
    # one event is on an item that the second has brought.
    items = [number % 5 for number in range(80)]
    items[60] = 77
    events = [event(n, n % 4, item) for n, item in enumerate([*items, 77, *items[:39]])]
    made = list(cut_windows(events, by_count(120, 3, 0.0), history_length=10))
    told: list[ResultLine] = []
    compare(Comparison.of(made, exclude_seen=False), ["frozen"], small_settings, told.append)
    result = collect(told)
    assert (result.events, result.fresh_events) == (80, 1)
    for figures in result.contenders.values():
        assert [bool(line.fresh) for line in figures.windows] == [False, False, True]
        assert figures.fresh == figures.windows[2].fresh


ALONE = network_of("finetune")


def run(settings: Settings, names: list[str], against: str = "frozen") -> list[ResultLine]:
    made = list(cut_windows(stream(120), by_count(120, 4, 0.0), history_length=10))
    told: list[ResultLine] = []
    compare(Comparison.of(made, exclude_seen=False), names, settings, told.append, against)
    return [decode_line(encode_line(line)) for line in told]  # type: ignore[misc]


def test_every_contender_is_tested_before_it_learns_and_then_told_apart_from_frozen(
    small_settings: Settings,
) -> None:
    told = run(small_settings, ["frozen", "finetune"])
    names = ["frozen", "finetune", ALONE, "popularity", "markov", "vmis-knn"]
    windows = [line for line in told if isinstance(line, WindowScore)]
    margins = [line for line in told if isinstance(line, Margin)]
    assert [(window.contender, window.window) for window in windows] == [
        (name, number) for name in names for number in range(4)
    ]
    assert all(window.scores == {} for window in windows if window.window == 0)
    assert [line.contender for line in margins] == 2 * names[1:], "one metric after the other"
    scores = {(window.contender, window.window): window.scores for window in windows}
    assert scores["frozen", 1] == scores["finetune", 1], "both have learnt one window alike"
    assert scores["frozen", 3] != scores["finetune", 3]
    assert scores[ALONE, 1] == scores["finetune", 1], "nothing has been weighed yet"
    assert scores[ALONE, 3] != scores["finetune", 3]
    costs = {window.contender: window.tokens for window in windows if window.window == 2}
    assert costs["finetune"] > 0 == costs["frozen"]
    events = [window.events for window in windows if window.contender == "frozen" and window.scores]
    for margin_line in margins:
        means = [
            np.average([scores[name, at][margin_line.metric] for at in (1, 2, 3)], weights=events)
            for name in (margin_line.contender, "frozen")
        ]
        assert math.isclose(margin_line.mean, means[0] - means[1], abs_tol=1e-12)


def test_what_is_left_unlearnt_is_scored_all_the_same(small_settings: Settings) -> None:
    """Each event comes twice: half of them teach nothing (``trainer.curate``)."""
    twice = [event for event in stream(60) for _ in range(2)]
    made = list(cut_windows(twice, by_count(120, 4, 0.0), history_length=10))
    lines: dict[bool, list[WindowScore]] = {}
    for curate in (False, True):
        tuning = small_settings.trainer.model_copy(update={"curate": curate})
        settings = small_settings.model_copy(update={"trainer": tuning})
        told: list[ResultLine] = []
        compare(Comparison.of(made, exclude_seen=False), ["finetune"], settings, told.append)
        lines[curate] = [
            line for line in told if isinstance(line, WindowScore) and line.contender == "finetune"
        ]
    assert [line.events for line in lines[True]] == [line.events for line in lines[False]]
    assert lines[True][1].scores != lines[False][1].scores
    for few, many in zip(lines[True], lines[False], strict=True):
        assert few.tokens < many.tokens


def test_margins_are_over_any_contender_wherever_it_stands(small_settings: Settings) -> None:
    def margins(told: list[ResultLine]) -> dict[tuple[str, str], Margin]:
        return {(line.contender, line.metric): line for line in told if isinstance(line, Margin)}

    names = ["frozen", "finetune"]
    plain, turned = margins(run(small_settings, names)), run(small_settings, names, "finetune")
    mirrored = margins(turned)
    assert {margin.over for margin in mirrored.values()} == {"finetune"}
    assert {name for name, _ in mirrored} == {"frozen", ALONE, "popularity", "markov", "vmis-knn"}
    for metric in ("hr10", "ndcg10"):
        ours, theirs = mirrored["frozen", metric], plain["finetune", metric]
        assert (ours.mean, ours.low, ours.high) == pytest.approx(
            (-theirs.mean, -theirs.high, -theirs.low)
        )
    assert margins(run(small_settings, ["finetune"])) == {}, "frozen did not run"


def test_margins_over_the_best_are_over_the_opponent_that_is_best_by_the_metric(
    small_settings: Settings,
) -> None:
    told = run(small_settings, ["finetune"], "best")
    figures = collect(told).contenders
    opponents = ("popularity", "markov", "vmis-knn")
    for metric in ("hr10", "ndcg10"):
        best = max(opponents, key=lambda name: figures[name].scores[metric])
        lines = [line for line in told if isinstance(line, Margin) and line.metric == metric]
        assert {line.over for line in lines} == {best}
        assert {line.contender for line in lines} == {"finetune", ALONE, *opponents} - {best}
        ours = figures["finetune"].margins[metric].mean
        gap = figures["finetune"].scores[metric] - figures[best].scores[metric]
        assert math.isclose(ours, gap, abs_tol=1e-12)


def test_figures_are_told_by_place_in_the_sequence_and_by_age_of_the_item(
    small_settings: Settings,
) -> None:
    told = run(small_settings, ["frozen"])
    users: dict[object, int] = {}
    places = []
    for number, each in enumerate(stream(120)):
        place = users[each.user_id] = users.get(each.user_id, -1) + 1
        if number >= 30:
            places.append(min(place, 2))
    result = collect(told)
    for figures in result.contenders.values():
        groups = figures.groups
        assert [groups[name].events for name in ("first", "second", "later")] == [
            places.count(place) for place in range(3)
        ]
        parts = [groups[name] for name in ("first", "second", "later") if groups[name].events]
        hits = sum(part.events * part.scores["hr10"] for part in parts)
        assert math.isclose(hits, result.events * figures.scores["hr10"])
        assert groups["fresh"].events == result.fresh_events
        assert groups["fresh"].scores == figures.fresh
        assert groups["older"].events > 0


def test_the_same_seed_tells_the_same(small_settings: Settings) -> None:
    def figures(told: list[ResultLine]) -> list[object]:
        return [line.scores if isinstance(line, WindowScore) else line for line in told]

    assert figures(run(small_settings, ["replay"])) == figures(run(small_settings, ["replay"]))


@pytest.mark.parametrize("name", ["nothing", "replay:best", ""])
def test_an_unknown_strategy_is_refused_with_those_there_are(
    small_settings: Settings, name: str
) -> None:
    with pytest.raises(SettingsError, match=r"no strategy .*frozen, finetune, replay"):
        strategy_settings(small_settings, name)


def test_the_choice_of_exemplars_stands_behind_a_colon(small_settings: Settings) -> None:
    tuning = strategy_settings(small_settings, "distill:loss").trainer
    assert (tuning.strategy, tuning.replay_choice) == ("distill", "loss")
