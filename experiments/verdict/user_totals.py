"""What one user has brought to an experiment so far, and the vector that stands for it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from everfresh.contracts.experiments.metric import Measure, Metric
from everfresh.contracts.outcome import Feedback, Outcome
from everfresh.experiments.verdict.moments import UNIT

AGES_MS = (60_000, 600_000, 3_600_000, 21_600_000, 86_400_000, 259_200_000, 604_800_000)
"""Where the stretches of time since a user's first answer in the experiment end; the last is open.
"""
LARGEST_VALUE = 1e9
"""A value beyond it, or one that is no number, is left out."""


class UserTotals(msgspec.Struct, array_like=True):
    """``arm`` is the first that was shown to the user, ``None`` before that. ``first_ms`` is the
    append time of that answer. ``crossed`` says that another arm was shown too, and so that the
    user counts in none.

    ``ages`` holds, by stretch of time since then, the answers and each metric's total. ``before``
    holds the same for what the user did before. ``shown`` counts all answers in the experiment,
    also those beyond the number that counts. ``credit`` is what interleaved answers brought, as
    ``preference.credit_of`` has it, and ``explored`` what those of an arm that explores did, as
    ``exploration.earned`` has it.
    """

    arm: str | None = None
    first_ms: int = 0
    crossed: bool = False
    shown: int = 0
    shown_before: int = 0
    ages: dict[int, list[int]] = {}
    before: list[int] = []
    credit: list[int] = []
    explored: list[int] = []


class Reading(msgspec.Struct):
    """What one outcome adds: ``totals`` are answers (1) and each metric's amount; what was not
    counted, and why."""

    totals: list[int]
    beyond_horizon: int = 0
    strange_values: int = 0


def read_outcome(outcome: Outcome, metrics: Sequence[Metric]) -> Reading:
    """Counts the feedback on items that were shown, within the horizon."""
    reading = Reading([1])
    counted: list[Feedback] = []
    for each in outcome.feedback:
        if abs(each.appended - outcome.appended) > outcome.horizon_ms:
            reading.beyond_horizon += 1
        elif each.position is not None:
            counted.append(each)
    for metric in metrics:
        chosen = [each for each in counted if each.type in metric.types]
        if metric.measure is Measure.VALUE:
            values = [each.value for each in chosen if each.value is not None]
            usable = [value for value in values if abs(value) <= LARGEST_VALUE]
            reading.strange_values += len(values) - len(usable)
            reading.totals.append(sum(round(value * UNIT) for value in usable))
        elif metric.measure is Measure.ANSWERS:
            reading.totals.append(min(1, len(chosen)))
        else:
            reading.totals.append(len(chosen))
    return reading


def age(user: UserTotals, at_ms: int) -> int:
    """The stretch that a time lies in."""
    return sum(at_ms - user.first_ms >= end for end in AGES_MS)


def added(totals: Sequence[int], more: Sequence[int]) -> list[int]:
    """The sum, entry by entry; ``totals`` may be empty."""
    if not totals:
        return list(more)
    return [mine + new for mine, new in zip(totals, more, strict=True)]


def vector(user: UserTotals, metrics: Sequence[Metric]) -> list[int]:
    """The entries of ``Moments``: answers and metrics, and the same for the time before."""
    size = 1 + len(metrics)
    now = _sum(user.ages.values(), size)
    before = user.before or [0] * size
    return [*_entries(now, metrics), *_entries(before, metrics)]


def age_vector(user: UserTotals, stretch: int, metrics: Sequence[Metric]) -> list[int]:
    """The same for one stretch alone, without the time before."""
    return _entries(user.ages[stretch], metrics)


def _sum(parts: Iterable[list[int]], size: int) -> list[int]:
    total = [0] * size
    for part in parts:
        total = added(total, part)
    return total


def _entries(totals: Sequence[int], metrics: Sequence[Metric]) -> list[int]:
    entries = [totals[0] * UNIT]
    for metric, total in zip(metrics, totals[1:], strict=True):
        entries.append(amount(metric, total))
    return entries


def amount(metric: Metric, total: int) -> int:
    """What a user's total of a metric counts, in millionths."""
    counted = total if metric.measure is Measure.VALUE else total * UNIT
    if metric.measure is Measure.USERS:
        counted = min(UNIT, counted)
    if metric.cap is not None:
        cap = math.floor(metric.cap * UNIT)
        counted = max(-cap, min(cap, counted))
    return counted
