"""From the assignment through the join to the report: the better arm wins by as much as it is."""

from __future__ import annotations

import random

from everfresh.contracts.event import Event, user_key
from everfresh.contracts.experiments.assignment import Assignments
from everfresh.contracts.experiments.definition import Arm
from everfresh.contracts.exposure import Exposure, encode_exposure
from everfresh.contracts.outcome import Outcome
from everfresh.experiments.verdict.report import Limits, Plan, Report, make_report
from everfresh.experiments.verdict.tally import Sums, Tally
from everfresh.experiments.verdict.words import words
from tests.contracts.experiments.definitions import define
from tests.experiments.verdict.made_outcomes import METRICS, MemoryUsers
from tests.streaming.join.joined_by_hand import HORIZON, NamedEvent, Run
from tests.streaming.sample_log import LogRecord

USERS, VISITS = 400, 5
KNOWN = 0.4
LIKED = 3
"""Of ten items, those that a user clicks, if they are shown, in half of all cases."""


def shown(arm: str, liked: list[int | str], draw: random.Random) -> list[int | str]:
    """The control shows one item by chance; the treatment knows the taste in KNOWN of cases,
    and otherwise does as the control does."""
    if arm == "treatment" and draw.random() < KNOWN:
        return [draw.choice(liked)]
    return [draw.randrange(10)]


TRUTH = 0.5 * (KNOWN * (1 - LIKED / 10))
"""How much more the treatment is clicked: half of the cases in which it alone shows what is liked.
"""


def replayed(seed: int, *, better: bool) -> tuple[list[Outcome], int]:
    """Outcomes that the join makes of the two logs, and the definition's version. The first two
    visits of each user come before the experiment."""
    draw = random.Random(seed)
    version = 17
    definition = define("taste", arms=[Arm("control", 0.5), Arm("treatment", 0.5)])
    running, run = Assignments([(version, definition)]), Run()
    exposures: list[LogRecord] = []
    events: list[NamedEvent] = []
    likes = {user: draw.sample(range(10), LIKED) for user in range(USERS)}
    for at, (visit, user) in enumerate((v, u) for v in range(VISITS) for u in range(USERS)):
        given = running.assign(user) if visit >= 2 else Assignments().assign(user)
        items = shown(given.arm if better else "control", list(likes[user]), draw)
        made = Exposure(
            request_id=f"r{at}", user_id=user, time=at, arm=given.arm, version=visit + 1, epoch=0,
            source="model", items=items, scores=[0.1], experiment=given.experiment,
            definition_version=given.definition_version, probability=given.probability,
        )  # fmt: skip
        exposures.append(
            LogRecord(at, at, user_key(user), encode_exposure(made), topic="t.exposures")
        )
        if items[0] in likes[user] and draw.random() < 0.5:
            event = Event(f"e{at}", "click", at, user, items[0], None, f"r{at}")
            events.append((LogRecord(at, at, user_key(user), None), event))
            if draw.random() < 0.05:  # an event that comes much too late: the join leaves it out
                late = Event(f"l{at}", "click", at, user, items[0], None, f"r{at}")
                events.append((LogRecord(at, at + 3 * HORIZON, user_key(user), None), late))
    run.add_exposures(*exposures)
    run.add_feedback(*sorted(events, key=lambda each: each[0].timestamp))
    run.write_outcomes(10_000_000)
    return list(run.outcomes.values()), version


def report(outcomes: list[Outcome]) -> Report:
    sums = Sums()
    tally, users = Tally("taste", METRICS, 100, sums), MemoryUsers()
    for outcome in outcomes:
        tally.add(outcome, users)
    plan = Plan({"control": 0.5, "treatment": 0.5})
    return make_report("taste", sums, METRICS, plan, Limits(0.05, 5000, 0.05, 100))


def test_the_better_arm_wins_by_the_amount_that_it_is_better() -> None:
    outcomes, version = replayed(1, better=True)
    assert len(outcomes) == USERS * VISITS
    made = report(outcomes)
    (found,) = [each for each in made.comparisons if each.metric == "click_through"]
    assert found.always is not None
    assert found.theta is not None  # adjusted by the visits before
    assert 0 < found.always.low < TRUTH < found.always.high
    assert words(made).advice == [
        "You may stop now and keep treatment: looking early costs no certainty."
    ]
    assert {entry.definition for entry in made.sums.entries} == {version}
    assert not made.ratio.alarm


def test_arms_that_show_the_same_are_not_told_apart() -> None:
    made = report(replayed(2, better=False)[0])
    (found,) = [each for each in made.comparisons if each.metric == "click_through"]
    assert found.always is not None
    assert found.always.low < 0 < found.always.high
    assert not words(made).alarms
