"""Attention on tiles against attention written down plainly, forward and backward."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn import functional

from everfresh.model.network import attention_tiles as packing
from everfresh.model.network.attention import attend
from everfresh.model.network.attention_tiles import TileLayout
from everfresh.model.network.hstu import TIME_BUCKETS, time_bucket

LONGEST = 9
LENGTHS = st.lists(st.integers(1, LONGEST), min_size=1, max_size=7)


class Case(NamedTuple):
    """Random inputs in 64 bits, and what the layout was made of."""

    vqk: Tensor
    position_bias: Tensor
    time_bias: Tensor
    layout: TileLayout
    offsets: Tensor
    times: Tensor

    @property
    def parameters(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.vqk, self.position_bias, self.time_bias


def case(lengths: list[int], heads: int, seed: int) -> Case:
    generator = torch.Generator().manual_seed(seed)
    total, dim = sum(lengths), 2 * heads
    vqk, position, time = (
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((total, 3 * dim), (LONGEST + 3,), (TIME_BUCKETS,))
    )
    times = torch.randint(0, 5_000, (total,), generator=generator).cumsum(0)
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    return Case(vqk, position, time, TileLayout.of(offsets, times, time_bucket), offsets, times)


def plain(case: Case, heads: int) -> Tensor:
    """One sequence, one query, one key at a time."""
    out = []
    starts, ends = case.offsets[:-1].tolist(), case.offsets[1:].tolist()
    for begin, end in zip(starts, ends, strict=True):
        v, q, k = case.vqk[begin:end].unflatten(1, (3, heads, -1)).unbind(1)
        for i in range(end - begin):
            row = torch.zeros_like(v[0])
            for j in range(i + 1):
                apart = case.times[begin + i] - case.times[begin + j]
                bias = case.position_bias[i - j] + case.time_bias[time_bucket(apart[None])[0]]
                score = (q[i] * k[j]).sum(-1) + bias
                row = row + functional.silu(score)[:, None] * v[j]
            out.append(row.flatten() / len(case.position_bias))
    return torch.stack(out)


@pytest.fixture(params=[(2**18, 104), (20, 4), (1, 1)], ids=["one tile", "small tiles", "cells"])
def tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way of cutting tiles must give the same."""
    cells, rows = request.param
    monkeypatch.setattr(packing, "_CELLS", cells)
    monkeypatch.setattr(packing, "_ROWS", rows)


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("lengths", [[5], [9, 9, 9], [1, 7, 3, 9, 2, 8, 1], [2, 1]])
def test_attention_and_its_gradients_equal_loops_over_queries_and_keys(
    lengths: list[int], heads: int
) -> None:
    made = case(lengths, heads, 3)
    attended = attend(*made.parameters, made.layout, heads)
    expected = plain(made, heads)
    torch.testing.assert_close(attended, expected)
    upstream = torch.randn(attended.shape, dtype=torch.float64)
    for mine, theirs in zip(
        torch.autograd.grad(attended, made.parameters, upstream),
        torch.autograd.grad(expected, made.parameters, upstream),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


@settings(max_examples=20, deadline=None)
@given(lengths=LENGTHS, heads=st.integers(1, 3), seed=st.integers(0, 10**6))
def test_attention_equals_loops_on_random_inputs(lengths: list[int], heads: int, seed: int) -> None:
    made = case(lengths, heads, seed)
    with torch.no_grad():
        attended = attend(*made.parameters, made.layout, heads)
        torch.testing.assert_close(attended, plain(made, heads))


@pytest.mark.usefixtures("tiles")
def test_the_gradient_of_attention_equals_finite_differences() -> None:
    made = case([4, 1, 3], 2, 8)
    assert gradcheck(lambda *given: attend(*given, made.layout, 2), made.parameters)


def test_time_buckets_are_half_doublings_and_exact_at_their_edges() -> None:
    seconds = torch.tensor([-5, 0, 1, 2, 3, 4, 5, 6, 7, 8, 2**20 - 1, 2**20, 2**40])
    assert time_bucket(seconds).tolist() == [0, 0, 0, 2, 3, 4, 4, 5, 5, 6, 39, 40, 63]
