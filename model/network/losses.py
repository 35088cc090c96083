"""Softmax cross-entropy of targets against sampled items, fused with its gradient.

Sampled softmax with unit vectors and a temperature, as in section 4.1 of arXiv 2402.17152, whose
published code draws negatives for each token and masks those that are the target. Here one draw
serves the whole batch, so that its logits are one matrix product, made and used a tile at a time:
neither logits nor probabilities of all tokens are ever kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_CELLS = 2**19
"""Logits of a tile: few enough for a processor's cache, enough that the calls cost nothing."""


def sampled_cross_entropy(
    users: Tensor, own: Tensor, negatives: Tensor, bias: Tensor, clashes: Tensor
) -> Tensor:
    """Sum over tokens of ``log(exp(own) + sum exp(others)) - own``; a scalar.

    ``users`` ``(n, dim)``, ``own`` ``(n,)`` the logits of the targets, ``negatives`` ``(m, dim)``
    and ``bias`` ``(m,)`` the drawn items: ``others = users @ negatives.T + bias``. ``clashes``
    ``(n,)`` names the drawn item that is the token's target and therefore counts as none of the
    others, -1 where there is none.
    """
    function: Callable[..., Tensor] = _SampledCrossEntropy.apply
    return function(users, own, negatives, bias, clashes)


class _SampledCrossEntropy(torch.autograd.Function):
    """The gradient is made with the value, as in the fused cross-entropy of Liger Kernel."""

    @staticmethod
    def forward(
        ctx: Any, users: Tensor, own: Tensor, negatives: Tensor, bias: Tensor, clashes: Tensor
    ) -> Tensor:
        total = users.new_zeros(())
        users_grad, own_grad = torch.empty_like(users), torch.empty_like(own)
        negatives_grad, bias_grad = torch.zeros_like(negatives), torch.zeros_like(bias)
        step = max(1, _CELLS // max(1, len(bias)))
        for begin in range(0, len(users), step):
            part = slice(begin, begin + step)
            odds = torch.addmm(bias, users[part], negatives.T)
            hit = torch.nonzero(clashes[part] >= 0).squeeze(1)
            odds[hit, clashes[part][hit]] = -torch.inf
            top = torch.maximum(odds.amax(1), own[part])
            odds = odds.sub_(top[:, None]).exp_()
            whole = odds.sum(1) + torch.exp(own[part] - top)
            total += (torch.log(whole) + top - own[part]).sum()
            shares = odds.div_(whole[:, None])
            own_grad[part] = torch.exp(own[part] - top) / whole - 1
            torch.mm(shares, negatives, out=users_grad[part])
            negatives_grad.addmm_(shares.T, users[part])
            bias_grad += shares.sum(0)
        ctx.save_for_backward(users_grad, own_grad, negatives_grad, bias_grad)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return *(saved * grads[0] for saved in ctx.saved_tensors), None
