"""Off-policy estimates: what another policy would have earned, from what a random one has shown.

For your own analyses of the topic ``outcomes``; the report comes to the same from sums (see
``verdict.exploration``). One sample is one place of one answer: its ``reward``, the probability
``logged`` with which the place showed its item (the exposure's ``propensities``), and the
probability ``target`` with which the other policy would have shown that item at that place, to that
user. The reward of a place must not depend on what other places show. A policy must not show what
the logged one never shows there (``target`` above 0 where ``logged`` is 0 cannot be seen in the
log); for it nothing can be estimated.

- IPS (Horvitz and Thompson 1952): the mean of reward x target / logged. Unbiased.
- SNIPS (Swaminathan and Joachims, NeurIPS 2015): divided by the mean weight. Slightly biased in
  small samples, and much steadier.
- DR (Dudik, Langford and Li, ICML 2011): a reward model's expectation under the target policy, plus
  IPS of what the model got wrong. Unbiased whatever the model says, and steady where it is right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]


class Estimate(msgspec.Struct, frozen=True):
    """``value`` per place, with its standard ``error``. ``effective`` is the number of places of
    the target policy itself that would tell as much (Kish's effective sample size)."""

    value: float
    error: float
    effective: float


def ips(rewards: Sequence[float], logged: Sequence[float], target: Sequence[float]) -> Estimate:
    """``ValueError`` where the log has no propensities, or arrays do not fit together."""
    reward, weight = _weights(rewards, logged, target)
    return _mean(weight * reward, weight)


def snips(rewards: Sequence[float], logged: Sequence[float], target: Sequence[float]) -> Estimate:
    """As :func:`ips`; the error by the delta method."""
    reward, weight = _weights(rewards, logged, target)
    if not weight.sum():
        raise ValueError("the target policy shows nothing that the log holds")
    value = float(weight @ reward / weight.sum())
    spread = weight * (reward - value) / weight.mean()
    error = float(spread.std(ddof=1)) / math.sqrt(len(weight))
    return Estimate(value, error, _effective(weight))


def dr(
    rewards: Sequence[float],
    logged: Sequence[float],
    target: Sequence[float],
    of_shown: Sequence[float],
    of_target: Sequence[float],
) -> Estimate:
    """``of_shown`` is what a reward model says of the item shown, ``of_target`` its mean over what
    the target policy would show there. The model must not have been fitted to these samples."""
    reward, weight = _weights(rewards, logged, target)
    shown, expected = np.asarray(of_shown, float), np.asarray(of_target, float)
    if not len(shown) == len(expected) == len(reward):
        raise ValueError("rewards and what the model says of them have different lengths")
    return _mean(expected + weight * (reward - shown), weight)


def _weights(
    rewards: Sequence[float], logged: Sequence[float], target: Sequence[float]
) -> tuple[_Floats, _Floats]:
    reward, of_log, of_target = (np.asarray(each, float) for each in (rewards, logged, target))
    if not len(reward) == len(of_log) == len(of_target) or len(reward) < 2:
        raise ValueError(
            f"at least 2 samples were expected, as many rewards as propensities; found "
            f"{len(reward)} rewards, {len(of_log)} logged and {len(of_target)} target propensities"
        )
    if not ((of_log > 0) & (of_log <= 1)).all():
        raise ValueError(
            "a logged propensity is above 0 and at most 1; answers of an arm that does not explore "
            "have none, and say nothing of another policy"
        )
    if not ((of_target >= 0) & (of_target <= 1)).all():
        raise ValueError("a target propensity is from 0 to 1")
    return reward, of_target / of_log


def _mean(values: _Floats, weight: _Floats) -> Estimate:
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    return Estimate(float(values.mean()), error, _effective(weight))


def _effective(weight: _Floats) -> float:
    squares = float(weight @ weight)
    return float(weight.sum()) ** 2 / squares if squares else 0.0
