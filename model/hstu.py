"""The network: Hierarchical Sequential Transduction Units (Zhai et al. 2024, arXiv 2402.17152).

Section 3.1 of the paper, equations 1 to 3, for one block with input ``X``:

    U, V, Q, K = split(silu(norm(X) W1))
    A V        = silu(Q K^T + rab) / N  V        pointwise, not softmax: intensities survive
    Y          = norm(A V) * U W2 + X

``rab`` is the relative bias of section 3.1: one number per distance in positions and one per
bucket of the distance in time. ``N`` is the constant ``max_length``, so that a sequence's output
does not depend on what it is batched with. Items and actions are summed into one token (section
2.2 interleaves them; summing halves the length). Unlike the published code, the time bias looks
only at times of events already seen: the time of the event to predict is not an input.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from contracts.settings import ModelSettings
from model.batches import VALUE_BUCKETS, Batch
from model.packing import Group, Layout
from model.vocabulary import MAX_ACTIONS

TIME_BUCKETS = 48
_BUCKETS_PER_DOUBLING = 1.5


def time_bucket(seconds: Tensor) -> Tensor:
    """Bucket of a distance in time: ``floor(1.5 log2(max(1, s)))``, below ``TIME_BUCKETS``."""
    doublings = torch.log2(seconds.clamp(min=1).to(torch.float32))
    return (doublings * _BUCKETS_PER_DOUBLING).long().clamp(max=TIME_BUCKETS - 1)


class Block(nn.Module):
    """One HSTU block on packed tokens, ``(T, dim)`` to ``(T, dim)``."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        dim = settings.dim
        self.heads = settings.heads
        self.length = settings.max_length
        self.w1 = nn.Parameter(torch.empty(dim, 4 * dim))
        self.w2 = nn.Parameter(torch.empty(dim, dim))
        self.b2 = nn.Parameter(torch.zeros(dim))
        self.position_bias = nn.Parameter(torch.empty(settings.max_length))
        self.time_bias = nn.Parameter(torch.empty(TIME_BUCKETS))

    def forward(self, x: Tensor, layout: Layout, dropout: float) -> Tensor:
        """Equations 1 to 3; ``dropout`` is applied before ``W2``, as in the published code."""
        dim = x.shape[-1]
        projected = functional.silu(functional.layer_norm(x, (dim,)) @ self.w1)
        gate, values_queries_keys = torch.split(projected, [dim, 3 * dim], dim=-1)
        attended = layout.join(
            [
                self._attend(layout.spread(values_queries_keys, group), group)
                for group in layout.groups
            ]
        )
        gated = functional.layer_norm(attended, (dim,)) * gate
        return torch.addmm(x + self.b2, functional.dropout(gated, dropout, dropout > 0), self.w2)

    def _attend(self, spread: Tensor, group: Group) -> Tensor:
        """Pointwise attention of one group: ``(B, L, 3 dim)`` to ``(B, L, dim)``."""
        batch, length, _ = spread.shape
        v, q, k = spread.view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.position_bias[group.distance] + self.time_bias[group.bucket]
        scores = functional.silu(q @ k.transpose(-1, -2) + bias.unsqueeze(1))
        attended: Tensor = (scores * group.causal) @ v
        return attended.transpose(1, 2).reshape(batch, length, -1) / self.length


class HSTU(nn.Module):
    """Embeddings, blocks, and the item table that is input and output at once.

    The item table starts with row 0 (the cold row) alone, which is zero until it is trained; the
    recommender grows the table with its vocabulary (see ``model.weights``).
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        dim = settings.dim
        self.items = nn.Parameter(torch.zeros(1, dim))
        self.item_bias = nn.Parameter(torch.zeros(1))
        self.popularity = nn.Parameter(torch.tensor(1.0))
        self.start = nn.Parameter(torch.empty(dim))
        self.actions = nn.Parameter(torch.empty(MAX_ACTIONS + 1, dim))
        self.values = nn.Parameter(torch.empty(VALUE_BUCKETS, dim))
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.blocks))

    def initialise(self, generator: torch.Generator) -> None:
        """Fill all weights but the item table; normal of 0.02, ``W2`` Xavier-uniform."""
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if name.endswith("w2"):
                    bound = math.sqrt(6 / sum(weight.shape))
                    weight.uniform_(-bound, bound, generator=generator)
                elif name.split(".")[-1] not in ("items", "item_bias", "popularity", "b2"):
                    weight.normal_(0.0, 0.02, generator=generator)

    def forward(self, batch: Batch, dropout: float = 0.0) -> Tensor:
        """Unit-length user vectors, ``(T, dim)``: the one at token p stands before event p."""
        layout = Layout.of(batch.offsets, batch.times, time_bucket)
        scale = math.sqrt(self.items.shape[1])
        starts = batch.offsets[:-1]
        # START carries row 0, which is also the cold row of items: it must not teach that one.
        x = functional.embedding(batch.rows, self.items).index_fill(0, starts, 0.0) * scale
        x = x + functional.embedding(batch.actions, self.actions) * scale
        x = x + functional.embedding(batch.values, self.values) * scale
        x = x.index_add(0, starts, (self.start * scale).expand(len(starts), -1))
        x = functional.dropout(x, dropout, dropout > 0)
        for block in self.blocks:
            x = block(x, layout, dropout)
        return functional.normalize(x, dim=-1, eps=1e-6)
