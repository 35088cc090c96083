"""The linear block run forward token by token: a user's past is one state of fixed size a block.

What :mod:`everfresh.model.inference.incremental` keeps as keys and values of every token, this
keeps as their sums (``model.network.linear``): neither memory nor the time for a further event
grows with the history. Sums are rounded, and in another order than when the network trains: outputs
are equal to within 1e-4 of their length, not bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from everfresh.model.inference.incremental import Codes, embed_tokens
from everfresh.model.network.chunks import Chunks
from everfresh.model.network.hstu import HSTU
from everfresh.model.network.linear import Layout, LinearBlock

_PIECE = 128
"""Tokens that look at each other directly; what came before a piece reaches it as a state."""


@dataclass(frozen=True)
class Held:
    """Of ``B`` users: the ``place`` and the latest second ``stamp`` ``(B,)`` of their last token,
    and for each block the states ``(B, h, a, b)`` of its channels."""

    place: Tensor
    stamp: Tensor
    blocks: tuple[tuple[Tensor, ...], ...]

    def of(self, at: int) -> Held:
        """One user's, in memory of its own: the others' may be let go before it."""
        one = slice(at, at + 1)
        blocks = tuple(tuple(state[one].clone() for state in block) for block in self.blocks)
        return Held(self.place[one].clone(), self.stamp[one].clone(), blocks)


class LinearStates:
    """The states of one user's history. Not thread-safe.

    Belongs to the weights that made it, which every call is given again. ``length`` counts tokens.
    """

    def __init__(self, max_length: int, held: Held | None = None) -> None:
        self._max_length = max_length
        self._held = held

    @property
    def length(self) -> int:
        """Tokens that were read, START included."""
        return 0 if self._held is None else 1 + int(self._held.place)

    @property
    def bytes(self) -> int:
        """Memory that the states take."""
        blocks = () if self._held is None else self._held.blocks
        return sum(state.numel() * state.element_size() for block in blocks for state in block)

    def extend(self, network: HSTU, events: Codes) -> Tensor:
        """Read further events; return the unit-length user vector ``(dim,)`` after the last.

        At least one event; the first call puts START before it. ``max_length`` bounds the tokens.
        """
        new = events.shape[1] + (self._held is None)
        assert 0 < new <= self._max_length - self.length, "the window is full"
        vectors, self._held = _read_on(network, [events], self._held)
        return vectors[0]

    def peek(self, network: HSTU, events: Codes) -> Tensor:
        """The vector as :meth:`extend` gives it, and the events are forgotten again."""
        before = self._held
        try:
            return self.extend(network, events)
        finally:
            self._held = before


def read_batched_linear(
    network: HSTU, windows: Sequence[Codes], max_length: int
) -> list[tuple[LinearStates, Tensor]]:
    """See :func:`everfresh.model.inference.batched.read_batched`."""
    vectors, held = _read_on(network, windows, None)
    return [
        (LinearStates(max_length, held.of(at)), vectors[at].clone()) for at in range(len(windows))
    ]


def _read_on(network: HSTU, windows: Sequence[Codes], held: Held | None) -> tuple[Tensor, Held]:
    """Further events of each user: unit-length vectors ``(B, dim)`` after the last, and states."""
    first = held is None
    lengths = torch.tensor([window.shape[1] + first for window in windows])
    padded = np.zeros((4, len(windows), int(lengths.max())), dtype=np.int64)
    for at, window in enumerate(windows):
        padded[:, at, int(first) : window.shape[1] + first] = window
        padded[3, at, : int(first)] = window[3, :1]
        # After its end a user's clocks stand still, and nothing is added to its states.
        padded[3, at, window.shape[1] + first :] = window[3, -1]
    with torch.inference_mode():
        tokens = torch.from_numpy(padded)
        x = embed_tokens(network, tokens, with_start=first)
        steps = torch.arange(x.shape[1])
        place = torch.minimum(steps, lengths[:, None] - 1)
        stamp = torch.cummax(tokens[3], 1).values
        if held is not None:
            place = place + held.place[:, None] + 1
            stamp = torch.maximum(stamp, held.stamp[:, None])
        real = (steps < lengths[:, None]).to(x.dtype)
        ends, vectors = lengths - 1, x[:, 0].clone()
        for begin in range(0, x.shape[1], _PIECE):
            part = slice(begin, begin + _PIECE)
            here = (ends >= begin) & (ends < begin + _PIECE)
            chunks = Chunks.after(_clocks(held), place[:, part], stamp[:, part], real[:, part])
            read, held = _read_piece(network, x[:, part], chunks, held, bool(here.any()))
            vectors[here] = read[here, ends[here] - begin]
        assert held is not None
        return functional.normalize(vectors, dim=-1, eps=1e-6), held


def _clocks(held: Held | None) -> tuple[Tensor, Tensor] | None:
    return None if held is None else (held.place, held.stamp)


def _read_piece(
    network: HSTU, x: Tensor, chunks: Chunks, held: Held | None, wanted: bool
) -> tuple[Tensor, Held]:
    """A piece ``(B, m, dim)`` through all blocks. Not ``wanted``: no more than the states need."""
    layout = Layout.of(chunks)
    states = []
    for number, block in enumerate(network.blocks):
        assert isinstance(block, LinearBlock)
        gate, placed, channels = block.channels(x, layout)
        before = [None] * len(channels) if held is None else held.blocks[number]
        states.append(tuple(heads.after(h) for heads, h in zip(channels, before, strict=True)))
        if wanted or number < len(network.blocks) - 1:
            read = [heads.read(h) for heads, h in zip(channels, before, strict=True)]
            gated = block.gated(gate, placed, read).flatten(0, 1)
            x = block.closed(x.flatten(0, 1), gated, 0.0).view_as(x)
    return x, Held(chunks.place[:, -1], chunks.stamp[:, -1], tuple(states))
