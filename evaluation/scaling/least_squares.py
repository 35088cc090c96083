"""Least squares of many fits at once: Levenberg and Marquardt's method, with Huber's weights. Pure.

A bootstrap is hundreds of fits of the same form to the same points, each counted differently. Here
they take their steps together, as one array, at the price of a few. A solver that takes one fit at
a time, as scipy's, is many times slower.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

HUBER = 1e-3
"""Distance from which on a point counts less (Hoffmann et al. 2022, arXiv 2203.15556)."""
_STEPS = 120
_NUDGE = 1e-6
_DAMPED, _BOLDER, _SHYER = 1e-2, 0.3, 4.0


@dataclass(frozen=True)
class Bounds:
    """The lowest and the highest value of each parameter."""

    low: list[float]
    high: list[float]


def fit_each(
    told: Callable[[Floats], Floats], wanted: Floats, starts: Floats, counts: Floats, bounds: Bounds
) -> tuple[Floats, Floats]:
    """Ends ``(fits, parameters)`` and what each costs ``(fits,)``.

    ``told`` maps parameters ``(fits, parameters)`` to values ``(fits, points)`` for ``wanted``
    ``(points,)``. ``starts`` ``(fits, parameters)``; ``counts`` ``(fits, points)`` says how much
    each point counts in each fit.
    """
    at = np.clip(starts, bounds.low, bounds.high)
    apart = told(at) - wanted
    cost, damping = _cost(apart, counts), np.full(len(at), _DAMPED)
    for _ in range(_STEPS):
        slopes = _slopes(told, at, apart + wanted)
        far = np.maximum(np.abs(apart), HUBER)
        weighted = slopes * (counts * HUBER / far)[:, :, None]
        squares = weighted.transpose(0, 2, 1) @ slopes
        down = (weighted.transpose(0, 2, 1) @ apart[:, :, None])[:, :, 0]
        size = np.einsum("kpp->kp", squares)
        size += damping[:, None] * size + 1e-14
        step = np.linalg.solve(squares, down[:, :, None])[:, :, 0]
        tried = np.clip(at - step, bounds.low, bounds.high)
        left = told(tried) - wanted
        would_cost = _cost(left, counts)
        better = would_cost < cost
        at, apart = (
            np.where(better[:, None], new, old) for new, old in ((tried, at), (left, apart))
        )
        cost = np.where(better, would_cost, cost)
        damping = np.clip(np.where(better, _BOLDER, _SHYER) * damping, 1e-12, 1e10)
    return at, cost


def _cost(apart: Floats, counts: Floats) -> Floats:
    far = np.abs(apart)
    parts = np.where(far <= HUBER, far**2 / 2, HUBER * (far - HUBER / 2))
    costs: Floats = (counts * parts).sum(1)
    return np.nan_to_num(costs, nan=np.inf)


def _slopes(told: Callable[[Floats], Floats], at: Floats, here: Floats) -> Floats:
    """By how much each value rises with each parameter, ``(fits, points, parameters)``."""
    slopes = np.empty((*here.shape, at.shape[1]))
    for parameter in range(at.shape[1]):
        nudged = at.copy()
        nudged[:, parameter] += _NUDGE
        slopes[:, :, parameter] = (told(nudged) - here) / _NUDGE
    return slopes
