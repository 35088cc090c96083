from __future__ import annotations

import math

import numpy as np
import pytest

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.event import Event
from everfresh.contracts.settings import Settings
from everfresh.evaluation.bootstrap import gains, margin
from everfresh.evaluation.comparison import Trial, evaluate, strategy_settings
from everfresh.evaluation.file_windows import by_count, by_time, cut_windows
from everfresh.evaluation.results import Line, Margin, WindowScore, decode_line, encode_line


def event(number: int, user: int, item: int) -> Event:
    return Event(f"e{number}", "click", 1_000 * number, user, item)


def stream(number: int) -> list[Event]:
    """Four users who walk up the items, each from another place."""
    return [event(n, n % 4, (n // 4 + 3 * (n % 4)) % 12) for n in range(number)]


def test_windows_tile_the_file_and_carry_the_history() -> None:
    made = list(cut_windows(stream(40), by_count(40, 4, 0.0), history_length=5))
    assert [window.events for window in made] == [10, 10, 10, 10]
    for user in range(4):
        seen = [t.item for w in made for e in w.examples if e.user == user for t in e.targets]
        assert seen == [one.item_id for one in stream(40) if one.user_id == user]
        last = next(one for one in made[-1].examples if one.user == user)
        before = [one.item for one in last.context]
        assert before == seen[-len(last.targets) - 5 : -len(last.targets)]


def test_the_first_window_takes_its_share() -> None:
    made = list(cut_windows(stream(40), by_count(40, 5, 0.5), history_length=5))
    assert [window.events for window in made] == [20, 5, 5, 5, 5]


def test_windows_of_time_leave_out_what_is_empty() -> None:
    events = [event(n, 1, n) for n in (0, 1, 2, 30, 31, 90)]
    made = list(cut_windows(events, by_time(10.0, 0, 0), history_length=5))
    assert [(window.label, window.events) for window in made] == [(0, 3), (3, 2), (9, 1)]


def test_a_margin_is_the_mean_and_its_interval_is_about_users() -> None:
    users = np.repeat(np.arange(200), 5)
    per_user = np.random.default_rng(3).normal(0.1, 1.0, 200)
    mean, low, high = margin(np.repeat(per_user, 5), users, 1)
    assert math.isclose(mean, per_user.mean())
    # All events of a user agree, so the error is that of 200 numbers, not of 1000.
    assert math.isclose((high - low) / 2, 1.96 * per_user.std() / math.sqrt(200), rel_tol=0.15)
    assert margin(np.zeros(0), np.zeros(0, np.int64), 1) == (0.0, 0.0, 0.0)


def test_gains_are_those_of_the_metrics() -> None:
    ranks = np.array([1, 3, 10, 11, 2**62])
    assert gains(ranks, "hr10").tolist() == [1, 1, 1, 0, 0]
    np.testing.assert_allclose(gains(ranks, "ndcg10"), [1, 0.5, 1 / math.log2(11), 0, 0])


def test_fresh_targets_are_those_the_window_before_brought() -> None:
    made = list(
        cut_windows(
            [event(n, 1, item) for n, item in enumerate([1, 2, 2, 3, 1, 3, 4, 4])],
            by_count(8, 4, 0.0),
            history_length=5,
        )
    )
    trial = Trial.of(made, exclude_seen=False)
    # Windows: 1 2 | 2 3 | 1 3 | 4 4. An item that its own window brings cannot be known.
    assert [mask.tolist() for mask in trial.fresh] == [
        [False, False],
        [True, False],
        [False, True],
        [False, False],
    ]


def run(settings: Settings, names: list[str], against: str = "frozen") -> list[Line]:
    made = list(cut_windows(stream(120), by_count(120, 4, 0.0), history_length=10))
    told: list[Line] = []
    evaluate(Trial.of(made, exclude_seen=False), names, settings, told.append, against)
    return [decode_line(encode_line(line)) for line in told]  # type: ignore[misc]


def test_every_contender_is_tested_before_it_learns_and_then_told_apart_from_frozen(
    small_settings: Settings,
) -> None:
    told = run(small_settings, ["frozen", "finetune"])
    names = ["frozen", "finetune", "popularity", "markov"]
    windows = [line for line in told if isinstance(line, WindowScore)]
    margins = [line for line in told if isinstance(line, Margin)]
    assert [(one.contender, one.window) for one in windows] == [
        (name, number) for name in names for number in range(4)
    ]
    assert all(one.scores == {} for one in windows if one.window == 0)
    assert [line.contender for line in margins] == [name for name in names[1:] for _ in range(2)]
    scores = {(one.contender, one.window): one.scores for one in windows}
    assert scores["frozen", 1] == scores["finetune", 1], "both have learnt one window alike"
    assert scores["frozen", 3] != scores["finetune", 3]
    costs = {one.contender: one.tokens for one in windows if one.window == 2}
    assert costs["finetune"] > 0 == costs["frozen"]
    events = [one.events for one in windows if one.contender == "frozen" and one.scores]
    for margin_line in margins:
        means = [
            np.average([scores[name, at][margin_line.metric] for at in (1, 2, 3)], weights=events)
            for name in (margin_line.contender, "frozen")
        ]
        assert math.isclose(margin_line.mean, means[0] - means[1], abs_tol=1e-12)


def test_margins_are_over_any_contender_wherever_it_stands(small_settings: Settings) -> None:
    def margins(told: list[Line]) -> dict[tuple[str, str], Margin]:
        return {(one.contender, one.metric): one for one in told if isinstance(one, Margin)}

    names = ["frozen", "finetune"]
    plain, turned = margins(run(small_settings, names)), run(small_settings, names, "finetune")
    mirrored = margins(turned)
    assert {one.over for one in mirrored.values()} == {"finetune"}
    assert {name for name, _ in mirrored} == {"frozen", "popularity", "markov"}
    for metric in ("hr10", "ndcg10"):
        ours, theirs = mirrored["frozen", metric], plain["finetune", metric]
        assert (ours.mean, ours.low, ours.high) == pytest.approx(
            (-theirs.mean, -theirs.high, -theirs.low)
        )
    assert margins(run(small_settings, ["finetune"])) == {}, "frozen did not run"


def test_the_same_seed_tells_the_same(small_settings: Settings) -> None:
    def figures(told: list[Line]) -> list[object]:
        return [one.scores if isinstance(one, WindowScore) else one for one in told]

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
