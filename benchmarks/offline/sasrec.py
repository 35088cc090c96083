"""SASRec (Kang and McAuley 2018, arXiv 1808.09781) behind the recommender's interface: a control.

As the published control of HSTU has it: sinusoid-free learnt positions, softmax attention, a
pointwise feed-forward layer as wide as the model, and the loss of HSTU. Inputs, items and loss are
inherited, so that the blocks are all that differs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from everfresh.contracts.settings import ModelSettings
from everfresh.model.network.batches import Batch
from everfresh.model.network.hstu import HSTU, thin


class Transformer(nn.Module):
    """One block on padded sequences, ``(B, L, dim)`` to ``(B, L, dim)``."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        dim = settings.dim
        self.heads = settings.heads
        self.projections = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.feed = nn.ModuleList([nn.Linear(dim, dim), nn.Linear(dim, dim)])

    def forward(self, x: Tensor, dropout: float) -> Tensor:
        """Queries are normed, keys and values are not, as published."""
        dim = x.shape[-1]
        normed = functional.layer_norm(x, (dim,), eps=1e-8)
        weight, bias = self.projections.weight, self.projections.bias
        query = functional.linear(normed, weight[:dim], bias[:dim])
        key, value = functional.linear(x, weight[dim:], bias[dim:]).split(dim, dim=-1)
        parts = [
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (query, key, value)
        ]
        attended = functional.scaled_dot_product_attention(
            *parts, dropout_p=dropout, is_causal=True
        )
        x = normed + self.out(attended.transpose(1, 2).flatten(2))
        x = functional.layer_norm(x, (dim,), eps=1e-8)
        hidden = thin(functional.relu(self.feed[0](x)), dropout)
        return x + thin(self.feed[1](hidden), dropout)


class SASRec(HSTU):
    """SASRec's blocks and positions in HSTU's place."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        self.positions = nn.Parameter(torch.empty(settings.max_length, settings.dim))
        self.blocks = nn.ModuleList(Transformer(settings) for _ in range(settings.blocks))

    def initialise(self, generator: torch.Generator) -> None:
        """HSTU's for the embeddings; matrices Xavier-normal, biases zero, as published."""
        super().initialise(generator)
        with torch.no_grad():
            self.positions.normal_(0.0, self.positions.shape[1] ** -0.5, generator=generator)
            for weight in self.blocks.parameters():
                spread = math.sqrt(2 / sum(weight.shape)) if weight.dim() == 2 else 0.0
                weight.normal_(0.0, spread, generator=generator)

    def forward(self, batch: Batch, dropout: float = 0.0) -> Tensor:
        """Unit-length user vectors, ``(T, dim)``."""
        lengths = batch.offsets.diff()
        steps = torch.arange(int(lengths.max()), device=lengths.device)
        real = steps < lengths[:, None]
        places = torch.where(real, batch.offsets[:-1, None] + steps, 0)
        x = self.embed(batch)[places] + self.positions[: len(steps)]
        x = thin(x, dropout)
        for block in self.blocks:
            x = block(x, dropout)
        return functional.normalize(x[real], dim=-1, eps=1e-6)
