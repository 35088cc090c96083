"""The linear block written out as its definition, one sequence at a time: slow and plain."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from everfresh.model.network.hstu import HSTU
from everfresh.model.network.linear import LinearBlock


def outputs(network: HSTU, tokens: list[tuple[int, int, int, int]]) -> Tensor:
    """User vectors ``(n, dim)`` for tokens ``(row, action, value, seconds)``, START first."""
    rows, actions, values, times = (torch.tensor(column) for column in zip(*tokens, strict=True))
    items = torch.cat([network.start[None], network.items[rows[1:]]])
    x = items + network.actions[actions] + network.values[values]
    x = x * math.sqrt(x.shape[1])
    stamps = torch.cummax(times, 0).values
    for block in network.blocks:
        assert isinstance(block, LinearBlock)
        x = one_block(block, x, stamps)
    return functional.normalize(x, dim=-1, eps=1e-6)


def one_block(block: LinearBlock, x: Tensor, stamps: Tensor) -> Tensor:
    length, dim = x.shape
    normed = block.norm(x)
    wide = 2 * dim + block.timed
    gate, q, k, v = functional.silu(normed @ block.w1).split([wide, dim, dim, dim], 1)
    timed, placed = (normed @ block.wv).split([block.timed, dim], 1)
    causal = torch.ones(length, length).tril()
    places = torch.arange(length)
    apart = (places[:, None] - places).clamp(min=0)

    meant = []
    evenly = [-1 - 7 * (head + 1) / (block.heads + 1) for head in range(block.heads)]
    parts = (z.chunk(block.heads, 1) for z in (q, k, v))
    for head, (qh, kh, vh) in enumerate(zip(*parts, strict=True)):
        rate = 2 ** evenly[head] * torch.exp(block.rates[head])
        meant.append(((qh @ kh.T) * torch.exp(-rate * apart) * causal) @ vh)

    since = (stamps[:, None] - stamps).clamp(min=0).double()
    by_time = []
    for number, part in enumerate(timed.chunk(16, 1)):
        turn = 2 * math.pi * since / 16 ** (number % 8)
        wave = torch.cos(turn) if number < 8 else torch.sin(turn)
        by_time.append((wave * 2**-turn * causal).to(part.dtype) @ part)

    kernel = torch.zeros(length, length, dtype=x.dtype)
    for number in range(16):
        turn = 10_000 ** (-number / 16) * apart
        cos, sin = (1 + block.waves[0, number]), block.waves[1, number]
        kernel = kernel + (cos * torch.cos(turn) + sin * torch.sin(turn)) / 16
    by_place = block.placed[0] * ((kernel * causal) @ placed) + (1 + block.placed[1]) * placed

    channels = [torch.cat(meant, 1), torch.cat(by_time, 1), by_place]
    h = x + (torch.cat([block.norm(c) for c in channels], 1) * gate) @ block.w2
    scaled = h / torch.sqrt((h**2).mean(1, keepdim=True) + block.epsilon)
    f1, f3 = block.f1.chunk(2, 1)
    return h + (functional.silu(scaled @ f1) * (scaled @ f3)) @ block.f2
