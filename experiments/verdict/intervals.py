"""Intervals for the difference of two arms: for one look (Welch), and for any number of looks.

Welch's holds if it is looked at once, at a time chosen before. The always-valid one is the
asymptotic confidence sequence of Waudby-Smith et al. (arXiv 2103.06476v7, eq. 9, with rho by eqs.
155 and 161): it covers the true difference at all times at once, up to the stated error, so one may
look after every window and stop when one likes.
"""

from __future__ import annotations

import math

import msgspec
from scipy import special


class Sample(msgspec.Struct, frozen=True):
    """One arm: its users, and mean and variance over users of what is compared."""

    users: int
    mean: float
    variance: float

    @property
    def of_mean(self) -> float:
        """The variance of the mean."""
        return self.variance / self.users


class Interval(msgspec.Struct, frozen=True):
    """Where the difference (arm minus control) lies, and the p-value of there being none."""

    difference: float
    low: float
    high: float
    p: float

    def scaled(self, factor: float) -> Interval:
        """In another unit, such as shares of the control's mean; ``factor`` is above 0."""
        return Interval(self.difference * factor, self.low * factor, self.high * factor, self.p)


def welch(control: Sample, arm: Sample, error: float) -> Interval:
    """Welch's t, two-sided. Each has at least two users, and one of them a variance above 0."""
    difference = arm.mean - control.mean
    variance = control.of_mean + arm.of_mean
    freedom = variance**2 / sum(each.of_mean**2 / (each.users - 1) for each in (control, arm))
    half = float(special.stdtrit(freedom, 1 - error / 2)) * math.sqrt(variance)
    p = 2 * float(special.stdtr(freedom, -abs(difference) / math.sqrt(variance)))
    return Interval(difference, difference - half, difference + half, p)


def always_valid(
    control: Sample, arm: Sample, seen: int, error: float, tuned_at: float
) -> Interval:
    """The confidence sequence, two-sided.

    ``seen`` is how many observations the samples are made of, and ``tuned_at`` the number at which
    the interval is narrowest for its error. Where each user is seen once, that is the users. Where
    users come back, their totals go on moving after they were counted, and it must be the answers:
    otherwise, once no new users come, every difference of chance is crossed in the end.
    """
    difference = arm.mean - control.mean
    variance = control.of_mean + arm.of_mean
    half = math.sqrt(variance) * width(seen, error, tuned_at)
    spread = seen * _rho_squared(error, tuned_at)
    evidence = difference**2 / variance * spread / (2 * (spread + 1))
    p = math.exp(min(0.0, 0.5 * math.log(spread + 1) - evidence))
    return Interval(difference, difference - half, difference + half, p)


def width(seen: float, error: float, tuned_at: float) -> float:
    """Half of the always-valid interval, in standard errors of the difference."""
    spread = seen * _rho_squared(error, tuned_at)
    return math.sqrt(2 * (spread + 1) / spread * math.log(math.sqrt(spread + 1) / error))


def _rho_squared(error: float, tuned_at: float) -> float:
    return (-2 * math.log(error) + math.log(-2 * math.log(error) + 1)) / tuned_at
