"""What counts of outcomes, and that it is exact however they come."""

from __future__ import annotations

import random

import pytest

from everfresh.contracts.errors import ForeignRecord
from everfresh.contracts.experiments.metric import Measure, parse_metric
from everfresh.contracts.outcome import Outcome
from everfresh.experiments.verdict.moments import UNIT
from everfresh.experiments.verdict.tally import Sums, Tally
from everfresh.experiments.verdict.user_totals import AGES_MS
from tests.experiments.verdict.made_outcomes import METRICS, NAME, MemoryUsers, outcome, tallied


def stream(seed: int, number: int) -> list[Outcome]:
    """Some users, some of them in two arms, some seen before; with feedback of every type."""
    draw = random.Random(seed)
    made = []
    for offset in range(number):
        user = draw.randrange(40)
        arm: str | None = "control" if user % 2 else "treatment"
        if draw.random() < 0.2:
            arm = None
        elif user < 3 and draw.random() < 0.3:
            arm = "control"
        types = [kind for kind in ("click", "purchase", "skip") if draw.random() < 0.3]
        value = draw.choice([None, 2.5, 1e9, 0.1])
        made.append(
            outcome(offset, user, arm, types, offset * 60_000, value, version=offset // 10 + 1)
        )
    return made


def test_counted_in_any_number_of_steps_the_sums_are_the_same_to_the_last_bit() -> None:
    made = stream(1, 400)
    whole = tallied(made)
    for cut in (1, 137, 399):
        users, sums = MemoryUsers(), Sums()
        for part in (made[:cut], made[cut:]):
            tally = Tally(NAME, METRICS, 1000, sums)
            for each in part:
                tally.add(each, users)
        assert sums == whole


def test_partitions_may_be_read_in_any_order() -> None:
    by_partition = [
        [outcome(n, f"{p}/{n % 7}", "control", ["click"], n, partition=p) for n in range(30)]
        for p in range(3)
    ]
    one_after_another = [each for part in by_partition for each in part]
    by_turns = [each for turn in zip(*by_partition, strict=True) for each in turn]
    assert tallied(one_after_another).arms == tallied(by_turns).arms


def test_an_outcome_that_was_written_again_counts_once() -> None:
    made = stream(2, 50)
    once, again = tallied(made), tallied([*made, *made[20:]])
    assert again.repeated == 30
    assert again.arms == once.arms


def test_a_user_who_was_shown_two_arms_is_counted_and_left_out_of_both() -> None:
    honest = [outcome(n, n, "control" if n % 2 else "treatment", ["click"]) for n in range(10)]
    crossing = [
        outcome(90, "x", "control", ["click", "skip"], 5),
        outcome(91, "x", "treatment", ["click"], 700_000),
        outcome(92, "x", "control", ["click"], 800_000),
    ]
    sums, without = tallied([*honest, *crossing]), tallied(honest)
    assert sums.crossed == 1
    for arm in ("control", "treatment"):
        assert sums.arms[arm].moments == without.arms[arm].moments
        assert sums.arms[arm].ages == without.arms[arm].ages
    assert sum(entry.users for entry in sums.entries) == 11


def test_what_a_user_did_before_the_first_answer_in_the_experiment_is_kept_beside_it() -> None:
    sums = tallied(
        [
            outcome(1, 7, None, ["click"]),
            outcome(2, 7, None, []),
            outcome(3, 7, "control", ["click"]),
            outcome(4, 7, None, ["click"]),  # out of it again: counts nowhere
            outcome(5, 8, None, ["click"]),  # never in it
        ]
    )
    moments = sums.arms["control"].moments
    assert moments.users == 1
    answers, clicks = moments.sums[0] // UNIT, moments.sums[1] // UNIT
    assert (answers, clicks) == (1, 1)
    assert (moments.sums[5] // UNIT, moments.sums[6] // UNIT) == (2, 1)
    assert sums.others == {"": 4}


def test_a_bot_counts_no_more_than_the_answers_of_one_user_that_count() -> None:
    made = [outcome(n, "bot", "control", ["click"], n) for n in range(500)]
    sums = tallied(made, answers_per_user=20)
    arm = sums.arms["control"]
    assert arm.moments.sums[0] == 20 * UNIT
    assert (arm.shown, arm.largest, arm.bot) == (500, 500, "'bot'")
    assert sums.surplus_answers == 480


def test_feedback_counts_on_what_was_shown_and_within_the_horizon_alone() -> None:
    sums = tallied(
        [
            outcome(1, 1, "control", ["click"], position=None),
            outcome(2, 2, "control", ["click"], 0, feedback_at=1_800_001),
            outcome(3, 3, "control", ["click"], 0, feedback_at=1_800_000),
        ]
    )
    assert sums.arms["control"].moments.sums[1] == UNIT
    assert sums.beyond_horizon == 1


@pytest.mark.parametrize("value", [1e10, -1e300, float("nan"), float("inf")])
def test_a_value_that_cannot_be_counted_with_is_left_out_and_said(value: float) -> None:
    sums = tallied(
        [
            outcome(1, 1, "control", ["purchase"], 0, value),
            outcome(2, 1, "control", ["purchase"], 0, 12.345678),
        ]
    )
    assert sums.strange_values == 1
    assert sums.arms["control"].moments.sums[3] == 12_345_678


def test_time_since_the_first_answer_is_kept_in_stretches_of_the_user() -> None:
    late = AGES_MS[1]
    sums = tallied(
        [
            outcome(1, 1, "control", ["click"], 1000),
            outcome(2, 1, "control", [], 1000 + late),
            outcome(3, 1, "control", ["click"], 1001 + late),
            outcome(4, 2, "control", [], 5000),
        ]
    )
    ages = sums.arms["control"].ages
    assert [each.users for each in ages[:3]] == [2, 0, 1]
    assert ages[2].sums[:2] == [2 * UNIT, UNIT]


def test_versions_are_kept_in_bins_whose_number_does_not_grow() -> None:
    made = [outcome(n, n, "control", ["click"], version=n + 1) for n in range(1000)]
    arm = tallied(made).arms["control"]
    assert len(arm.versions) <= 64
    assert sum(totals[0] for totals in arm.versions.values()) == 1000


def test_ids_that_no_worker_gives_and_arms_without_end_are_refused() -> None:
    tally = Tally(NAME, METRICS, 1000, Sums())
    for strange in ("", "x-1", "-1-4", "1", "1-99999999999999999999", "1--2"):
        with pytest.raises(ForeignRecord, match="PARTITION-OFFSET"):
            tally.add(Outcome(strange, 0, 0, outcome(1, 1).exposure, []), MemoryUsers())
    sums = tallied(outcome(n, n, f"arm{n}") for n in range(70))
    assert (len(sums.arms), sums.surplus_arms) == (64, 6)


def test_a_metric_is_a_sentence() -> None:
    metric = parse_metric(
        "basket: value of purchase or rent per answer, less is better, a user counts at most 500, "
        "at most 2.5% worse"
    )
    assert (metric.measure, metric.types) == (Measure.VALUE, ("purchase", "rent"))
    assert (metric.per_answer, metric.more, metric.cap, metric.limit) == (True, False, 500, 0.025)
    assert parse_metric("ctr: answers with click").per_answer
    assert not parse_metric("orders: events of purchase").per_answer
    for wrong in ("ctr", "ctr: clicks", "ctr: answers with click per user", "1: events of a"):
        with pytest.raises(ValueError, match="found"):
            parse_metric(wrong)


def test_what_one_user_counts_is_bounded_by_the_cap() -> None:
    metric = parse_metric("value: value of purchase, a user counts at most 10")
    made = [outcome(n, 1, "control", ["purchase"], n, 6.0) for n in range(5)]
    sums = tallied([*made, outcome(9, 2, "control", ["purchase"], 0, 3.0)], [metric])
    assert sums.arms["control"].moments.sums[1] == 13 * UNIT
