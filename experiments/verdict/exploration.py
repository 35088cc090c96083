"""What an arm that explores would have earned, had it explored another share of its places.

A place that may explore shows its own item with probability 1 - e, and a candidate with e. With a
share s instead, an own item weighs (1 - s) / (1 - e), a candidate s / e, and a place that never
explores 1. So for each user it is enough to keep, of these three kinds of places, how many there
were and what they earned: every s follows from them, by IPS and SNIPS (``experiments.off_policy``).
Share 0 is the ranking alone, and share 1 the candidates alone.

A place earns what feedback on its own item comes to; so a metric that asks whether a user did
something at all has no estimate. The unit is the user, as everywhere: values are per answer, by the
delta method.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from everfresh.contracts.experiments.metric import Measure, Metric
from everfresh.contracts.outcome import Outcome
from everfresh.experiments.verdict.comparison import LEAST_USERS, too_few
from everfresh.experiments.verdict.intervals import Interval, Sample, always_valid, welch
from everfresh.experiments.verdict.moments import UNIT, Moments
from everfresh.experiments.verdict.user_totals import amount, read_outcome

FIXED, OWN, CANDIDATE = range(3)
"""Kinds of places: it never explores; it showed its own item; it showed a candidate."""
_KINDS = 3


class WhatIf(msgspec.Struct, kw_only=True):
    """One metric of an arm, had it explored ``share`` of its places instead of ``logged_share``.

    ``ips`` is per answer, as the interval of one look and (``always``) of any number of looks;
    ``snips`` has no interval of its own. ``effective`` is how many places that policy itself would
    have needed to tell as much, of the ``places`` that were seen. ``None`` where it is too early
    (``why_not``).
    """

    arm: str
    metric: str
    share: float
    logged_share: float
    places: int
    effective: float
    ips: Interval | None = None
    always: Interval | None = None
    snips: float | None = None
    why_not: str = ""


def share_of(outcome: Outcome) -> float | None:
    """The share of places that explored in this answer; ``None`` where its exposure has no
    propensities, or none that can be."""
    exposure = outcome.exposure
    share = exposure.explored_share
    if share is None or not 0 < share < 1 or len(exposure.propensities) != len(exposure.items):
        return None
    if any(not 0 < each <= 1 for each in exposure.propensities):
        return None
    return share


def earned(outcome: Outcome, metrics: Sequence[Metric]) -> list[int]:
    """Of an answer that explored: 1 for itself, then for each kind of place how many there were
    and each metric's total on them."""
    exposure = outcome.exposure
    chosen = set(exposure.explored)
    width = 1 + len(metrics)
    totals = [1, *[0] * (_KINDS * width)]
    for at, propensity in enumerate(exposure.propensities):
        kind = CANDIDATE if at in chosen else FIXED if propensity == 1.0 else OWN
        entry = 1 + kind * width
        totals[entry] += 1
        own = [each for each in outcome.feedback if each.position == at]
        if own:
            one = msgspec.structs.replace(outcome, feedback=own)
            for number, total in enumerate(read_outcome(one, metrics).totals[1:], 1):
                totals[entry + number] += total
    return totals


def earned_size(metrics: Sequence[Metric]) -> int:
    """Entries of :func:`earned_vector`."""
    return 1 + _KINDS * (1 + len(metrics))


def earned_vector(totals: Sequence[int], metrics: Sequence[Metric]) -> list[int]:
    """The entries of ``Moments`` for a user of these totals. Caps hold per kind of place."""
    entries = [totals[0] * UNIT]
    width = 1 + len(metrics)
    for kind in range(_KINDS):
        of_kind = totals[1 + kind * width : 1 + (kind + 1) * width]
        entries.append(of_kind[0] * UNIT)
        entries += [
            amount(metric, total) for metric, total in zip(metrics, of_kind[1:], strict=True)
        ]
    return entries


def what_if(
    arm: str,
    moments: Moments,
    metrics: Sequence[Metric],
    logged: float,
    share: float,
    error: float,
    tuned_at: float,
) -> list[WhatIf]:
    """Each metric, under another share of places."""
    weights = [1.0, (1 - share) / (1 - logged), share / logged]
    width = 1 + len(metrics)
    counts = [moments.sums[1 + kind * width] / UNIT for kind in range(_KINDS)]
    made = []
    for number, metric in enumerate(metrics):
        found = WhatIf(
            arm=arm,
            metric=metric.name,
            share=share,
            logged_share=logged,
            places=round(sum(counts)),
            effective=_effective(counts, weights),
        )
        made.append(found)
        at = [1 + kind * width + 1 + number for kind in range(_KINDS)]
        told = [each for each, weight in zip(at, weights, strict=True) if weight]
        counted = sum(abs(moments.sums[each]) for each in told)
        if metric.measure is Measure.USERS:
            found.why_not = "what a user does at least once is no sum over places"
        elif moments.users < LEAST_USERS:
            found.why_not = f"{moments.users} users had such answers; {LEAST_USERS} are needed"
        else:
            found.why_not = too_few(metric, counted, "at places that this share shows")
        if not found.why_not:
            _estimate(found, moments, at, weights, counts, error, tuned_at)
    return made


def _estimate(
    found: WhatIf,
    moments: Moments,
    at: Sequence[int],
    weights: Sequence[float],
    counts: Sequence[float],
    error: float,
    tuned_at: float,
) -> None:
    mean, spread = moments.mean(), moments.covariance()
    by: NDArray[np.float64] = np.zeros(len(mean))
    by[list(at)] = weights
    value = float(by @ mean) / float(mean[0])
    by[0] = -value
    by /= mean[0]
    sample = Sample(moments.users, value, max(0.0, float(by @ spread @ by)))
    nothing = Sample(moments.users, 0.0, 0.0)
    if not sample.variance:
        found.why_not = "every user has the same figure, so nothing can be said of chance"
        return
    answers = moments.sums[0] // UNIT
    found.ips = welch(nothing, sample, error)
    found.always = always_valid(nothing, sample, answers, error, tuned_at)
    weight = math.fsum(w * n for w, n in zip(weights, counts, strict=True))
    if weight:
        found.snips = value * sum(counts) / weight


def _effective(counts: Sequence[float], weights: Sequence[float]) -> float:
    total = math.fsum(w * n for w, n in zip(weights, counts, strict=True))
    squares = math.fsum(w * w * n for w, n in zip(weights, counts, strict=True))
    return total**2 / squares if squares else 0.0
