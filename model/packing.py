"""Attention over packed sequences: groups of similar length, padded only inside a group.

Everything but attention runs on packed tokens. For attention, sequences are grouped so that a
group's longest is at most half as long again as its shortest; the layout is made once per batch
and serves all blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_SLACK = 1.5
_SHORT = 16


@dataclass(frozen=True)
class Group:
    """``B`` sequences padded to ``L``: ``tokens`` ``(B, L)`` names each one's packed token.

    Padding names token ``T``, one past the last. ``distance`` ``(L, L)`` is the distance in
    positions, ``bucket`` ``(B, L, L)`` that in time; ``causal`` ``(L, L)`` is 1 where a token may
    look. Padding stands after a sequence's end, where causality already hides it.
    """

    tokens: Tensor
    distance: Tensor
    bucket: Tensor
    causal: Tensor


@dataclass(frozen=True)
class Layout:
    """Groups of a batch, and where each packed token is found in the groups laid end to end."""

    groups: list[Group]
    places: Tensor
    trivial: bool

    @classmethod
    def of(cls, offsets: Tensor, times: Tensor, bucket: Callable[[Tensor], Tensor]) -> Layout:
        """The layout for ``offsets`` ``(B + 1,)`` and ``times`` ``(T,)`` in seconds."""
        starts, lengths = offsets[:-1], offsets.diff()
        total = int(offsets[-1])
        padded_times = torch.cat([times, times.new_zeros(1)])
        groups: list[Group] = []
        places = torch.empty(total, dtype=torch.long)
        at = 0
        for members in _similar(lengths):
            length = int(lengths[members[-1]])
            steps = torch.arange(length)
            inside = steps < lengths[members, None]
            tokens = torch.where(inside, starts[members, None] + steps, total)
            places[tokens[inside]] = at + torch.arange(tokens.numel()).view_as(tokens)[inside]
            at += tokens.numel()
            stamps = padded_times[tokens]
            groups.append(
                Group(
                    tokens,
                    (steps[:, None] - steps).clamp(min=0),
                    bucket(stamps[:, :, None] - stamps[:, None, :]),
                    torch.ones(length, length).tril(),
                )
            )
        trivial = len(groups) == 1 and at == total and bool((places.diff() == 1).all())
        return cls(groups, places, trivial)

    def spread(self, packed: Tensor, group: Group) -> Tensor:
        """``(T, d)`` to the group's ``(B, L, d)``; padding is zero."""
        if self.trivial:
            return packed.view(*group.tokens.shape, -1)
        padded = functional.pad(packed, (0, 0, 0, 1))
        return padded.index_select(0, group.tokens.view(-1)).view(*group.tokens.shape, -1)

    def join(self, parts: list[Tensor]) -> Tensor:
        """The groups' results, ``(B, L, d)`` each, back to packed ``(T, d)``."""
        flat = torch.cat([part.flatten(0, 1) for part in parts])
        return flat if self.trivial else flat.index_select(0, self.places)


def _similar(lengths: Tensor) -> list[Tensor]:
    """Indices of sequences in groups of similar length, shortest first; stable."""
    ordered, order = torch.sort(lengths, stable=True)
    groups: list[Tensor] = []
    sizes = ordered.tolist()
    begin = 0
    for at, size in enumerate(sizes):
        if size > max(_SHORT, _SLACK * sizes[begin]):
            groups.append(order[begin:at])
            begin = at
    groups.append(order[begin:])
    return groups
