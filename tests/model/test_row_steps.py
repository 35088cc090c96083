"""Steps on the rows that were read, against the same rule over whole tables, every step."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from everfresh.model.network.row_reads import RowGradient
from everfresh.model.row_steps import BETA, RowSteps

ROWS, DIM, RATE = 40, 6, 1e-2
BF16 = 2**-8
"""What rounding to bfloat16 changes, relatively, at most."""


def tables() -> dict[str, nn.Parameter]:
    torch.manual_seed(5)
    return {"items": nn.Parameter(torch.randn(ROWS, DIM)), "bias": nn.Parameter(torch.randn(ROWS))}


def gradients(number: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Rows and their gradients in step ``number``; the bias has fewer. Row 7 sleeps for long."""
    torch.manual_seed(100 + number)
    rows = torch.randperm(ROWS - 10)[: 3 + number % 9].sort().values
    rows = rows[(rows != 7) | (number in (0, 199))]
    own = rows[: len(rows) // 2]
    return {
        "items": (rows, torch.randn(len(rows), DIM)),
        "bias": (own, torch.randn(len(own))),
    }


def given(number: int) -> dict[str, RowGradient]:
    return {name: RowGradient(*of) for name, of in gradients(number).items()}


def whole(steps: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Every row of both tables stepped every time, without a gradient too, in double precision."""
    weights = {name: table.detach().double() for name, table in tables().items()}
    moments = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for number in range(steps):
        for name, (rows, values) in gradients(number).items():
            grad = torch.zeros_like(weights[name]).index_copy_(0, rows, values.double())
            moments[name] *= BETA
            moments[name] += (1 - BETA) * grad.square()
            root = (moments[name] / (1 - BETA ** (number + 1))).sqrt() + 1e-8
            weights[name] -= RATE * grad / root
    return weights, moments


def test_rows_that_sleep_end_where_steps_over_whole_tables_bring_them() -> None:
    made = tables()
    steps = RowSteps(made)
    for number in range(200):
        steps.step(given(number), RATE)
    weights, moments = whole(200)
    for name, table in made.items():
        torch.testing.assert_close(table.detach().double(), weights[name], rtol=1e-5, atol=1e-5)
        slept = BETA ** (steps.steps - steps.stepped).double()
        steps.settle()
        own = steps.moments[name].double() * slept.reshape(-1, *[1] * (table.dim() - 1))
        torch.testing.assert_close(own, moments[name], rtol=BF16, atol=1e-12)


def test_moments_that_were_written_are_gone_on_from_to_the_same_bits() -> None:
    one, other = tables(), tables()
    went_on, first = RowSteps(one), RowSteps(other)
    for number in range(60):
        went_on.step(given(number), RATE)
        first.step(given(number), RATE)
    went_on.settle()
    first.settle()
    again = RowSteps(other)
    again.moments = {name: value.clone() for name, value in first.moments.items()}
    again.stepped, again.steps = first.stepped.clone(), first.steps
    for steps in (went_on, again):
        steps.begin_window(keep=False)
        for number in range(60, 90):
            steps.step(given(number), RATE)
        steps.settle()
        settled = {name: value.clone() for name, value in steps.moments.items()}
        steps.settle()
        assert all(torch.equal(steps.moments[name], settled[name]) for name in settled)
    for name, table in one.items():
        assert torch.equal(table.detach(), other[name].detach())
        assert torch.equal(went_on.moments[name], again.moments[name])
    assert torch.equal(went_on.stepped, again.stepped)


def test_rows_that_were_not_read_are_bit_equal_and_the_others_are_told() -> None:
    made = tables()
    before = {name: table.detach().clone() for name, table in made.items()}
    steps = RowSteps(made)
    steps.step(given(0), RATE)
    steps.begin_window(keep=True)
    then = {name: table.detach().clone() for name, table in made.items()}
    for number in range(1, 6):
        steps.step(given(number), RATE)
    touched = sorted({int(row) for n in range(1, 6) for row in gradients(n)["items"][0]})
    assert steps.touched().tolist() == touched
    for name, table in made.items():
        assert torch.equal(table.detach()[ROWS - 10 :], before[name][ROWS - 10 :])
        assert torch.equal(steps.before()[name], then[name][touched])
        asleep = [row for row in range(ROWS) if row not in touched]
        assert torch.equal(table.detach()[asleep], then[name][asleep])


def test_a_gradient_of_whole_tables_steps_as_one_of_the_rows_that_it_has() -> None:
    sparse, dense = tables(), tables()
    one, other = RowSteps(sparse), RowSteps(dense)
    for number in range(9):
        one.step(given(number), RATE)
        whole = {
            name: torch.zeros_like(dense[name]).index_copy_(0, rows, values)
            for name, (rows, values) in gradients(number).items()
        }
        everywhere = torch.arange(ROWS)
        other.step({name: RowGradient(everywhere, grad) for name, grad in whole.items()}, RATE)
    for name in sparse:
        torch.testing.assert_close(sparse[name], dense[name])
    assert len(other.touched()) == ROWS


@pytest.mark.parametrize("sleep", [1, 20_000])
def test_a_first_step_and_one_after_a_long_sleep_are_bounded(sleep: int) -> None:
    made = tables()
    steps = RowSteps(made)
    steps.step(given(0), RATE)
    steps.steps += sleep
    before = {name: table.detach().clone() for name, table in made.items()}
    steps.step(given(199), RATE)
    for name, table in made.items():
        moved = table.detach() - before[name]
        assert torch.isfinite(moved).all()
        assert float(moved.abs().max()) <= 1.01 * RATE / math.sqrt(1 - BETA)
