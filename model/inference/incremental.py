"""The network run forward token by token: what it made of a user's history is kept and extended.

A token of an HSTU block looks at the tokens before it through their keys and values alone, so
these, per block, are all that later tokens need (the "user cache"; M-FALCON in arXiv 2402.17152,
section 3.4, shares them over candidates in the same way). Extending is exact as long as no token
leaves the sequence: the relative biases depend on distances between tokens, which stay as they
are, but a token's own state holds what it saw. Therefore the window of events that the network
sees does not slide with each event. It begins at an event whose number follows from how many
events there are (:func:`window_begin`), and moves on in jumps of a quarter of its length; within
a jump the history is extended, at a jump it is read again.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from everfresh.model.network.hstu import HSTU, Block, time_bucket

Codes = npt.NDArray[np.int64]
"""Events as codes, shape ``(4, n)``; see :func:`everfresh.model.network.batches.encode_events`."""

_PIECE = 256
"""Tokens that go through the network at once: bounds the memory of a long history."""
_LEAST_ROOM = 16


def window_begin(number: int, capacity: int) -> int:
    """The first of ``number`` events that the network sees, where it has room for ``capacity``.

    Depends on ``number`` alone, so that whoever reads the same history sees the same window.
    """
    if number <= capacity:
        return 0
    jump = max(1, capacity // 4)
    return -(-(number - capacity) // jump) * jump


class HistoryStates:
    """Keys and values of one user's tokens in every block, in order, START first.

    Belongs to the weights that made it, which every call is given again: what is cached must not
    keep a network from being let go. Not thread-safe. ``length`` counts tokens; room grows by
    doubling up to ``max_length``.
    """

    def __init__(self, max_length: int) -> None:
        self._max_length = max_length
        self._room = 0
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        self._times = torch.zeros(0, dtype=torch.long)
        self.length = 0

    @classmethod
    def of(
        cls, max_length: int, keys: list[Tensor], values: list[Tensor], times: Tensor
    ) -> HistoryStates:
        """States that were made elsewhere: ``(heads, length, dim / heads)`` for each block."""
        made = cls(max_length)
        made._keys, made._values, made._times = keys, values, times
        made.length = made._room = len(times)
        return made

    @property
    def bytes(self) -> int:
        """Memory that the states take."""
        tensors = [*self._keys, *self._values, self._times]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def extend(self, network: HSTU, events: Codes) -> Tensor:
        """Read further events; return the unit-length user vector ``(dim,)`` after the last.

        At least one event; the first call puts START before it. ``max_length`` bounds the tokens.
        """
        tokens = torch.from_numpy(np.ascontiguousarray(events))
        if self.length == 0:
            start = torch.zeros(4, 1, dtype=torch.long)
            start[3] = tokens[3, :1]
            tokens = torch.cat([start, tokens], dim=1)
        assert 0 < tokens.shape[1] <= self._max_length - self.length, "the window is full"
        self._make_room(network, self.length + tokens.shape[1])
        with torch.inference_mode():
            for piece in torch.split(tokens, _PIECE, dim=1):
                last = self._read(network, piece)
            return functional.normalize(last, dim=-1, eps=1e-6)

    def peek(self, network: HSTU, events: Codes) -> Tensor:
        """The vector as :meth:`extend` gives it, and the events are forgotten again."""
        before = self.length
        try:
            return self.extend(network, events)
        finally:
            # What lies beyond the length is written over by the next call.
            self.length = before

    def _read(self, network: HSTU, tokens: Tensor) -> Tensor:
        """Tokens ``(4, m)`` through all blocks; the output ``(dim,)`` at the last."""
        begin, end = self.length, self.length + tokens.shape[1]
        self._times[begin:end] = tokens[3]
        distance = torch.arange(begin, end)[:, None] - torch.arange(end)
        bucket = time_bucket(tokens[3][:, None] - self._times[:end])
        x = embed_tokens(network, tokens, with_start=begin == 0)
        last = len(network.blocks) - 1
        for number, block in enumerate(network.blocks):
            assert isinstance(block, Block)
            # Nobody looks at what the last block makes of any token but the last.
            wanted = 1 if number == last else tokens.shape[1]
            x = self._block(number, block, x, (distance[-wanted:], bucket[-wanted:]))
        self.length = end
        return x[-1]

    def _block(
        self, number: int, block: Block, x: Tensor, relative: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Equations 1 to 3 (see ``model.network.hstu``) for the new tokens ``(m, dim)`` alone.

        Keys and values are kept of all; the result is of the last ones, those in ``relative``.
        """
        new, dim = x.shape
        begin, end = self.length, self.length + new
        projected = functional.silu(block.norm(x) @ block.w1)
        gate, v, q, k = projected.view(new, 4, dim).unbind(1)
        heads = self._keys[number], self._values[number]
        for kept, fresh in zip(heads, (k, v), strict=True):
            kept[:, begin:end] = fresh.view(new, block.heads, -1).transpose(0, 1)
        keys, values = (kept[:, :end] for kept in heads)
        distance, bucket = relative
        wanted = len(distance)
        x, gate, q = x[-wanted:], gate[-wanted:], q[-wanted:]
        bias = block.position_bias[distance.clamp(min=0)] + block.time_bias[bucket]
        queries = q.reshape(wanted, block.heads, -1).transpose(0, 1)
        scores = functional.silu(queries @ keys.transpose(-1, -2) + bias)
        if wanted > 1:
            scores = scores * (distance >= 0)
        attended = (scores @ values).transpose(0, 1).reshape(wanted, dim) / block.length
        gated = block.norm(attended) * gate
        return torch.addmm(x + block.b2, gated, block.w2)

    def _make_room(self, network: HSTU, tokens: int) -> None:
        if tokens <= self._room:
            return
        room = min(self._max_length, max(_LEAST_ROOM, 2 * self._room, tokens))
        grown = [self._grown(network, kept, room) for kept in (self._keys, self._values)]
        self._keys, self._values = grown
        self._times = functional.pad(self._times, (0, room - self._room))
        self._room = room

    def _grown(self, network: HSTU, kept: list[Tensor], room: int) -> list[Tensor]:
        if not kept:
            dim = network.items.shape[1]
            blocks = [block for block in network.blocks if isinstance(block, Block)]
            return [torch.zeros(block.heads, room, dim // block.heads) for block in blocks]
        return [functional.pad(head, (0, 0, 0, room - self._room)) for head in kept]


def embed_tokens(network: HSTU, tokens: Tensor, *, with_start: bool) -> Tensor:
    """The network's input ``(..., m, dim)`` for tokens ``(4, ..., m)``; START first where there."""
    rows, actions, values, _ = tokens
    items = network.items[rows]
    if with_start:
        # START carries row 0, which belongs to items without a row (see ``model.network.hstu``).
        items[..., 0, :] = network.start
    x = items + network.actions[actions] + network.values[values]
    return x * math.sqrt(network.items.shape[1])
