"""What a grid says: forms tried on what was held out, the law with its intervals, and advice. Pure.

The largest size (*row*), the longest prefix (*column*) and both (*corner*) are predicted by forms
that were fitted to all other cells. The law that is told is then fitted to all cells, its intervals
by a bootstrap that draws cells, each with all of its seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from everfresh.evaluation.scaling.forms import Form, LogLinear, Performance, Points, Power
from everfresh.evaluation.scaling.lines import (
    Cell,
    Choice,
    Findings,
    FittedLaw,
    GridPlan,
    HeldOut,
)

NETWORK, WITH_ROWS = "power law", "power law, item rows in N"
PERFORMANCE, BASELINE = "performance law", "log-linear"
ROW, COLUMN, CORNER = "row", "column", "corner"
RESAMPLES = 200
_FEWEST = 3
"""Different sizes and prefixes in a draw of the bootstrap, below which nothing can be told."""

Key = tuple[str, int]
"""A size and a number of events."""


def findings(
    plan: GridPlan,
    cells: Sequence[Cell],
    entropies: Mapping[int, float],
    budget_s: float,
    seed: int,
) -> Findings:
    """Of all cells of the plan; ``entropies`` are the approximate entropies of its prefixes."""
    ordered = sorted(cells, key=lambda cell: (cell.weights, cell.size, cell.events, cell.seed))
    network, whole = (_points(ordered, entropies, rows=rows) for rows in (False, True))
    largest = max(ordered, key=lambda cell: cell.weights).size
    longest = max(cell.events for cell in ordered)
    row = np.array([cell.size == largest for cell in ordered])
    column = np.array([cell.events == longest for cell in ordered])
    inside = ~(row | column)
    fitted: dict[str, tuple[Form, Points]] = {
        NETWORK: (Power.fit(network.take(inside)), network),
        WITH_ROWS: (Power.fit(whole.take(inside)), whole),
        BASELINE: (LogLinear.fit(network.take(inside)), network),
    }
    # With one number of blocks, or one width, its term for that may be anything.
    shapes = network.take(inside)
    if min(len(np.unique(shapes.blocks)), len(np.unique(shapes.width))) > 1:
        fitted[PERFORMANCE] = Performance.fit(shapes), network
    predicted = {name: form.predict(points) for name, (form, points) in fitted.items()}
    held = _held_out(ordered, predicted, largest, longest)
    keys: list[Key] = [(cell.size, cell.events) for cell in ordered]
    laws = {
        NETWORK: fitted_law(network, keys, seed),
        WITH_ROWS: fitted_law(whole, keys, seed),
    }
    advice, best = _advice([cell for cell in ordered if cell.events == longest], budget_s)
    errors = {
        name: {
            where: float(
                np.mean([abs(h.predicted[name] - h.observed) for h in held if h.where == where])
            )
            for where in (ROW, COLUMN, CORNER)
        }
        for name in fitted
    }
    nearest = min(laws, key=lambda name: errors[name][CORNER])
    return Findings(
        plan=plan,
        cells=ordered,
        held_out=held,
        errors=errors,
        spread=float(np.mean([_spread(group) for group in _by_key(ordered).values()])),
        laws=laws,
        beyond_by=nearest,
        beyond=_beyond(laws[nearest], fitted[nearest][1]),
        advice=advice,
        best=best,
        budget_s=budget_s,
    )


def _points(cells: Sequence[Cell], entropies: Mapping[int, float], *, rows: bool) -> Points:
    columns = [
        (
            cell.weights + cell.rows * rows,
            cell.events,
            cell.loss,
            cell.blocks,
            cell.dim,
            entropies[cell.events],
        )
        for cell in cells
    ]
    return Points(*np.array(columns, np.float64).T)


def _by_key(cells: Sequence[Cell]) -> dict[Key, list[float]]:
    """The losses of all seeds of a size and prefix."""
    groups: dict[Key, list[float]] = {}
    for cell in cells:
        groups.setdefault((cell.size, cell.events), []).append(cell.loss)
    return groups


def _spread(losses: Sequence[float]) -> float:
    return max(losses) - min(losses)


def _held_out(
    cells: Sequence[Cell],
    predicted: Mapping[str, npt.NDArray[np.float64]],
    largest: str,
    longest: int,
) -> list[HeldOut]:
    held = []
    for (size, events), losses in _by_key(cells).items():
        if size != largest and events != longest:
            continue
        where = CORNER if size == largest and events == longest else ROW
        at = [(cell.size, cell.events) == (size, events) for cell in cells]
        held.append(
            HeldOut(
                COLUMN if size != largest else where,
                size,
                events,
                float(np.mean(losses)),
                _spread(losses),
                {name: float(told[at].mean()) for name, told in predicted.items()},
            )
        )
    return held


def fitted_law(points: Points, keys: Sequence[Key], seed: int) -> FittedLaw:
    """The law of all cells, its intervals, and whether it may be used beyond them.

    It is refused where an exponent's interval holds 0, and where the term it belongs to does not
    surely fall over what was measured: then the loss says nothing of N, or of D.
    """
    best = Power.fit(points)
    drawn = best.fit_draws(points, _draws(keys, seed))
    alpha, beta = (_interval([getattr(law, name) for law in drawn]) for name in ("alpha", "beta"))
    n, d = (np.array([np.min(of), np.max(of)]) for of in (points.n, points.d))
    falls_n = _interval([float(np.subtract(*law.of_size(n))) for law in drawn])
    falls_d = _interval([float(np.subtract(*law.of_events(d))) for law in drawn])
    flat = _flat(points)
    reasons = []
    for name, what, interval, falls in (
        ("alpha", "size", alpha, falls_n),
        ("beta", "events", beta, falls_d),
    ):
        if interval[0] <= 0.0 <= interval[1] or interval[1] < 0.0:
            reasons.append(
                f"the interval of {name} is {interval[0]:.2f} to {interval[1]:.2f} and holds 0 or "
                f"less: these losses do not say that they fall with {what}"
            )
        elif falls[0] <= flat:
            reasons.append(
                f"over what was measured, {what} take {falls[0]:.4f} to {falls[1]:.4f} bits off "
                "the loss, which may be nothing"
            )
    return FittedLaw(
        best.floor,
        best.a,
        best.alpha,
        best.b,
        best.beta,
        *best.units,
        alpha,
        beta,
        "; ".join(reasons),
    )


def _flat(points: Points) -> float:
    """A fall that is nothing beside the loss, whatever its interval."""
    return 1e-4 * float(points.loss.mean())


def _draws(keys: Sequence[Key], seed: int) -> npt.NDArray[np.float64]:
    """How often each training is in each draw ``(draws, trainings)``: all seeds of a cell are."""
    places: dict[Key, list[int]] = {}
    for at, key in enumerate(keys):
        places.setdefault(key, []).append(at)
    rng = np.random.Generator(np.random.PCG64(seed))
    names = list(places)
    draws = np.zeros((RESAMPLES, len(keys)))
    for draw in draws:
        drawn: list[Key] = []
        while min(len({key[part] for key in drawn}) for part in (0, 1)) < _FEWEST:
            drawn = [names[at] for at in rng.integers(0, len(names), len(names))]
        for key in drawn:
            draw[places[key]] += 1
    return draws


def _interval(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def _beyond(law: FittedLaw, points: Points) -> dict[str, float]:
    """What the law predicts for the largest and longest, and for more than that."""
    if law.refused:
        return {}
    n, d = float(points.n.max()), float(points.d.max())
    asked = {"as measured": (n, d), "N x 2": (2 * n, d), "D x 2": (n, 2 * d)}
    asked |= {"N x 2, D x 2": (2 * n, 2 * d), "N x 4, D x 4": (4 * n, 4 * d)}
    return {name: law.at(*at) for name, at in asked.items()}


def _advice(cells: Sequence[Cell], budget_s: float) -> tuple[Choice, Choice]:
    """The cheapest of those that are as good as the best within the budget, and the best of all.

    Passes are chosen by the users that no loss is told of. As good: not worse by more than the
    largest spread of seeds at this prefix.
    """
    groups: dict[tuple[str, int], list[Cell]] = {}
    for cell in cells:
        for at in range(len(cell.readings)):
            groups.setdefault((cell.size, at), []).append(cell)
    choices: list[tuple[float, Choice]] = []
    for (size, at), seeds in groups.items():
        readings = [cell.readings[at] for cell in seeds]
        choosing, loss, took = (
            float(np.mean([getattr(reading, name) for reading in readings]))
            for name in ("choosing", "loss", "train_s")
        )
        choices.append((choosing, Choice(size, at + 1, loss, took)))
    spread = max(
        _spread([cell.loss for cell in seeds]) for (_, at), seeds in groups.items() if not at
    )
    best = min(choices, key=lambda pair: pair[0])
    within = [pair for pair in choices if not budget_s or pair[1].train_s <= budget_s]
    if not within:
        return min(choices, key=lambda pair: pair[1].train_s)[1], best[1]
    least = min(choosing for choosing, _ in within)
    good = [choice for choosing, choice in within if choosing <= least + spread]
    return min(good, key=lambda choice: choice.train_s), best[1]
