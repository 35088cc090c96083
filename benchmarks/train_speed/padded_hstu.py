"""The same network and loss in plain PyTorch on padded sequences: what most would write.

Every batch is one rectangle, attention is dense under a mask, the loss keeps all its logits, and
autograd makes all gradients. The parts can be put into the product one by one, for ablation.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from everfresh.contracts.settings import ModelSettings
from everfresh.model.network.attention_tiles import TileLayout
from everfresh.model.network.batches import Batch
from everfresh.model.network.hstu import HSTU, Block, time_bucket


def dropout(x: Tensor, share: float) -> Tensor:
    """torch's own."""
    return functional.dropout(x, share, share > 0)


def cross_entropy(
    users: Tensor, own: Tensor, negatives: Tensor, bias: Tensor, clashes: Tensor
) -> Tensor:
    """The loss of ``model.network.losses`` with all logits at once."""
    others = torch.addmm(bias, users, negatives.T)
    drawn = torch.arange(len(bias))
    others = others.masked_fill(drawn == clashes[:, None], -torch.inf)
    logits = torch.cat([own[:, None], others], dim=1)
    return functional.cross_entropy(logits, torch.zeros_like(clashes), reduction="sum")


def dense(
    vqk: Tensor, bucket: Tensor, position_bias: Tensor, time_bias: Tensor, heads: int
) -> Tensor:
    """Pointwise attention of rectangles: ``(B, L, 3 dim)`` to ``(B, L, dim)``."""
    number, length, _ = vqk.shape
    v, q, k = vqk.view(number, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
    steps = torch.arange(length)
    bias = position_bias[(steps[:, None] - steps).clamp(min=0)] + time_bias[bucket]
    scores = functional.silu(q @ k.transpose(-1, -2) + bias.unsqueeze(1))
    attended = (scores * torch.ones(length, length).tril()) @ v
    return attended.transpose(1, 2).reshape(number, length, -1) / len(position_bias)


def tile_by_tile(
    vqk: Tensor, position_bias: Tensor, time_bias: Tensor, layout: TileLayout, heads: int
) -> Tensor:
    """``model.network.attention.attend`` on the same tiles, with autograd's gradients."""
    parts, places = [], []
    for tile in layout.tiles:
        number, length = tile.shape
        (rows,) = tile.rows
        taken = tile.spread(vqk).view(number, length, -1)
        parts.append(dense(taken, rows.bucket, position_bias, time_bias, heads).flatten(0, 1))
        span = torch.arange(tile.begin, tile.begin + number * length)
        places.append(span if tile.put is None else tile.put)
    flat = torch.cat(parts)
    out = flat.new_zeros(layout.tokens + 1, flat.shape[1])
    return out.index_copy(0, torch.cat(places), flat)[:-1]


class PaddedHSTU(HSTU):
    """HSTU on ``(B, L, dim)``; ``L`` is ``length``, or the longest of the batch where that is 0."""

    def __init__(self, settings: ModelSettings, length: int) -> None:
        super().__init__(settings)
        self.length = length

    def forward(self, batch: Batch, share: float = 0.0) -> Tensor:
        """Unit-length user vectors of the real tokens, ``(T, dim)``."""
        lengths = batch.offsets.diff()
        steps = torch.arange(self.length or int(lengths.max()))
        real = steps < lengths[:, None]
        places = torch.where(real, batch.offsets[:-1, None] + steps, batch.offsets[:-1, None])
        rectangle = Batch(
            *(getattr(batch, name)[places] for name in ("rows", "actions", "values", "times")),
            offsets=torch.arange(len(lengths) + 1) * len(steps),
            targets=batch.targets,
            predicts=batch.predicts,
        )
        x = dropout(self.embed(rectangle), share)
        stamps = rectangle.times
        bucket = time_bucket(stamps[:, :, None] - stamps[:, None, :])
        for block in self.blocks:
            x = self.block(block, x, bucket, share)
        return functional.normalize(x[real], dim=-1, eps=1e-6)

    def embed(self, batch: Batch) -> Tensor:
        """Embeddings of ``(B, L)`` tokens."""
        first = torch.arange(batch.rows.shape[1]) == 0
        x = functional.embedding(batch.rows, self.items) * ~first[:, None]
        x = x + functional.embedding(batch.actions, self.actions)
        x = x + functional.embedding(batch.values, self.values)
        return (x + first[:, None] * self.start) * x.shape[-1] ** 0.5

    def block(self, block: Block, x: Tensor, bucket: Tensor, share: float) -> Tensor:
        """One block as in ``model.network.hstu``."""
        dim = x.shape[-1]
        projected = functional.silu(block.norm(x) @ block.w1)
        gate, vqk = torch.split(projected, [dim, 3 * dim], dim=-1)
        attended = dense(vqk, bucket, block.position_bias, block.time_bias, block.heads)
        gated = block.norm(attended) * gate
        return x + dropout(gated, share) @ block.w2 + block.b2
