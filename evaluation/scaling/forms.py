"""The forms that are fitted to losses over sizes and events, each with the same interface. Pure.

- ``Power``: ``L = E + A N^-alpha + B D^-beta`` (Hoffmann et al. 2022, arXiv 2203.15556, approach 3:
  Huber loss on logarithms, many starts; ``evaluation.scaling.least_squares``).
- ``Performance``: the performance law of arXiv 2412.00430, of layers, width and events times
  approximate entropy.
- ``LogLinear``: ``log L = c0 + c1 log N + c2 log D``, the baseline that the others must beat.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from everfresh.evaluation.scaling.least_squares import Bounds, fit_each

Floats = npt.NDArray[np.float64]

_STARTS = (0.05, 0.2, 0.5, 1.0)
_LOW, _HIGH = -2.0, 4.0
"""Exponents that are tried. Below 0 the loss would rise: such a fit must be possible."""
_SMALL = 1e-9


@dataclass(frozen=True)
class Points:
    """One training each, ``(cells,)``: the weights ``n``, the events ``d``, the measured ``loss``;
    of its network ``blocks`` and ``width``, of its events the approximate ``entropy``."""

    n: Floats
    d: Floats
    loss: Floats
    blocks: Floats
    width: Floats
    entropy: Floats

    def take(self, at: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Points:
        """Some of them, or some of them several times."""
        columns = (self.n, self.d, self.loss, self.blocks, self.width, self.entropy)
        return Points(*(column[at] for column in columns))


class Form(Protocol):
    """What has been fitted."""

    def predict(self, points: Points) -> Floats:
        """The loss of each; what is measured there is not looked at."""


@dataclass(frozen=True)
class Power:
    """``units`` are the N and D at which ``a`` and ``b`` are what their term adds to the loss."""

    floor: float
    a: float
    alpha: float
    b: float
    beta: float
    units: tuple[float, float]

    @classmethod
    def fit(cls, points: Points) -> Power:
        """From several starts."""
        starts = [
            [0.0, 0.0, 0.0, alpha, beta] for alpha, beta in itertools.product(_STARTS, _STARTS)
        ]
        return cls._of(points, np.array(starts), np.ones((len(starts), len(points.loss))))[0]

    def fit_draws(self, points: Points, draws: Floats) -> list[Power]:
        """Fits that begin at this one; ``draws`` ``(draws, cells)``: how often each cell counts."""
        theta = [np.log(max(part, _SMALL)) for part in (self.floor, self.a, self.b)]
        near = np.array([*theta, self.alpha, self.beta])
        near[:3] -= np.log(points.loss.mean() / 3)
        return self._of(points, np.tile(near, (len(draws), 1)), draws, each=True)

    @classmethod
    def _of(
        cls, points: Points, starts: Floats, counts: Floats, *, each: bool = False
    ) -> list[Power]:
        """Ends of ``each`` start, or the best one; factors begin at a third of the loss."""
        units = _middle(points.n), _middle(points.d)
        x, y = np.log(points.n / units[0]), np.log(points.d / units[1])
        third = np.log(points.loss.mean() / 3)

        def told(theta: Floats) -> Floats:
            e, a, b = (np.exp(part[:, None] + third) for part in theta.T[:3])
            out: Floats = np.log(e + a * np.exp(-theta[:, 3:4] * x) + b * np.exp(-theta[:, 4:] * y))
            return out

        bounds = Bounds([-20.0] * 3 + [_LOW] * 2, [3.0] * 3 + [_HIGH] * 2)
        ends, costs = fit_each(told, np.log(points.loss), starts, counts, bounds)
        chosen = ends if each else ends[[int(costs.argmin())]]
        laws = []
        for end in chosen.tolist():
            e, a, b = (float(np.exp(part + third)) for part in end[:3])
            laws.append(cls(e, a, end[3], b, end[4], units))
        return laws

    def predict(self, points: Points) -> Floats:
        """See :class:`Form`."""
        return self.at(points.n, points.d)

    def at(self, n: Floats | float, d: Floats | float) -> Floats:
        """The loss at ``n`` weights and ``d`` events."""
        return np.asarray(self.floor + self.of_size(n) + self.of_events(d), np.float64)

    def of_size(self, n: Floats | float) -> Floats:
        """What the size adds to the loss."""
        return np.asarray(self.a * (n / self.units[0]) ** -self.alpha, np.float64)

    def of_events(self, d: Floats | float) -> Floats:
        """What the lack of events adds to it."""
        return np.asarray(self.b * (d / self.units[1]) ** -self.beta, np.float64)


@dataclass(frozen=True)
class LogLinear:
    """The baseline; ``weights`` are ``c0``, ``c1`` and ``c2``."""

    weights: Floats

    @classmethod
    def fit(cls, points: Points) -> LogLinear:
        """Least squares."""
        fitted = np.linalg.lstsq(cls._columns(points), np.log(points.loss), rcond=None)[0]
        return cls(np.asarray(fitted, np.float64))

    def predict(self, points: Points) -> Floats:
        """See :class:`Form`."""
        out: Floats = np.exp(self._columns(points) @ self.weights)
        return out

    @staticmethod
    def _columns(points: Points) -> Floats:
        return np.stack([np.ones_like(points.n), np.log(points.n), np.log(points.d)], axis=1)


@dataclass(frozen=True)
class Performance:
    """``-L = w1 g(N, w3) + w2 g(h, w4) + g(D', w5) + b`` with ``g(x, w) = -1 / (p x^w) - w ln x``:
    ``N`` blocks, ``h`` width, ``D'`` events times approximate entropy."""

    theta: Floats

    @classmethod
    def fit(cls, points: Points) -> Performance:
        """From several starts, as :class:`Power`."""
        mean = -float(points.loss.mean())
        starts = [
            [sign * 0.1, sign * 0.1, w, w, -v, 0.0, mean]
            for sign, w, v in itertools.product((-1.0, 1.0), (0.1, 0.5), (0.1, 0.5))
        ]

        def told(theta: Floats) -> Floats:
            out: Floats = np.log(np.maximum(-_performance(theta, points), _SMALL))
            return out

        wide = [50.0, 50.0, _HIGH, _HIGH, _HIGH, 10.0, 200.0]
        counts = np.ones((len(starts), len(points.loss)))
        bounds = Bounds([-bound for bound in wide], wide)
        ends, costs = fit_each(told, np.log(points.loss), np.array(starts), counts, bounds)
        return cls(ends[int(costs.argmin())])

    def predict(self, points: Points) -> Floats:
        """See :class:`Form`."""
        out: Floats = -_performance(self.theta[None], points)[0]
        return out


def _performance(theta: Floats, points: Points) -> Floats:
    """The scores ``(fits, cells)``, which are the loss with its sign turned."""
    w1, w2, w3, w4, w5, log_p, constant = (part[:, None] for part in theta.T)
    tokens = points.d * np.maximum(points.entropy, _SMALL)
    parts = ((w1, points.blocks, w3), (w2, points.width, w4), (np.ones_like(w1), tokens, w5))
    terms = [
        weight * (-np.exp(np.clip(-log_p - w * np.log(x), -50, 50)) - w * np.log(x))
        for weight, x, w in parts
    ]
    out: Floats = np.sum(terms, axis=0) + constant
    return out


def _middle(values: Floats) -> float:
    """The geometric mean of the different ones: where a term is told best."""
    return float(np.exp(np.log(np.unique(values)).mean()))
