"""One arm's estimate of one metric, from the exact sums; adjusted by the time before (CUPED).

A user's vector (``tally.vector``) is: answers, then one entry per metric, and the same again for
the time before the experiment. So every estimate is a linear function of means, and its variance a
quadratic form of their covariance:

- *per user*: the mean of the metric's entry;
- *per answer*: the ratio of its sum to that of answers. Users are what was assigned, so its
  variance follows from theirs, by the delta method: that of (entry - ratio x answers) / mean
  answers over users;
- CUPED (Deng et al., WSDM 2013): from it, theta times the same figure of the time before is taken
  away. Theta is estimated on both arms together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from everfresh.experiments.verdict.intervals import Sample
from everfresh.experiments.verdict.moments import Moments

_Vector = NDArray[np.float64]


def plain(moments: Moments, entry: int, *, per_answer: bool) -> Sample:
    """Without adjustment; at least two users, and answers where it is per answer."""
    mean, covariance = moments.mean(), moments.covariance()
    weights = _weights(mean, entry, 0, per_answer=per_answer)
    value = mean[entry] / mean[0] if per_answer else mean[entry]
    return Sample(moments.users, float(value), _variance(weights, covariance))


def adjusted(
    control: Moments, arm: Moments, entry: int, *, per_answer: bool
) -> tuple[Sample, Sample, float] | None:
    """Both arms adjusted, and theta; ``None`` where the time before tells nothing."""
    together = control.plus(arm)
    offset = len(together.sums) // 2
    mean, covariance = together.mean(), together.covariance()
    if per_answer and not (mean[offset] > 0 and mean[0] > 0):
        return None
    before = _weights(mean, offset + entry, offset, per_answer=per_answer)
    of_before = _variance(before, covariance)
    if of_before <= 0:
        return None
    now = _weights(mean, entry, 0, per_answer=per_answer)
    theta = float(now @ covariance @ before) / of_before
    middle = float(before @ mean)
    samples = []
    for moments in (control, arm):
        own, spread = moments.mean(), moments.covariance()
        weights = _weights(own, entry, 0, per_answer=per_answer) - theta * before
        value = own[entry] / own[0] if per_answer else own[entry]
        shifted = float(value) - theta * (float(before @ own) - middle)
        samples.append(Sample(moments.users, shifted, _variance(weights, spread)))
    return samples[0], samples[1], theta


def _weights(mean: _Vector, entry: int, answers: int, *, per_answer: bool) -> _Vector:
    """By which the entries of a user make up what the estimate is, up to a constant, a mean of."""
    weights = np.zeros(len(mean))
    weights[entry] = 1.0
    if per_answer:
        weights[answers] = -mean[entry] / mean[answers]
        weights /= mean[answers]
    return weights


def _variance(weights: _Vector, covariance: NDArray[np.float64]) -> float:
    return max(0.0, float(weights @ covariance @ weights))
