"""The network: Hierarchical Sequential Transduction Units (Zhai et al. 2024, arXiv 2402.17152).

Section 3 of the paper, equations 1 to 3, for one block with input ``X``:

    U, V, Q, K = split(silu(norm(X) W1))                                          (1)
    A V        = silu(Q K^T + rab) / N  V                                         (2)
    Y          = norm(A V) * U W2 + X                                             (3)

(2) is pointwise, not softmax, so that the intensity of an interest survives (section 3.1); the
product with ``U`` in (3) gates it. ``rab`` is the relative bias: one number per distance in
positions and one per bucket of the distance in time. ``N`` is the constant ``max_length``, so that
a sequence's output does not depend on what it is batched with.

Where this is not the published code: items, actions and values are summed into one token (section
2.2 interleaves them; summing halves the length), there are no absolute positions, and the time
bias looks only at times of events already seen: the time of the event to predict is no input.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from everfresh.contracts.settings import ModelSettings
from everfresh.model.network.attention import attend
from everfresh.model.network.attention_tiles import TileLayout
from everfresh.model.network.batches import VALUE_BUCKETS, Batch
from everfresh.model.network.row_reads import RowReads
from everfresh.model.vocabulary.vocabulary import MAX_ACTIONS

TIME_BUCKETS = 64
_MANTISSA_BITS = 23
_ONE = 127


def time_bucket(seconds: Tensor) -> Tensor:
    """Bucket of a distance in time: two per doubling of the seconds, below ``TIME_BUCKETS``.

    ``floor(2 log2(s))`` with the logarithm drawn straight between powers of two, which is what the
    bits of a 32-bit float say: the same on every machine, and no logarithm is taken. The published
    code has ``floor(ln(s) / 0.301)``, 2.3 per doubling. Distances below a second count as one.
    """
    bits = seconds.to(torch.float32).clamp_(min=1.0).view(torch.int32)
    halves = bits.bitwise_right_shift_(_MANTISSA_BITS - 1).sub_(2 * _ONE)
    return halves.clamp_(max=TIME_BUCKETS - 1).long()


def thin(x: Tensor, share: float) -> Tensor:
    """Dropout, with a byte of randomness for each number: ``share`` counts in steps of 1/256.

    What stays is scaled by the exact share. torch draws 8 bytes and more, which costs as much as a
    matrix product.
    """
    dropped = round(share * 256)
    if not dropped:
        return x
    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device)
    kept = words.random_(-(2**63), None).view(torch.uint8)[: x.numel()] >= dropped
    # A bool seen as a byte converts many times faster.
    scale = kept.view(torch.uint8).to(x.dtype).mul_(256 / (256 - dropped))
    return x * scale.view(x.shape)


class Block(nn.Module):
    """One HSTU block on packed tokens, ``(T, dim)`` to ``(T, dim)``."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        dim = settings.dim
        self.heads = settings.heads
        self.length = settings.max_length
        self.epsilon = settings.epsilon
        self.w1 = nn.Parameter(torch.empty(dim, 4 * dim))
        self.w2 = nn.Parameter(torch.empty(dim, dim))
        self.b2 = nn.Parameter(torch.zeros(dim))
        self.position_bias = nn.Parameter(torch.empty(settings.max_length))
        self.time_bias = nn.Parameter(torch.empty(TIME_BUCKETS))

    def forward(self, x: Tensor, layout: TileLayout, dropout: float) -> Tensor:
        """Equations 1 to 3; ``dropout`` is applied before ``W2``, as in the published code."""
        dim = x.shape[-1]
        projected = functional.silu(self.norm(x) @ self.w1)
        gate, values_queries_keys = torch.split(projected, [dim, 3 * dim], dim=-1)
        attended = attend(
            values_queries_keys, self.position_bias, self.time_bias, layout, self.heads
        )
        gated = self.norm(attended) * gate
        return torch.addmm(x + self.b2, thin(gated, dropout), self.w2)

    def norm(self, x: Tensor) -> Tensor:
        """To mean 0 and variance 1 along the last dimension.

        What (2) yields is small, divided by ``N`` as it is: in a trained network its variance was
        1e-6 to 1e-4, so that ``epsilon`` is no formality (decision 22).
        """
        return functional.layer_norm(x, x.shape[-1:], eps=self.epsilon)


class HSTU(nn.Module):
    """Embeddings, blocks, and the item table that is input and output at once.

    The item table starts with row 0 (the cold row) alone, which is zero until it is trained; the
    recommender grows the table with its vocabulary (see ``model.weights``). Gradients of item
    tables are those of their rows that were read (``reads``).
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        dim = settings.dim
        self.items = nn.Parameter(torch.zeros(1, dim))
        self.item_bias = nn.Parameter(torch.zeros(1))
        self.reads = RowReads()
        self.popularity = nn.Parameter(torch.tensor(1.0))
        self.start = nn.Parameter(torch.empty(dim))
        self.actions = nn.Parameter(torch.empty(MAX_ACTIONS + 1, dim))
        self.values = nn.Parameter(torch.empty(VALUE_BUCKETS, dim))
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.blocks))

    @property
    def device(self) -> torch.device:
        """Where the weights are, and batches must be."""
        return self.items.device

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
        layout = TileLayout.of(batch.offsets, batch.times, time_bucket)
        x = thin(self.embed(batch), dropout)
        for block in self.blocks:
            x = block(x, layout, dropout)
        return functional.normalize(x, dim=-1, eps=1e-6)

    def embed(self, batch: Batch) -> Tensor:
        """Item, action and value of each token in one vector, ``(T, dim)``; START's own instead."""
        starts = batch.offsets[:-1]
        # START carries row 0, which is also the cold row of items: it must not teach that one.
        x = self.reads.read("items", self.items, batch.rows)
        x = x.index_fill(0, starts, 0.0)
        x = x + functional.embedding(batch.actions, self.actions)
        x = x + functional.embedding(batch.values, self.values)
        x = x.index_add(0, starts, self.start.expand(len(starts), -1))
        return x * math.sqrt(x.shape[1])
