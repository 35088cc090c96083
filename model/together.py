"""Several users' pasts in one run of the network, which has costs that do not grow with them.

What it keeps of each user and makes of them is what :meth:`PastStates.extend` would, within
rounding. Shorter pasts are padded at their ends, which no token before looks at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from model.hstu import HSTU, Block, time_bucket
from model.incremental import Codes, PastStates

AT_ONCE = 8
"""Pasts in one run; more save little, and whoever came first would wait for them."""
LONGEST = 255
"""Events of a past that goes with others: beyond, its own products are what takes the time."""


def read_together(
    network: HSTU, pasts: Sequence[Codes], max_length: int
) -> list[tuple[PastStates, Tensor]]:
    """The states and the user vector ``(dim,)`` of each past, which has an event at least."""
    counts = torch.tensor([codes.shape[1] + 1 for codes in pasts])
    tokens = torch.zeros(4, len(pasts), int(counts.max()), dtype=torch.long)
    for at, codes in enumerate(pasts):
        tokens[3, at, 0] = int(codes[3, 0])  # START comes with the first event
        tokens[:, at, 1 : counts[at]] = torch.from_numpy(np.ascontiguousarray(codes))
    with torch.inference_mode():
        kept, last = _forward(network, tokens, counts - 1)
        vectors = functional.normalize(last, dim=-1, eps=1e-6)
        return [
            (PastStates.of(max_length, [(k[at], v[at]) for k, v in kept], tokens[3, at], n), one)
            for at, (n, one) in enumerate(zip(counts.tolist(), vectors, strict=True))
        ]


def _forward(
    network: HSTU, tokens: Tensor, last: Tensor
) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
    """Keys and values ``(n, heads, m, width)`` of each block, and the output at ``last``."""
    rows, actions, values, times = tokens
    users, length = rows.shape
    x = network.items[rows]
    x[:, 0] = network.start
    x = (x + network.actions[actions] + network.values[values]) * math.sqrt(x.shape[-1])
    distance = (torch.arange(length)[:, None] - torch.arange(length)).expand(users, -1, -1)
    bucket = time_bucket(times[:, :, None] - times[:, None, :])
    each = torch.arange(users)
    kept = []
    for number, block in enumerate(network.blocks):
        assert isinstance(block, Block)
        gate, v, q, k = _projected(block, x)
        heads = k.transpose(1, 2), v.transpose(1, 2)
        kept.append(heads)
        if number == len(network.blocks) - 1:
            # Nobody looks at what the last block makes of any token but the last.
            x, gate, q = (one[each, last][:, None] for one in (x, gate, q))
            distance, bucket = (one[each, last][:, None] for one in (distance, bucket))
        x = _attended(block, (x, gate, q), heads, (distance, bucket))
    return kept, x[:, 0]


def _projected(block: Block, x: Tensor) -> list[Tensor]:
    """Gates ``(n, m, dim)``, then values, queries and keys ``(n, m, heads, width)``."""
    users, length, dim = x.shape
    projected = functional.silu(functional.layer_norm(x, (dim,)) @ block.w1)
    gate, *rest = projected.view(users, length, 4, dim).unbind(2)
    return [gate, *(one.reshape(users, length, block.heads, -1) for one in rest)]


def _attended(
    block: Block,
    asking: tuple[Tensor, Tensor, Tensor],
    heads: tuple[Tensor, Tensor],
    places: tuple[Tensor, Tensor],
) -> Tensor:
    """Equations 2 and 3 (see ``model.hstu``) for the tokens that ask, of every user."""
    (x, gate, q), (keys, values), (distance, bucket) = asking, heads, places
    bias = block.position_bias[distance.clamp(min=0)] + block.time_bias[bucket]
    scores = functional.silu(q.transpose(1, 2) @ keys.transpose(-1, -2) + bias[:, None])
    scores = scores * (distance >= 0)[:, None]
    attended = (scores @ values).transpose(1, 2).reshape(x.shape) / block.length
    gated = functional.layer_norm(attended, x.shape[-1:]) * gate
    return x + block.b2 + gated @ block.w2
