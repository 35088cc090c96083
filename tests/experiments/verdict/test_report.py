"""What a report says of experiments that went well, and of those that went wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from everfresh.contracts.experiments.metric import parse_metric
from everfresh.contracts.outcome import Outcome
from everfresh.experiments.verdict.corrections import benjamini_hochberg
from everfresh.experiments.verdict.estimates import plain
from everfresh.experiments.verdict.intervals import always_valid
from everfresh.experiments.verdict.report import Limits, Plan, make_report
from everfresh.experiments.verdict.tally import Sums
from everfresh.experiments.verdict.words import words
from tests.experiments.verdict.made_outcomes import LIMITS, METRICS, NAME, outcome, reported

CTR = [parse_metric("click_through: answers with click")]


def clicks(
    seed: int, users: int, rates: dict[str, float], answers: int = 5, **fields: object
) -> Iterator[Outcome]:
    """Users split evenly, each with some answers, clicked with the rate of their arm."""
    draw = random.Random(seed)
    arms = list(rates)
    offset = 0
    for user in range(users):
        arm = arms[user % len(arms)]
        for _ in range(answers):
            types = ["click"] if draw.random() < rates[arm] else []
            at = offset * 10_000
            yield outcome(offset, user, arm, types, at, **fields)  # type: ignore[arg-type]
            offset += 1


def test_a_better_arm_is_said_to_be_better_and_by_how_much() -> None:
    report = reported(clicks(1, 4000, {"control": 0.10, "treatment": 0.20}), metrics=CTR)
    (found,) = report.comparisons
    assert found.always is not None
    assert found.always.low < 0.10 < found.always.high
    assert found.always.low > 0.05
    said = words(report)
    assert "treatment is better than control in click_through" in said.known[0]
    assert "You may stop now and keep treatment" in said.advice[0]
    assert not said.alarms


def test_the_always_valid_interval_counts_answers_since_users_come_back() -> None:
    report = reported(clicks(1, 400, {"control": 0.1, "treatment": 0.1}), metrics=CTR)
    (found,) = report.comparisons
    arms = [plain(report.sums.arms[arm.arm].moments, 1, per_answer=True) for arm in report.arms]
    assert found.always == always_valid(arms[0], arms[1], 2000, 0.05, 5000)
    assert found.always != always_valid(arms[0], arms[1], 400, 0.05, 5000)


def test_equal_arms_are_not_told_apart_and_it_says_how_long_to_wait() -> None:
    report = reported(clicks(2, 2000, {"control": 0.1, "treatment": 0.1}), metrics=CTR)
    said = words(report)
    assert said.known[0].startswith("No difference of treatment from control in click_through")
    assert said.advice[0].startswith("Wait about ")


def test_without_outcomes_it_says_what_to_look_at() -> None:
    said = words(reported([]))
    assert said.known == ["There are no outcomes yet."]
    assert "joins.horizon_s" in said.advice[0]


def test_outcomes_of_today_without_an_experiment_are_read_and_named() -> None:
    said = words(reported([outcome(n, n, None, ["click"]) for n in range(5)]))
    assert said.known == [f"No outcome names the experiment {NAME} yet (seen: no experiment 5)."]
    assert "everfresh experiment list" in said.advice[0]


def test_one_arm_alone_is_not_compared() -> None:
    made = [outcome(n, n, "control", ["click"]) for n in range(200)]
    said = words(reported(made, Plan({"control": 1.0}), CTR))
    assert said.known == ["control is the only arm, so there is nothing to compare it with."]


def test_an_arm_without_users_is_named_and_its_absence_is_an_alarm() -> None:
    made = [outcome(n, n, "control", ["click"]) for n in range(200)]
    said = words(reported(made, metrics=CTR))
    assert said.alarms[0].startswith("The users are not split as the definition says")
    assert "treatment 0" in said.alarms[0]
    assert said.known[0].startswith("It is too early to compare treatment by click_through")
    assert any(note.startswith("treatment has no users") for note in said.notes)


def test_few_users_get_no_interval() -> None:
    report = reported(clicks(3, 40, {"control": 0.1, "treatment": 0.9}), metrics=CTR)
    assert report.comparisons[0].always is None
    assert report.comparisons[0].why_not == "an arm has 20 users; 30 are needed"


def test_a_skewed_split_comes_before_every_figure() -> None:
    made = list(clicks(4, 1000, {"control": 0.1, "treatment": 0.2}))
    kept = [each for each in made if each.exposure.arm == "control" or int(each.id[2:]) % 3]
    lost = [each for each in kept if each.exposure.arm == "control" or
            int(str(each.exposure.user_id)) % 4 != 1]  # fmt: skip
    said = words(reported(lost, metrics=CTR))
    assert said.alarms[0].startswith("The users are not split as the definition says")
    assert said.advice[0].startswith("Mend the split")


def test_a_bot_is_named_with_its_share() -> None:
    made = list(clicks(5, 200, {"control": 0.1, "treatment": 0.1}, answers=2))
    made += [outcome(10_000 + n, "bot", "control", ["click"], n) for n in range(400)]
    limits = Limits(0.05, 5000, 0.05, 10)
    report = reported(made, metrics=CTR, limits=limits)
    notes = words(report).notes
    assert "User 'bot' had 50% of all answers, in control." in notes[1]
    assert notes[0].startswith("390 answers went beyond the 10 that count of one user")
    assert report.arms[0].answers == 210


def test_a_definition_that_changed_is_said_and_the_split_tested_under_each() -> None:
    first = [
        outcome(n, n, "control" if n % 10 else "treatment", definition=3,
                probability=0.9 if n % 10 else 0.1) for n in range(1000)
    ]  # fmt: skip
    second = [outcome(n, n, "control" if n % 2 else "treatment", definition=8)
              for n in range(1000, 2000)]  # fmt: skip
    report = reported([*first, *second], metrics=CTR)
    assert not report.ratio.alarm
    said = words(report)
    assert any("The definition changed while it ran (versions 3, 8)" in note for note in said.notes)


def test_arms_that_another_system_assigned_are_compared_without_a_test_of_the_split() -> None:
    made = clicks(6, 400, {"a": 0.1, "b": 0.1}, definition=None, probability=None)
    report = reported(made, Plan(), CTR)
    assert (report.control, report.ratio.p) == ("a", None)
    assert report.comparisons[0].always is not None
    assert any("name no definition" in note for note in words(report).notes)


def test_a_horizon_that_changed_while_it_ran_is_said() -> None:
    made = [outcome(1, 1), outcome(2, 2, horizon_ms=60_000)]
    assert any("joins.horizon_s changed" in note for note in words(reported(made)).notes)


def test_where_no_metric_counts_anything_the_types_that_came_are_named() -> None:
    made = clicks(7, 200, {"control": 0.5, "treatment": 0.5})
    metrics = [parse_metric("orders: users with purchase")]
    notes = words(reported(made, metrics=metrics)).notes
    assert any("types seen: click. Set verdict.metrics." in note for note in notes)


def skipping(seed: int, rates: dict[str, float], users: int = 3000) -> Iterator[Outcome]:
    draw = random.Random(seed)
    for user in range(users):
        arm = list(rates)[user % len(rates)]
        types = ["skip"] if draw.random() < rates[arm] else []
        yield outcome(user, user, arm, types, user * 1000)


def test_an_arm_beyond_its_guardrail_is_to_be_stopped_and_one_within_it_is_not() -> None:
    beyond = words(reported(skipping(8, {"control": 0.2, "treatment": 0.4})))
    assert beyond.stop == ["treatment"]
    assert "Close it." in beyond.alarms[0]
    assert "`everfresh experiment watch ranking` at once" in beyond.advice[0]
    plan = Plan({"control": 0.5, "treatment": 0.5}, {"treatment": "skips"}, 0, None)
    closed = words(reported(skipping(8, {"control": 0.2, "treatment": 0.4}), plan=plan))
    assert closed.stop == []
    assert "It is closed." in closed.alarms[0]
    assert "`everfresh experiment reopen ranking treatment`" in closed.advice[0]
    within = words(reported(skipping(9, {"control": 0.2, "treatment": 0.22})))
    assert within.stop == []


def test_a_guardrail_that_wants_more_works_the_other_way() -> None:
    metrics = [*CTR, parse_metric("kept: answers with view, at most 10% worse")]
    draw = random.Random(10)
    made = [
        outcome(n, n, "control" if n % 2 else "treatment",
                ["view"] if draw.random() < (0.6 if n % 2 else 0.4) else [])
        for n in range(3000)
    ]  # fmt: skip
    assert words(reported(made, metrics=metrics)).stop == ["treatment"]


def test_the_effect_is_shown_by_time_since_the_first_answer_and_by_version() -> None:
    made = []
    draw = random.Random(11)
    for offset, (turn, user) in enumerate((turn, user) for turn in range(2) for user in range(400)):
        arm = "control" if user % 2 else "treatment"
        rate = 0.5 if arm == "treatment" and turn == 0 else 0.1  # wears off within the day
        types = ["click"] if draw.random() < rate else []
        at = user + turn * 90_000_000
        made.append(outcome(offset, user, arm, types, at, version=turn * 100 + 1))
    report = reported(made, metrics=CTR)
    by_age = {stretch: each.always for stretch, each in report.by_age}
    assert set(by_age) == {0, 5}
    first, later = by_age[0], by_age[5]
    assert first is not None
    assert later is not None
    assert first.low > 0.1
    assert later.low < 0.0 < later.high
    assert {(each.arm, each.first) for each in report.by_version} == {
        (arm, version) for arm in ("control", "treatment") for version in (1, 101)
    }


def test_many_comparisons_are_corrected_for() -> None:
    """The first metric for the arms alone, the others for metrics and arms."""
    types = ("click", "purchase", "skip")
    draw = random.Random(12)
    arms = ("control", "b", "c")
    made = [
        outcome(n, n, arms[n % 3], [kind for kind in types if draw.random() < 0.2 + n % 3 / 50], n,
                1.0, probability=1 / 3)
        for n in range(9000)
    ]  # fmt: skip
    report = reported(made, Plan(dict.fromkeys(arms, 1 / 3)))
    families: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for each in report.comparisons:
        assert each.always is not None
        assert each.q is not None
        families[each.metric == "click_through"].append((each.always.p, each.q))
    for family in families.values():
        assert [q for _, q in family] == benjamini_hochberg([p for p, _ in family])
    assert [len(family) for family in families.values()] == [2, 6]


def test_shares_that_cannot_be_are_not_tested() -> None:
    made = [outcome(n, n, "control" if n % 2 else "b", probability=-0.5) for n in range(300)]
    assert reported(made).ratio.p is None


@pytest.mark.parametrize("rows", [[], [outcome(1, 1)], [outcome(1, 1, "treatment")]])
def test_a_report_is_made_of_whatever_there_is(rows: list[Outcome]) -> None:
    assert words(reported(rows)).known
    assert words(make_report(NAME, Sums(), METRICS, Plan(), LIMITS)).known
