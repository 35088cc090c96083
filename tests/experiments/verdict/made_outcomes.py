"""Outcomes for the tests, and users kept in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from everfresh.contracts.experiments.metric import Metric, parse_metric
from everfresh.contracts.exposure import Exposure
from everfresh.contracts.outcome import Feedback, Outcome
from everfresh.experiments.verdict.report import Limits, Plan, Report, make_report
from everfresh.experiments.verdict.tally import Sums, Tally
from everfresh.experiments.verdict.user_totals import UserTotals

NAME = "ranking"
HORIZON_MS = 1_800_000
LIMITS = Limits(0.05, 5000, 0.05, 1000)
METRICS = [
    parse_metric("click_through: answers with click"),
    parse_metric("conversion: users with purchase"),
    parse_metric("value: value of purchase"),
    parse_metric("skips: answers with skip, less is better, at most 20% worse"),
]


def outcome(
    offset: int,
    user: int | str,
    arm: str | None = "control",
    types: Sequence[str] = (),
    at: int = 0,
    value: float | None = None,
    *,
    experiment: str | None = NAME,
    definition: int | None = 3,
    probability: float | None = 0.5,
    version: int = 1,
    partition: int = 0,
    horizon_ms: int = HORIZON_MS,
    feedback_at: int | None = None,
    position: int | None = 0,
) -> Outcome:
    """One answer; ``arm`` None is one of today, without an experiment."""
    if arm is None:
        arm, experiment, definition, probability = "default", None, None, None
    exposure = Exposure(
        request_id=f"r{partition}-{offset}",
        user_id=user,
        time=at,
        arm=arm,
        version=version,
        epoch=0,
        source="model",
        items=["a", "b"],
        scores=[0.2, 0.1],
        experiment=experiment,
        definition_version=definition,
        probability=probability,
    )
    moment = at if feedback_at is None else feedback_at
    feedback = [Feedback(offset, moment, moment, kind, "a", position, value) for kind in types]
    return Outcome(f"{partition}-{offset}", at, horizon_ms, exposure, feedback)


class MemoryUsers:
    """As the ledger keeps them, in memory."""

    def __init__(self) -> None:
        self.users: dict[bytes, UserTotals] = {}
        self.seen: set[tuple[int, int]] = set()

    def get(self, key: bytes) -> UserTotals | None:
        return self.users.get(key)

    def put(self, key: bytes, user: UserTotals) -> None:
        self.users[key] = user

    def first_time(self, partition: int, offset: int) -> bool:
        new = (partition, offset) not in self.seen
        self.seen.add((partition, offset))
        return new


def tallied(
    outcomes: Iterable[Outcome], metrics: Sequence[Metric] = METRICS, answers_per_user: int = 1000
) -> Sums:
    sums, users = Sums(), MemoryUsers()
    tally = Tally(NAME, metrics, answers_per_user, sums)
    for each in outcomes:
        tally.add(each, users)
    return sums


def reported(
    outcomes: Iterable[Outcome],
    plan: Plan | None = None,
    metrics: Sequence[Metric] = METRICS,
    limits: Limits = LIMITS,
) -> Report:
    plan = plan or Plan({"control": 0.5, "treatment": 0.5})
    sums = tallied(outcomes, metrics, limits.answers_per_user)
    return make_report(NAME, sums, metrics, plan, limits)
