from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn import functional

from model import losses
from model.losses import sampled_cross_entropy


def inputs(tokens: int, drawn: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    users, own, negatives, bias = (
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((tokens, 3), (tokens,), (drawn, 3), (drawn,))
    )
    return users, own, negatives, bias, torch.randint(-1, drawn, (tokens,), generator=generator)


def plain(users: Tensor, own: Tensor, negatives: Tensor, bias: Tensor, clashes: Tensor) -> Tensor:
    """Token by token, softmax over the target and the drawn items that are not the target."""
    total = torch.zeros((), dtype=torch.float64)
    for token in range(len(users)):
        others = [
            (users[token] * negatives[at]).sum() + bias[at]
            for at in range(len(bias))
            if at != int(clashes[token])
        ]
        logits = torch.stack([own[token], *others])
        total = total + functional.cross_entropy(logits[None], torch.tensor([0]))
    return total


@settings(max_examples=30, deadline=None)
@given(tokens=st.integers(1, 6), drawn=st.integers(2, 5), seed=st.integers(0, 10**6))
def test_the_loss_and_its_gradients_equal_a_softmax_written_out(
    tokens: int, drawn: int, seed: int
) -> None:
    given_inputs = inputs(tokens, drawn, seed)
    found, expected = sampled_cross_entropy(*given_inputs), plain(*given_inputs)
    torch.testing.assert_close(found, expected)
    for mine, theirs in zip(
        torch.autograd.grad(found, given_inputs[:4]),
        torch.autograd.grad(expected, given_inputs[:4]),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("cells", [1, 7, 2**17])
def test_the_gradient_of_the_loss_equals_finite_differences_however_it_is_cut(
    monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    monkeypatch.setattr(losses, "_CELLS", cells)
    *parameters, clashes = inputs(5, 4, 2)
    assert gradcheck(lambda *given: sampled_cross_entropy(*given, clashes), tuple(parameters))


def test_logits_of_any_size_stay_finite() -> None:
    users, own, negatives, bias, clashes = inputs(3, 4, 1)
    for shift in (-1e6, 1e6):
        value = sampled_cross_entropy(users, own + shift, negatives, bias, clashes)
        assert torch.isfinite(value)
