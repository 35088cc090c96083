"""Batched inference: several histories in one run of the network, each as if read alone.

Windows are padded to the longest, after their last event, where causality hides it. A run of eight
costs each a third of what it costs alone: fewer, larger products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from everfresh.model.inference.incremental import Codes, HistoryStates, embed_tokens
from everfresh.model.network.hstu import HSTU, Block, time_bucket

_UNSEEN = -1e4
"""A bias that no score outweighs: silu of the sum is exactly zero."""

Heads = tuple[Tensor, Tensor]
"""Keys and values ``(B, heads, n, dim / heads)``."""


@dataclass(frozen=True)
class _Padded:
    """``B`` windows of at most ``n`` tokens, START first; ``ends`` ``(B,)`` are their last tokens.

    ``apart`` and ``bucket`` say of the first blocks' pairs of tokens how far apart they are, in
    positions ``(n, n)`` (negative: not seen) and in time ``(B * n * n,)``; the last block asks for
    the last token of each alone, ``(B, n)`` both.
    """

    tokens: Tensor
    ends: Tensor
    apart: Tensor
    bucket: Tensor
    last_apart: Tensor
    last_bucket: Tensor


def read_batched(
    network: HSTU, windows: Sequence[Codes], max_length: int
) -> list[tuple[HistoryStates, Tensor]]:
    """The states of each window of events, and the unit-length user vector ``(dim,)`` after it.

    To within rounding what :meth:`HistoryStates.extend` gives each. At least one window, and one
    event in each.
    """
    with torch.inference_mode():
        padded = _padded(windows)
        x = embed_tokens(network, padded.tokens, with_start=True)
        states: list[Heads] = []
        for block in network.blocks:
            assert isinstance(block, Block)
            read = _last_token_block if block is network.blocks[-1] else _all_tokens_block
            x, kept = read(block, x, padded)
            states.append(kept)
        vectors = functional.normalize(x, dim=-1, eps=1e-6)
        times, ends = padded.tokens[3], padded.ends.tolist()
        return [
            (_own(max_length, states, times[at, : end + 1], at), vectors[at].clone())
            for at, end in enumerate(ends)
        ]


def _padded(windows: Sequence[Codes]) -> _Padded:
    lengths = [1 + window.shape[1] for window in windows]
    tokens = np.zeros((4, len(windows), max(lengths)), dtype=np.int64)
    for at, window in enumerate(windows):
        tokens[:, at, 1 : lengths[at]] = window
        tokens[3, at, 0] = window[3, 0]
    times, ends = torch.from_numpy(tokens[3]), torch.tensor(lengths) - 1
    steps = torch.arange(max(lengths))
    last = times.gather(1, ends[:, None])
    return _Padded(
        torch.from_numpy(tokens),
        ends,
        steps[:, None] - steps,
        time_bucket(times[:, :, None] - times[:, None, :]).view(-1),
        ends[:, None] - steps,
        time_bucket(last - times),
    )


def _projected(block: Block, normed: Tensor, parts: slice = slice(None)) -> tuple[Tensor, ...]:
    """Equation 1, or parts of it: of gates, values, queries and keys, each ``(..., dim)``."""
    dim = normed.shape[-1]
    weights = block.w1.view(dim, 4, dim)[:, parts].reshape(dim, -1)
    return functional.silu(normed @ weights).view(*normed.shape[:-1], -1, dim).unbind(-2)


def _by_head(block: Block, x: Tensor) -> Tensor:
    number, length, _ = x.shape
    return x.reshape(number, length, block.heads, -1).transpose(1, 2)


def _position(block: Block, apart: Tensor) -> Tensor:
    return torch.where(apart < 0, _UNSEEN, block.position_bias[apart.clamp(min=0)])


def _all_tokens_block(block: Block, x: Tensor, padded: _Padded) -> tuple[Tensor, Heads]:
    """One block for all tokens, ``(B, n, dim)`` to the same."""
    gate, values, queries, keys = _projected(block, block.norm(x))
    kept = _by_head(block, keys).contiguous(), _by_head(block, values).contiguous()
    number, length, dim = x.shape
    bias = block.time_bias.index_select(0, padded.bucket).view(number, 1, length, length)
    bias += _position(block, padded.apart)
    scores = (_by_head(block, queries) @ kept[0].mT).add_(bias)
    attended = functional.silu(scores, inplace=True) @ kept[1]
    attended = attended.transpose(1, 2).reshape(-1, dim) / block.length
    return _closed(block, x.view(-1, dim), gate.reshape(-1, dim), attended).view_as(x), kept


def _last_token_block(block: Block, x: Tensor, padded: _Padded) -> tuple[Tensor, Heads]:
    """The same for the last token of each alone, ``(B, dim)``: nobody looks at the others."""
    normed, at = block.norm(x), (torch.arange(len(x)), padded.ends)
    values, keys = _projected(block, normed, slice(1, None, 2))
    gate, queries = _projected(block, normed[at], slice(0, None, 2))
    kept = _by_head(block, keys).contiguous(), _by_head(block, values).contiguous()
    bias = _position(block, padded.last_apart) + block.time_bias[padded.last_bucket]
    scores = _by_head(block, queries[:, None]) @ kept[0].mT + bias[:, None, None]
    attended = (functional.silu(scores) @ kept[1]).flatten(1) / block.length
    return _closed(block, x[at], gate, attended), kept


def _closed(block: Block, x: Tensor, gate: Tensor, attended: Tensor) -> Tensor:
    """Equation 3."""
    return torch.addmm(x + block.b2, block.norm(attended) * gate, block.w2)


def _own(max_length: int, states: list[Heads], times: Tensor, at: int) -> HistoryStates:
    """One user's part, in memory of its own: the others' may be let go before it."""
    number = len(times)
    keys, values = ([kept[part][at, :, :number].clone() for kept in states] for part in (0, 1))
    return HistoryStates.of(max_length, keys, values, times.clone())
