"""The linear block: what came before a token reaches it through a state of fixed size.

FuXi-Linear (arXiv 2602.23671, section 4), for one block with input ``X``:

    U, Q, K, V = split(silu(norm(X) W1))                                          (1)
    S_h        = (Q_h K_h^T * exp(-r_h (i - j))) V_h                              (2)
    T_s        = (cos or sin)(w_s (t_i - t_j)) * 2^(-w_s (t_i - t_j))  (norm(X) Wt)_s   (3)
    P          = alpha k(i - j) (norm(X) Wp) + beta (norm(X) Wp)                  (4)
    H          = [norm(S), norm(T), norm(P)] * U W2 + X                           (5)
    Y          = (silu(rms(H) F1) * rms(H) F3) F2 + H                             (6)

each under a causal mask. Three channels weigh values apart: (2) by what tokens mean, (3) by the
seconds between them at eight scales of 16^s seconds, ``w_s = 2 pi / 16^s``, (4) by the places
between them. All three are sums of products of something of token i and something of token j, so
that a state, which is summed over j, stands for all of them (``model.network.chunks``).

Where this is not the published code: times are those of tokens, and the time of the event to
predict is no input (decision 18). ``k`` is a learnt sum of waves of the distance, where theirs is a
product of two learnt vectors of places: it needs no longest length. The rates ``r_h`` begin evenly
between 1/2 and 1/256 in the exponent, whatever the number of heads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from everfresh.contracts.settings import ModelSettings
from everfresh.model.network.chunks import Chunks, Decay
from everfresh.model.network.dropout import thin

SCALES, BASE = 8, 16
"""Scales of time, and how many times longer each is than the one before; the first is a second."""
WAVES = 16
"""Waves of the distance in places, from 1 to 1/10,000 radians a place."""


@dataclass(frozen=True)
class Heads:
    """What one channel sums: ``queries``, ``keys`` ``(N, h, C, a)``, ``values`` ``(N, h, C, b)``,
    and what ``decay`` leaves of it. ``scores`` ``(N, h, C, C)`` where they are known already."""

    queries: Tensor
    keys: Tensor
    values: Tensor
    decay: Decay
    scores: Tensor | None = None

    def brought(self) -> Tensor:
        """What each chunk adds to a state, ``(N, h, a, b)``, at its end."""
        return (self.keys * self.decay.left).mT @ self.values

    def read(self, held: Tensor | None) -> Tensor:
        """The channel's sums ``(N, C, h * b)`` where each chunk begins with ``held``
        ``(N, h, a, b)``, or with nothing."""
        scores = self.scores
        if scores is None:
            scores = (self.queries @ self.keys.mT) * self.decay.within
        read = scores @ self.values
        if held is not None:
            read = read + (self.queries * self.decay.since) @ held
        number, _, size, _ = read.shape
        return read.transpose(1, 2).reshape(number, size, -1)

    def after(self, held: Tensor | None) -> Tensor:
        """The state after each chunk that began with ``held``."""
        brought = self.brought()
        return brought if held is None else held * self.decay.since[:, :, -1:] + brought

    def held(self) -> Tensor | None:
        """The state that each chunk begins with, from those before it."""
        if len(self.values) == 1:
            return None
        brought = self.brought().transpose(0, 1)
        held = self.decay.between @ brought.flatten(2)
        return held.view(brought.shape).transpose(0, 1)


@dataclass(frozen=True)
class Layout:
    """Of all blocks: the chunks, and what of their channels is no matter of weights."""

    chunks: Chunks
    seconds: Decay
    now: Tensor
    then: Tensor
    by_time: Tensor
    waves: Tensor

    @classmethod
    def of(cls, chunks: Chunks) -> Layout:
        """``now`` and ``then`` ``(N, 2 s, C, 2)`` are queries and keys of (3), whose scores are
        ``by_time`` ``(N, 2 s, C, C)``; ``waves`` ``(N, C, 2 w)`` are cosines, then sines of (4)."""
        device, kind = chunks.stamp.device, chunks.seen.dtype
        length = BASE ** torch.arange(SCALES, device=device)
        into = (chunks.stamp[:, None] % length[:, None]).double()
        turn = 2 * math.pi * into / length[:, None]
        cos, sin = turn.cos().to(kind), turn.sin().to(kind)
        then = torch.stack([cos, sin], -1).repeat(1, 2, 1, 1)
        now = torch.cat([torch.stack([cos, sin], -1), torch.stack([sin, -cos], -1)], 1)
        rates = (2 * math.pi * math.log(2) / length.double()).to(kind).repeat(2)
        seconds = chunks.decay(chunks.seconds, rates)
        steps = torch.arange(WAVES, device=device, dtype=torch.float64) / WAVES
        turn = chunks.place[..., None] * 10_000.0**-steps
        waves = torch.cat([turn.cos(), turn.sin()], -1).to(kind)
        return cls(chunks, seconds, now, then, (now @ then.mT) * seconds.within, waves)


class LinearBlock(nn.Module):
    """One block on packed tokens, ``(T, dim)`` to ``(T, dim)``."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        dim = settings.dim
        self.heads, self.epsilon = settings.heads, settings.epsilon
        self.timed = 2 * SCALES * -(-dim // (2 * SCALES))
        wide = 2 * dim + self.timed
        self.w1 = nn.Parameter(torch.empty(dim, wide + 3 * dim))
        self.wv = nn.Parameter(torch.empty(dim, self.timed + dim))
        self.w2 = nn.Parameter(torch.empty(wide, dim))
        self.f1 = nn.Parameter(torch.empty(dim, 2 * dim))
        self.f2 = nn.Parameter(torch.empty(dim, dim))
        # What these add to where they begin: they are filled like any other weight.
        self.rates = nn.Parameter(torch.empty(settings.heads))
        self.waves = nn.Parameter(torch.empty(2, WAVES))
        self.placed = nn.Parameter(torch.empty(2))

    def forward(self, x: Tensor, layout: Layout, dropout: float) -> Tensor:
        """Equations 1 to 6; dropout before ``W2`` and before ``F1``, as in the published code."""
        chunked = functional.pad(x, (0, 0, 0, layout.chunks.place.numel() - len(x)))
        gate, values, channels = self.channels(chunked.view(*layout.chunks.place.shape, -1), layout)
        read = [heads.read(heads.held()) for heads in channels]
        return self.closed(x, self.gated(gate, values, read).flatten(0, 1)[: len(x)], dropout)

    def channels(self, x: Tensor, layout: Layout) -> tuple[Tensor, Tensor, list[Heads]]:
        """Of ``(N, C, dim)``: the gate ``U``, the values of (4), and what each channel sums."""
        dim = x.shape[-1]
        normed = self.norm(x)
        projected = functional.silu(normed @ self.w1)
        gate, q, k, v = torch.split(projected, [2 * dim + self.timed, dim, dim, dim], -1)
        timed, placed = torch.split(normed @ self.wv, [self.timed, dim], -1)
        q, k, v = (_by_head(each, self.heads) for each in (q, k, v))
        timed = _by_head(timed, 2 * SCALES)
        chunks, cos, sin = layout.chunks, *layout.waves.chunk(2, -1)
        a, b = (self.waves + self.waves.new_tensor([[1.0], [0.0]])) / WAVES
        asked = torch.cat([cos * a + sin * b, sin * a - cos * b], -1)
        return (
            gate,
            placed,
            [
                Heads(q, k, v, chunks.decay(chunks.places, self.forgetting())),
                Heads(layout.now, layout.then, timed, layout.seconds, layout.by_time),
                Heads(asked[:, None], layout.waves[:, None], placed[:, None], chunks.undecayed()),
            ],
        )

    def forgetting(self) -> Tensor:
        """The rates of (2) ``(heads,)``, per place."""
        kind, device = self.rates.dtype, self.rates.device
        evenly = torch.linspace(-1, -8, self.heads + 2, dtype=kind, device=device)[1:-1]
        return torch.exp(evenly * math.log(2) + self.rates)

    def gated(self, gate: Tensor, placed: Tensor, read: list[Tensor]) -> Tensor:
        """What ``W2`` gets in (5)."""
        alpha, beta = self.placed
        meant, timed, summed = read
        summed = summed * alpha + placed * (1 + beta)
        return torch.cat([self.norm(meant), self.norm(timed), self.norm(summed)], -1) * gate

    def closed(self, x: Tensor, gated: Tensor, dropout: float) -> Tensor:
        """The rest of (5), and (6)."""
        x = torch.addmm(x, thin(gated, dropout), self.w2)
        normed = thin(functional.rms_norm(x, x.shape[-1:], eps=self.epsilon), dropout)
        one, three = (normed @ self.f1).chunk(2, -1)
        return torch.addmm(x, functional.silu(one) * three, self.f2)

    def norm(self, x: Tensor) -> Tensor:
        """To mean 0 and variance 1 along the last dimension."""
        return functional.layer_norm(x, x.shape[-1:], eps=self.epsilon)


def _by_head(x: Tensor, heads: int) -> Tensor:
    """``(N, C, h * b)`` to ``(N, h, C, b)``."""
    number, size, _ = x.shape
    return x.reshape(number, size, heads, -1).transpose(1, 2)
