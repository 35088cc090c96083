"""Forms fitted to made-up grids: a law that is there is found, one that is not there is refused."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from everfresh.evaluation.scaling.findings import (
    BASELINE,
    NETWORK,
    PERFORMANCE,
    WITH_ROWS,
    findings,
)
from everfresh.evaluation.scaling.forms import Performance, Points, Power
from everfresh.evaluation.scaling.lines import Findings
from tests.evaluation.scaling.grids import Loss, entropies, made_up, plan_of

FLOOR, A, ALPHA, B, BETA = 5.0, 30.0, 0.35, 200.0, 0.5


def law(n: float, d: float) -> float:
    """A law with known parameters, in units of one weight and one event."""
    return FLOOR + A * n**-ALPHA + B * d**-BETA


def found(loss: Loss, noise: float, budget: float = 0.0, size: int = 4) -> Findings:
    cells = made_up(loss, noise, size, size)
    return findings(plan_of(cells), cells, entropies(cells), budget, 3)


@pytest.fixture(scope="module")
def of_law() -> Findings:
    return found(law, 0.0005, size=5)


def test_a_law_without_noise_is_found_exactly() -> None:
    cells = made_up(law, 0.0)
    columns = [(c.weights, c.events, c.loss, c.blocks, c.dim, 5.0) for c in cells]
    fitted = Power.fit(Points(*np.array(columns, np.float64).T))
    assert fitted.floor == pytest.approx(FLOOR, rel=1e-3)
    assert (fitted.alpha, fitted.beta) == pytest.approx((ALPHA, BETA), rel=1e-2)
    assert fitted.a * fitted.units[0] ** ALPHA == pytest.approx(A, rel=0.05)
    assert fitted.b * fitted.units[1] ** BETA == pytest.approx(B, rel=0.05)


def test_known_exponents_lie_in_their_intervals_and_what_is_held_out_is_predicted(
    of_law: Findings,
) -> None:
    fitted = of_law.laws[NETWORK]
    assert not fitted.refused
    assert fitted.alpha_interval[0] <= ALPHA <= fitted.alpha_interval[1]
    assert fitted.beta_interval[0] <= BETA <= fitted.beta_interval[1]
    assert {held.where for held in of_law.held_out} == {"row", "column", "corner"}
    assert len(of_law.held_out) == 9
    for where in ("row", "column", "corner"):
        assert of_law.errors[NETWORK][where] < 0.03
        assert of_law.errors[NETWORK][where] < of_law.errors[BASELINE][where]
    assert of_law.errors.keys() == {NETWORK, WITH_ROWS, PERFORMANCE, BASELINE}


def test_beyond_the_grid_a_law_is_predicted_where_it_holds(of_law: Findings) -> None:
    largest, longest = 350_000, 160_000
    assert of_law.beyond_by == NETWORK
    assert of_law.beyond["as measured"] == pytest.approx(law(largest, longest), rel=0.005)
    assert of_law.beyond["N x 2, D x 2"] == pytest.approx(law(700_000, 320_000), rel=0.01)


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda n, d: 7.0, "alpha"),
        (lambda n, d: FLOOR + B * d**-BETA, "size"),
        (lambda n, d: FLOOR + A * n**-ALPHA, "events"),
        (lambda n, d: 7.0 + 0.1 * np.log(n) - 0.1 * np.log(d), "size"),
    ],
    ids=["flat", "size says nothing", "events say nothing", "larger is worse"],
)
def test_where_there_is_no_law_nothing_is_predicted_beyond_the_grid(loss: Loss, said: str) -> None:
    result = found(loss, 0.002)
    assert said in result.laws[NETWORK].refused
    assert result.beyond == {}


def test_the_performance_law_is_left_out_where_shapes_do_not_tell_its_terms_apart() -> None:
    cells = [
        msgspec.structs.replace(cell, blocks=2 if cell.size == "96x3" else 1)
        for cell in made_up(law, 0.0005, 4, 4)
    ]
    result = findings(plan_of(cells), cells, entropies(cells), 0.0, 3)
    assert PERFORMANCE not in result.errors
    assert all(PERFORMANCE not in held.predicted for held in result.held_out)


def test_the_performance_law_predicts_what_it_made() -> None:
    theta = np.array([-0.3, -0.2, 0.4, 0.2, -0.1, 0.0, -9.0])
    cells = made_up(law, 0.0)
    columns = [(c.weights, c.events, c.loss, c.blocks, c.dim, 5.0) for c in cells]
    points = Points(*np.array(columns, np.float64).T)
    told = Performance(theta).predict(points)
    made = Points(points.n, points.d, told, points.blocks, points.width, points.entropy)
    assert Performance.fit(made).predict(points) == pytest.approx(told, rel=1e-3)


def test_advice_is_the_cheapest_that_chance_between_seeds_cannot_tell_from_the_best() -> None:
    level = found(lambda n, d: 7.0 if n > 10_000 else 9.0, 0.002)
    assert (level.advice.size, level.advice.passes) == ("32x2", 2)
    assert level.advice.train_s <= level.best.train_s
    falling = found(lambda n, d: 20 - n / 50_000, 0.0005)
    assert (falling.advice.size, falling.best.size) == ("96x3", "96x3")


def test_advice_keeps_to_the_time_that_a_training_may_take() -> None:
    within = found(lambda n, d: 20 - n / 50_000, 0.0005, budget=5.0)
    assert (within.advice.size, within.best.size) == ("64x2", "96x3")
    assert within.advice.train_s <= 5.0
    nothing = found(law, 0.0005, budget=1e-6)
    assert (nothing.advice.size, nothing.advice.passes) == ("16x1", 1)
    assert nothing.advice.train_s > nothing.budget_s


def test_a_grid_of_four_by_four_is_enough_to_say_something() -> None:
    result = found(law, 0.0005)
    assert len(result.held_out) == 7
    assert all(np.isfinite(list(held.predicted.values())).all() for held in result.held_out)
