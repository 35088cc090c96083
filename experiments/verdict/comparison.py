"""Compares one arm with the control by one metric."""

from __future__ import annotations

import msgspec

from everfresh.contracts.experiments.metric import Measure, Metric
from everfresh.experiments.verdict.estimates import adjusted, plain
from everfresh.experiments.verdict.intervals import Interval, Sample, always_valid, welch
from everfresh.experiments.verdict.moments import UNIT, Moments
from everfresh.experiments.verdict.power import days_left, detectable

LEAST_USERS = 30
"""Users of each arm from which on intervals are given: they rest on the law of large numbers."""
LEAST_EVENTS = 10
"""The same for what the metric counts, in both arms together."""


class Rules(msgspec.Struct, frozen=True):
    """How to compare; see ``contracts.settings.verdict``. ``days`` is how long it has run."""

    error: float
    tuned_at: float
    effect: float
    days: float


class Comparison(msgspec.Struct, kw_only=True):
    """One arm against the control by one metric.

    ``control_value`` and ``arm_value`` are unadjusted. The intervals are of arm minus control, in
    the metric's unit, adjusted by the time before where ``theta`` is given; ``unadjusted`` is
    Welch's without that. They are ``None`` where it is too early (``why_not``). ``q`` is the
    always-valid p-value, corrected for the arms and, but for the first metric, for the metrics.
    ``detectable`` is the difference that one look now finds in 4 of 5 cases. ``harm`` is true where
    the arm has crossed the metric's guardrail.
    """

    metric: str
    arm: str
    more: bool
    control_value: float | None
    arm_value: float | None
    one_look: Interval | None = None
    always: Interval | None = None
    unadjusted: Interval | None = None
    theta: float | None = None
    q: float | None = None
    detectable: float | None = None
    days_left: float | None = None
    guardrail: float | None = None
    harm: bool = False
    why_not: str = ""

    @property
    def better(self) -> bool | None:
        """Whether the arm is better (or else worse) for certain; ``None`` while it is open."""
        return None if self.always is None else (self.always.difference > 0) == self.more


def compare(
    metric: Metric,
    entry: int,
    arm_name: str,
    control: Moments,
    arm: Moments,
    rules: Rules,
) -> Comparison:
    """``entry`` is the metric's place in users' vectors."""
    found = Comparison(
        metric=metric.name,
        arm=arm_name,
        more=metric.more,
        control_value=_value(control, entry, per_answer=metric.per_answer),
        arm_value=_value(arm, entry, per_answer=metric.per_answer),
        guardrail=metric.limit,
    )
    found.why_not = _too_early(metric, entry, control, arm)
    if found.why_not:
        return found
    raw = plain(control, entry, per_answer=metric.per_answer)
    raw_arm = plain(arm, entry, per_answer=metric.per_answer)
    if not raw.variance + raw_arm.variance:
        found.why_not = "every user has the same figure, so nothing can be said of chance"
        return found
    seen = _answers(control) + _answers(arm)
    before = adjusted(control, arm, entry, per_answer=metric.per_answer)
    first, second = raw, raw_arm
    if before is not None and before[0].variance + before[1].variance > 0:
        first, second, found.theta = before
        found.unadjusted = welch(raw, raw_arm, rules.error)
    found.one_look = welch(first, second, rules.error)
    found.always = always_valid(first, second, seen, rules.error, rules.tuned_at)
    found.detectable = detectable(first, second, rules.error)
    found.days_left = days_left(
        first,
        second,
        seen,
        rules.days,
        rules.effect * abs(raw.mean),
        rules.error,
        rules.tuned_at,
    )
    return found


def crossed(metric: Metric, entry: int, control: Moments, arm: Moments, rules: Rules) -> bool:
    """Whether the arm is worse than the guardrail allows: the rule by which it is stopped.

    True once the always-valid interval lies wholly beyond ``limit`` of harm, so an arm that is
    within the limit is stopped with at most the probability ``rules.error``, however often and
    long one looks. False for a metric that is no guardrail.
    """
    if metric.limit is None or _too_early(metric, entry, control, arm):
        return False
    base, other = (plain(each, entry, per_answer=metric.per_answer) for each in (control, arm))
    allowed = 1 - metric.limit if metric.more == (base.mean >= 0) else 1 + metric.limit
    bound = Sample(base.users, allowed * base.mean, allowed**2 * base.variance)
    if not bound.variance + other.variance:
        return False
    seen = _answers(control) + _answers(arm)
    interval = always_valid(bound, other, seen, rules.error, rules.tuned_at)
    return interval.high < 0 if metric.more else interval.low > 0


def _too_early(metric: Metric, entry: int, control: Moments, arm: Moments) -> str:
    fewest = min(control.users, arm.users)
    if fewest < LEAST_USERS:
        return f"an arm has {fewest} users; {LEAST_USERS} are needed"
    if not (control.sums[0] and arm.sums[0]):
        return "an arm has no answers that count"
    counted = abs(control.sums[entry]) + abs(arm.sums[entry])
    return too_few(metric, counted, "in both arms")


def too_few(metric: Metric, counted: int, where: str) -> str:
    """Why millionths of what the metric counts are too few for an interval; empty if they are not.
    A value has no least amount: it has a unit of its own."""
    if not counted:
        return f"no outcome has a {' or '.join(metric.types)} yet"
    events = counted // UNIT
    if metric.measure is not Measure.VALUE and events < LEAST_EVENTS:
        return f"{events} were counted {where}; {LEAST_EVENTS} are needed"
    return ""


def _answers(moments: Moments) -> int:
    return moments.sums[0] // UNIT


def _value(moments: Moments, entry: int, *, per_answer: bool) -> float | None:
    if not moments.users or (per_answer and not moments.sums[0]):
        return None
    mean = moments.mean()
    return float(mean[entry] / mean[0] if per_answer else mean[entry])
