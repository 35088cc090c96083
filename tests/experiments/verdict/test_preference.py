"""Interleaved answers in the verdict: whose items did more for whom, and how sure that is."""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from scipy import stats

from benchmarks.studies.interleaving import Crowd, misses, users_needed
from everfresh.contracts.experiments.interleaving import INTERLEAVED, Team
from everfresh.contracts.outcome import Feedback, Outcome
from everfresh.experiments.verdict.intervals import Sample, always_valid
from everfresh.experiments.verdict.preference import preferences
from everfresh.experiments.verdict.report import Plan, Report, make_report
from everfresh.experiments.verdict.tally import Sums, Tally
from everfresh.experiments.verdict.words import words
from tests.experiments.verdict.made_outcomes import LIMITS, METRICS, NAME, MemoryUsers, outcome

TEAMS = [Team("control", "default", 3, 1), Team("treatment", "fast", 9, 1)]
PLAN = Plan({INTERLEAVED: 1.0})


def drafted(
    offset: int,
    user: int | str,
    feedback: Sequence[tuple[str, int, float | None]] = (),
    teams: Sequence[Team] = TEAMS,
    team_of: Sequence[int] = (0, 1),
) -> Outcome:
    """An answer of two items; ``feedback`` are type, position and value."""
    made = outcome(offset, user, INTERLEAVED, probability=1.0)
    exposure = msgspec.structs.replace(made.exposure, teams=list(teams), team_of=list(team_of))
    given = [
        Feedback(at, 0, 0, kind, "a", position, value)
        for at, (kind, position, value) in enumerate(feedback)
    ]
    return msgspec.structs.replace(made, exposure=exposure, feedback=given)


def counted(outcomes: Sequence[Outcome], answers_per_user: int = 1000) -> Sums:
    sums, users = Sums(), MemoryUsers()
    tally = Tally(NAME, METRICS, answers_per_user, sums)
    for each in outcomes:
        tally.add(each, users)
    return sums


def reported(outcomes: Sequence[Outcome], answers_per_user: int = 1000) -> Report:
    return make_report(NAME, counted(outcomes, answers_per_user), METRICS, PLAN, LIMITS)


def clicks(seed: int, users: int, second: float, first: float) -> list[Outcome]:
    draw = random.Random(seed)
    made = []
    for user in range(users):
        for _ in range(draw.randint(1, 4)):
            chances = enumerate((first, second))
            given = [("click", at, None) for at, chance in chances if draw.random() < chance]
            made.append(drafted(len(made), user, given))
    return made


def test_each_user_is_credited_by_the_team_whose_item_was_used() -> None:
    found = reported(
        [
            drafted(0, "x", [("click", 1, None), ("purchase", 1, 12.5)]),
            drafted(1, "x", [("click", 0, None)]),
            drafted(2, "x", [("click", 1, None), ("click", 1, None)]),
            drafted(3, "y", [("click", 0, None), ("click", 1, None)]),
            drafted(4, "z", []),
            drafted(5, "w", [("purchase", 0, 3.0)]),
        ]
    )
    by_name = {each.metric: each for each in found.preferences}
    through = by_name["click_through"]
    assert (through.won_first, through.won_second, through.tied) == (0, 1, 3)
    assert (through.credit_first, through.credit_second) == (0.5, 0.75)
    value = by_name["value"]
    assert (value.won_first, value.won_second, value.tied) == (1, 1, 2)
    assert (value.credit_first, value.credit_second) == (0.75, 3.125)
    assert found.teams == ["control", "treatment"]
    assert through.why_not == "4 users had answers of both tracks; 30 are needed"


def test_its_intervals_are_those_of_one_sample_and_the_sign_test_is_the_exact_one() -> None:
    outcomes = clicks(5, 400, second=0.4, first=0.3)
    found = reported(outcomes).preferences[0]
    by_user: dict[object, list[int]] = {}
    for each in outcomes:
        row = by_user.setdefault(each.exposure.user_id, [0, 0])
        for event in each.feedback:
            row[event.position or 0] += 1
    pairs = np.array(list(by_user.values()))
    lead = np.sign(pairs[:, 1] - pairs[:, 0])
    assert (found.won_first, found.won_second) == ((lead < 0).sum(), (lead > 0).sum())
    for interval, sample in (
        (found.lead_one_look, lead),
        (found.credit_one_look, pairs[:, 1] - pairs[:, 0]),
    ):
        assert interval is not None
        test = stats.ttest_1samp(sample, 0.0)
        low, high = test.confidence_interval(0.95)
        assert interval.difference == pytest.approx(sample.mean())
        assert (interval.low, interval.high) == pytest.approx((low, high))
        assert interval.p == pytest.approx(test.pvalue)
    decided = found.won_first + found.won_second
    assert found.sign_p == pytest.approx(stats.binomtest(found.won_first, decided).pvalue)
    one = Sample(400, float(lead.mean()), float(lead.var(ddof=1)))
    assert found.lead == always_valid(
        Sample(400, 0.0, 0.0), one, len(outcomes), LIMITS.error, LIMITS.tuned_at
    )


