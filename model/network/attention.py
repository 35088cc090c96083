"""HSTU's pointwise attention on packed sequences, forward and backward, one tile at a time.

Equation 2 of arXiv 2402.17152, without the normalisation: ``silu(Q K^T + rab) V / N`` under a
causal mask, where ``rab[i, j]`` is one number per distance in positions plus one per bucket of the
distance in time. What the paper's kernel (section 3.2) does for a GPU's memory is done here for a
processor's cache: each step from scores to result works in place on one tile, and keys that no
query of some rows may see are left out. Of everything in between only the scores are kept for the
backward pass: ``4 * heads * T * L`` bytes at most for ``T`` tokens in sequences of ``L``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from everfresh.model.network.attention_tiles import Tile, TileLayout, TileQueries


def attend(
    values_queries_keys: Tensor,
    position_bias: Tensor,
    time_bias: Tensor,
    layout: TileLayout,
    heads: int,
) -> Tensor:
    """Attention of packed tokens, ``(T, 3 dim)`` to ``(T, dim)``.

    ``position_bias`` ``(N,)``: one number per distance in positions; its length is the ``N`` of
    the formula, so that an output does not depend on what it is batched with. ``time_bias``: one
    number per bucket of the layout.
    """
    function: Callable[..., Tensor] = _Attention.apply
    return function(values_queries_keys, position_bias, time_bias, layout, heads)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        vqk: Tensor,
        position_bias: Tensor,
        time_bias: Tensor,
        layout: TileLayout,
        heads: int,
    ) -> Tensor:
        ctx.save_for_backward(vqk)
        ctx.bias_shapes = position_bias.shape, time_bias.shape
        ctx.layout, ctx.heads, ctx.scores = layout, heads, []
        kept = any(ctx.needs_input_grad)
        position = position_bias[_distances(layout, vqk)]
        out = vqk.new_empty(layout.tokens + 1, vqk.shape[1] // 3)
        for tile in layout.tiles:
            v, q, k = _split_heads(tile.spread(vqk), tile, heads, 3)
            attended = torch.empty_like(v)
            for rows in tile.rows:
                scores = _scores(q, k, rows, position, time_bias)
                weights = functional.silu(scores, inplace=not kept).tril_(rows.begin)
                attended[:, rows.begin : rows.end] = torch.bmm(weights, v[:, : rows.end])
                if kept:
                    ctx.scores.append(scores)
            tile.join(_join_heads(attended[None], tile), out)
        return out[:-1].div_(len(position_bias))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (vqk,) = ctx.saved_tensors
        layout, heads = ctx.layout, ctx.heads
        distance_grad, time_grad = (vqk.new_zeros(shape) for shape in ctx.bias_shapes)
        out_grad = grads[0] / len(distance_grad)
        distances = _distances(layout, vqk)
        position_grad = vqk.new_zeros(distances.shape)
        kept = iter(ctx.scores)
        vqk_grad = vqk.new_empty(layout.tokens + 1, vqk.shape[1])
        for tile in layout.tiles:
            inputs = _split_heads(tile.spread(vqk), tile, heads, 3)
            o_grad = _split_heads(tile.spread_zeros(out_grad), tile, heads, 1)[0]
            input_grads = torch.zeros_like(inputs)
            for rows in tile.rows:
                scores = next(kept)
                score_grad = _rows_backward(inputs, o_grad, input_grads, scores, rows)
                position_grad[rows.begin : rows.end, : rows.end] += score_grad.sum(0)
                if heads > 1:
                    score_grad = score_grad.view(-1, heads, *scores.shape[1:]).sum(1)
                time_grad.scatter_add_(0, rows.bucket.view(-1), score_grad.view(-1))
            tile.join(_join_heads(input_grads, tile), vqk_grad)
        distance_grad.scatter_add_(0, distances.view(-1), position_grad.view(-1))
        return vqk_grad[:-1], distance_grad, time_grad, None, None


def _rows_backward(
    inputs: Tensor, o_grad: Tensor, input_grads: Tensor, scores: Tensor, rows: TileQueries
) -> Tensor:
    """Add the gradients of values, queries and keys; return that of the scores."""
    (v, q, k), (v_grad, q_grad, k_grad) = inputs, input_grads
    part, seen = slice(rows.begin, rows.end), slice(rows.end)
    o_part = o_grad[:, part]
    weights = functional.silu(scores).tril_(rows.begin)
    v_grad[:, seen].baddbmm_(weights.mT, o_part)
    weights_grad = torch.bmm(o_part, v[:, seen].mT)
    score_grad: Tensor = torch.ops.aten.silu_backward(weights_grad, scores).tril_(rows.begin)
    q_grad[:, part] = torch.bmm(score_grad, k[:, seen])
    k_grad[:, seen].baddbmm_(score_grad.mT, q[:, part])
    return score_grad


def _split_heads(spread: Tensor, tile: Tile, heads: int, parts: int) -> Tensor:
    """``(B * L, parts dim)`` to ``(parts, B * heads, L, dim / heads)``, contiguous."""
    number, length = tile.shape
    split = spread.view(number, length, parts, heads, -1).permute(2, 0, 3, 1, 4)
    return split.reshape(parts, number * heads, length, -1)


def _join_heads(parted: Tensor, tile: Tile) -> Tensor:
    """The inverse of :func:`_split_heads`."""
    number, length = tile.shape
    parts, heads = parted.shape[0], parted.shape[1] // number
    joined = parted.view(parts, number, heads, length, -1).permute(1, 3, 0, 2, 4)
    return joined.reshape(number * length, -1)


def _scores(q: Tensor, k: Tensor, rows: TileQueries, position: Tensor, time_bias: Tensor) -> Tensor:
    """``Q K^T + rab`` of some rows of a tile, ``(B * heads, end - begin, end)``."""
    bias = time_bias.index_select(0, rows.bucket.view(-1)).view(rows.bucket.shape)
    bias += position[rows.begin : rows.end, : rows.end]
    if len(q) > len(bias):
        bias = bias.repeat_interleave(len(q) // len(bias), dim=0)
    return bias.baddbmm_(q[:, rows.begin : rows.end], k[:, : rows.end].mT)


def _distances(layout: TileLayout, like: Tensor) -> Tensor:
    """``(L, L)`` distances in positions, 0 above the diagonal, for the longest sequence."""
    steps = torch.arange(layout.longest, device=like.device)
    return (steps[:, None] - steps).clamp(min=0)
