"""Where packed sequences lie for linear attention: chunks of tokens, and what passed between them.

A chunk is a fixed number of neighbouring tokens, whatever sequences they are of: nothing is padded
but the end of a batch. Within a chunk tokens look at each other; what came before it reaches them
through one state for each chunk. Differences of places and of seconds are taken of whole numbers
and only then become floats, so that they are as exact in the tenth year as in the first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

CHUNK = 32
"""Tokens of a chunk when training. More: more work within chunks, fewer states between them."""


@dataclass(frozen=True)
class Spans:
    """How much of one clock (places, or seconds) passed, for ``N`` chunks of ``C`` tokens.

    ``ago`` ``(N, C, C)``: from token j to token i of a chunk. ``since`` ``(N, C)``: from the end of
    the chunk before to a token. ``left`` ``(N, C)``: from a token to its chunk's end. ``between``
    ``(N, N)``: from the end of chunk m to the end of the chunk before n. Meaningless, but finite,
    where :class:`Chunks` has a 0.
    """

    ago: Tensor
    since: Tensor
    left: Tensor
    between: Tensor


@dataclass(frozen=True)
class Decay:
    """What is left of a token after a span, for ``h`` heads; 0 where it is not to be seen.

    ``within`` ``(N, h, C, C)``, ``since`` and ``left`` ``(N, h, C, 1)``, ``between`` ``(h, N, N)``.
    """

    within: Tensor
    since: Tensor
    left: Tensor
    between: Tensor


@dataclass(frozen=True)
class Chunks:
    """``N`` chunks of ``C`` tokens. ``place`` ``(N, C)`` counts from START, ``stamp`` ``(N, C)`` is
    the latest second so far: a time that goes back counts as no time passed.

    1 and 0 in floats: ``seen`` ``(N, C, C)`` of token i looking at j, ``continues`` ``(N, C)`` of
    one whose sequence began in a chunk before, ``carries`` ``(N, C)`` of one whose sequence is the
    last of its chunk, ``follows`` ``(N, N)`` where the state of chunk m reaches chunk n.
    """

    place: Tensor
    stamp: Tensor
    seen: Tensor
    continues: Tensor
    carries: Tensor
    follows: Tensor
    places: Spans
    seconds: Spans

    @classmethod
    def of(cls, offsets: Tensor, times: Tensor, kind: torch.dtype, size: int = 0) -> Chunks:
        """The chunks of packed sequences: ``offsets`` ``(B + 1,)``, ``times`` ``(T,)``."""
        size = size or CHUNK
        tokens, device = len(times), times.device
        sequence = torch.repeat_interleave(offsets.diff())
        place = torch.arange(tokens, device=device) - offsets[sequence]
        stamp = latest(times, sequence)
        lacking = -tokens % size
        sequence = functional.pad(sequence, (0, lacking), value=len(offsets))
        place, stamp = (functional.pad(clock, (0, lacking)) for clock in (place, stamp))
        sequence, place, stamp = (each.view(-1, size) for each in (sequence, place, stamp))
        return cls._of_rows(sequence, place, stamp, kind)

    @classmethod
    def _of_rows(cls, sequence: Tensor, place: Tensor, stamp: Tensor, kind: torch.dtype) -> Chunks:
        seen = (sequence[:, :, None] == sequence[:, None, :]).tril_()
        last = sequence[:, -1]
        before = functional.pad(last[:-1], (1, 0), value=-1)
        follows = (before[:, None] == last).tril_(-1)
        return cls(
            place,
            stamp,
            seen.to(kind),
            (sequence == before[:, None]).to(kind),
            (sequence == last[:, None]).to(kind),
            follows.to(kind),
            _spans(place, seen, kind),
            _spans(stamp, seen, kind),
        )

    @classmethod
    def after(
        cls, before: tuple[Tensor, Tensor] | None, place: Tensor, stamp: Tensor, real: Tensor
    ) -> Chunks:
        """One chunk for each of ``N`` sequences, each after a state of its own.

        ``before`` are place and latest second ``(N,)`` of the last tokens in these states, or
        ``None`` where there is nothing before. ``real`` ``(N, C)`` is 0 for padding at the end.
        """
        number, size = place.shape
        seen = torch.ones(size, size, dtype=torch.bool, device=place.device).tril_()
        none = real.new_zeros(0, 0)
        spans = []
        for clock, at in zip((place, stamp), before or (place[:, 0], stamp[:, 0]), strict=True):
            ago = (clock[:, :, None] - clock[:, None, :]).mul_(seen)
            since, left = clock - at[:, None], clock[:, -1:] - clock
            spans.append(Spans(ago.to(real.dtype), since.to(real.dtype), left.to(real.dtype), none))
        kept = seen.to(real.dtype).expand(number, size, size)
        return cls(place, stamp, kept, torch.ones_like(real), real, none, *spans)

    def decay(self, spans: Spans, rates: Tensor) -> Decay:
        """``exp(-rate * span)`` for ``rates`` ``(h,)``; with gradients."""
        by_head = -rates[:, None]
        within = torch.exp(spans.ago[:, None] * by_head[..., None]) * self.seen[:, None]
        since = torch.exp(spans.since[:, None] * by_head) * self.continues[:, None]
        left = torch.exp(spans.left[:, None] * by_head) * self.carries[:, None]
        between = torch.exp(spans.between * by_head[..., None]) * self.follows
        return Decay(within, since[..., None], left[..., None], between)

    def undecayed(self) -> Decay:
        """Of one head that forgets nothing."""
        since, left = self.continues[:, None, :, None], self.carries[:, None, :, None]
        return Decay(self.seen[:, None], since, left, self.follows[None])


def latest(times: Tensor, sequence: Tensor) -> Tensor:
    """The latest of ``times`` ``(T,)`` so far, within each sequence."""
    low = times.min()
    span = times.max() - low + 1
    return torch.cummax(sequence * span + (times - low), 0).values - sequence * span + low


def _spans(clock: Tensor, seen: Tensor, kind: torch.dtype) -> Spans:
    last = clock[:, -1]
    before = functional.pad(last[:-1], (1, 0))
    ago = (clock[:, :, None] - clock[:, None, :]).mul_(seen)
    # Where nothing is carried on these would be differences between two users' times.
    others = (clock - before[:, None], last[:, None] - clock, before[:, None] - last)
    return Spans(ago.to(kind), *(each.clamp_(min=0).to(kind) for each in others))