def test_a_better_track_is_named_and_equal_ones_are_not_called_different() -> None:
    better = words(reported(clicks(7, 2_000, second=0.35, first=0.2)))
    assert better.known[0].startswith("treatment is better than control in click_through: for ")
    assert better.advice == [
        "You may stop now and keep treatment: looking early costs no certainty."
    ]
    worse = words(reported(clicks(7, 2_000, second=0.2, first=0.35)))
    assert worse.known[0].startswith("control is better than treatment in click_through: for ")
    equal = words(reported(clicks(7, 2_000, second=0.3, first=0.3)))
    assert equal.known[0].startswith("No preference in click_through is certain yet: for ")
    assert "neither leads by more than" in equal.advice[0]


def test_less_of_a_metric_may_be_better() -> None:
    outcomes = [
        msgspec.structs.replace(
            each, feedback=[msgspec.structs.replace(event, type="skip") for event in each.feedback]
        )
        for each in clicks(7, 2_000, second=0.35, first=0.2)
    ]
    said = words(reported(outcomes))
    assert any(line.startswith("control is better than treatment in skips") for line in said.known)


def test_preferences_counted_in_steps_are_those_counted_in_one_go_and_repeats_count_once() -> None:
    outcomes = clicks(3, 60, second=0.4, first=0.3)
    whole = counted(outcomes)
    again = counted([each for each in outcomes for _ in range(2)])
    assert again.credit == whole.credit
    assert again.repeated == len(outcomes)
    shuffled = random.Random(1).sample(outcomes, len(outcomes))
    assert counted(shuffled).credit == whole.credit


def test_one_user_with_half_of_all_answers_counts_as_one_user() -> None:
    people = clicks(11, 600, second=0.36, first=0.2)
    bot = [drafted(10_000 + n, "bot", [("click", 0, None)]) for n in range(len(people))]
    found = reported([*people, *bot], answers_per_user=20)
    alone = reported(people, answers_per_user=20).preferences[0]
    both = found.preferences[0]
    assert (both.won_first, both.won_second) == (alone.won_first + 1, alone.won_second)
    assert words(found).known[0].startswith("treatment is better")
    assert any("'bot' had 50% of all answers" in note for note in words(found).notes)


def test_a_user_who_was_shown_something_else_too_is_in_no_team() -> None:
    outcomes = clicks(3, 60, second=0.4, first=0.3)
    moved = [*outcomes, outcome(9_999, 0, "control")]
    without = [each for each in outcomes if each.exposure.user_id != 0]
    assert counted(moved).credit == counted(without).credit
    assert counted(moved).crossed == 1


@pytest.mark.parametrize(
    "odd",
    [
        drafted(9, 1, [("click", 0, None)], teams=[], team_of=[]),
        drafted(9, 1, [("click", 0, None)], teams=TEAMS[:1]),
        drafted(9, 1, [("click", 0, None)], team_of=[0]),
        drafted(9, 1, [("click", 0, None)], teams=TEAMS[::-1]),
    ],
)
def test_an_answer_that_one_track_made_alone_favours_neither_and_is_told(odd: Outcome) -> None:
    outcomes = clicks(3, 60, second=0.4, first=0.3)
    odd = msgspec.structs.replace(odd, id="0-9999")
    assert counted([*outcomes, odd]).credit == counted(outcomes).credit
    notes = words(reported([*outcomes, odd])).notes
    assert any(note.startswith("1 answers were made by one track alone") for note in notes)


def test_positions_of_no_team_and_beyond_the_answer_are_credited_to_nobody() -> None:
    sums = counted([drafted(0, 1, [("click", 0, None), ("click", 7, None)], team_of=[-1, 1])])
    assert sums.credit is not None
    found = preferences(sums.credit, METRICS, 0.05, 5000)[0]
    assert (found.tied, found.credit_first, found.credit_second) == (1, 0.0, 0.0)


def test_where_no_answer_was_made_by_both_it_says_what_to_look_at() -> None:
    said = words(reported([drafted(n, n, [], teams=[], team_of=[]) for n in range(40)]))
    assert said.known == ["No answer was made by both tracks, so there is nothing to compare."]
    assert said.advice[0].startswith("See `everfresh tracks list`")


def test_equal_tracks_are_called_different_at_most_as_often_as_stated_however_often_one_looks() -> (
    None
):
    """Simulated users, real drafts; the seeds are fixed. The study has many more of them."""
    found = misses(Crowd(60, 8, same=True), 40, 1)
    assert found.always <= 2
    assert found.always <= found.peeked


def test_interleaving_needs_fewer_users_than_a_split_of_the_same_users() -> None:
    needed = users_needed(Crowd(1000, 1, rate=3.0, better=0.5), 3)
    assert needed["lift"] > 0
    assert needed["lead"] < needed["split"]
    assert needed["credit"] < needed["split"]
