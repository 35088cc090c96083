"""How small a difference could be found by now, and how much longer a smaller one takes."""

from __future__ import annotations

import math
from statistics import NormalDist

from everfresh.experiments.verdict.intervals import Sample, width

POWER = 0.8
"""The share of experiments that find a difference of the detectable size."""
_MOST_DAYS = 3650.0


def detectable(control: Sample, arm: Sample, error: float) -> float:
    """The smallest true difference that one look now finds with a probability of ``POWER``."""
    quantile = NormalDist().inv_cdf
    deviation = math.sqrt(control.of_mean + arm.of_mean)
    return (quantile(1 - error / 2) + quantile(POWER)) * deviation


def days_left(
    control: Sample,
    arm: Sample,
    seen: int,
    days: float,
    wanted: float,
    error: float,
    tuned_at: float,
) -> float | None:
    """Days until the always-valid interval is at most ``wanted`` to either side.

    It takes users and answers to come at the rate of the ``days`` so far. 0 where it is that narrow
    now; ``None`` where it would take more than ten years, or no rate is known yet.
    """
    deviation = math.sqrt(control.of_mean + arm.of_mean)
    if wanted <= 0:
        return None

    def half(after: float) -> float:
        growth = (days + after) / days
        return deviation / math.sqrt(growth) * width(seen * growth, error, tuned_at)

    if deviation * width(seen, error, tuned_at) <= wanted:
        return 0.0
    if days <= 0 or half(_MOST_DAYS) > wanted:
        return None
    low, high = 0.0, _MOST_DAYS
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if half(middle) > wanted else (low, middle)
    return high
