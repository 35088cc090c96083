"""Where packed sequences lie for attention: tiles of similar length, small enough for a cache.

Everything but attention runs on packed tokens. For attention, sequences of similar length share a
tile, padded to the longest of that tile alone. A layout is made once per batch and serves all
blocks, forward and backward.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_PADDING = 96
"""Places of a tile that may be padding: about what the calls for one more tile cost. Most users of
many streams have had a few events, and would be padded several times over otherwise."""
_CELLS = 2**18
"""Cells (pairs of query and key) of a tile: its scores stay in a processor's level-2 cache."""
_ROWS = 104
"""Most queries that are taken at once: keys after the last of them are left out."""


@dataclass(frozen=True)
class TileQueries:
    """Queries ``begin`` to ``end`` of a tile, which look at keys 0 to ``end``.

    ``bucket`` ``(B, end - begin, end)``: the bucket of each pair's distance in time.
    """

    begin: int
    end: int
    bucket: Tensor


@dataclass(frozen=True)
class Tile:
    """``B`` sequences padded to ``L``. Padding comes after a sequence, where causality hides it.

    ``take`` ``(B * L,)`` names a token for each place, ``put`` the same with one past the last
    token for padding, ``real`` ``(B * L, 1)`` is 0 for padding and 1 elsewhere. All are ``None``
    where the tile is the one slice ``begin`` to ``begin + B * L`` of the packed tokens.
    """

    shape: tuple[int, int]
    begin: int
    take: Tensor | None
    put: Tensor | None
    real: Tensor | None
    rows: list[TileQueries]

    def spread(self, packed: Tensor) -> Tensor:
        """``(T, d)`` to ``(B * L, d)``; padding holds some token of the same tile."""
        if self.take is None:
            return packed[self.begin : self.begin + self.shape[0] * self.shape[1]]
        return packed.index_select(0, self.take)

    def spread_zeros(self, packed: Tensor) -> Tensor:
        """The same with zeros for padding."""
        spread = self.spread(packed)
        return spread if self.real is None else spread * self.real

    def join(self, places: Tensor, packed: Tensor) -> None:
        """Write ``(B * L, d)`` into ``packed`` ``(T + 1, d)``, whose last row takes the padding."""
        if self.put is None:
            packed[self.begin : self.begin + len(places)] = places
        else:
            packed.index_copy_(0, self.put, places)


@dataclass(frozen=True)
class TileLayout:
    """The tiles of a batch of ``tokens`` tokens; ``longest`` is the longest sequence."""

    tiles: list[Tile]
    tokens: int
    longest: int

    @classmethod
    def of(cls, offsets: Tensor, times: Tensor, bucket: Callable[[Tensor], Tensor]) -> TileLayout:
        """The layout for ``offsets`` ``(B + 1,)`` and ``times`` ``(T,)`` in seconds."""
        # Tiles are cut on the CPU, whatever device the tokens are on: one copy rather than many.
        offsets = offsets.cpu()
        starts, lengths = offsets[:-1], offsets.diff()
        tiles = [
            _tile(starts[members], lengths[members], times, bucket) for members in _similar(lengths)
        ]
        return cls(tiles, len(times), int(lengths.max()))


def _similar(lengths: Tensor) -> list[Tensor]:
    """Indices of sequences in groups of similar length, shortest first; stable."""
    ordered, order = torch.sort(lengths, stable=True)
    groups: list[Tensor] = []
    sizes = ordered.tolist()
    begin = real = 0
    for at, size in enumerate(sizes):
        number = at - begin + 1
        padding = number * size - real - size
        if number > 1 and (padding > _PADDING or number * size**2 > _CELLS):
            groups.append(order[begin:at])
            begin, real = at, 0
        real += size
    groups.append(order[begin:])
    return groups


def _tile(
    starts: Tensor, lengths: Tensor, times: Tensor, bucket: Callable[[Tensor], Tensor]
) -> Tile:
    number, length = len(starts), int(lengths[-1])
    steps = torch.arange(length)
    tokens = starts[:, None] + steps
    real = steps < lengths[:, None]
    begin = int(starts[0])
    whole = bool(real.all()) and bool((starts.diff() == length).all())
    take = put = mask = None
    if not whole:
        take = torch.where(real, tokens, starts[:, None]).view(-1).to(times.device)
        put = torch.where(real, tokens, len(times)).view(-1).to(times.device)
        mask = real.view(-1, 1).to(times.device, torch.float32)
    stamps = times[begin : begin + number * length] if take is None else times[take]
    stamps = stamps.view(number, length)
    step = -(-length // -(-length // _ROWS))
    rows = []
    for first in range(0, length, step):
        end = min(length, first + step)
        apart = stamps[:, first:end, None] - stamps[:, None, :end]
        rows.append(TileQueries(first, end, bucket(apart)))
    return Tile((number, length), begin, take, put, mask, rows)
