"""What a window is worth, measured before it is learnt: how surprising it is, and how repetitive.

All are of the window's targets; what they cost follows these alone.

- ``bits_live``, ``bits_popularity``: mean of ``-log2 p`` of what was chosen, by the version that
  serves (softmax over all items, trends included) and by counts that fade. The first is what a code
  made by the model would take per event. ``bits_events`` targets are behind both: those on items
  that both know, but for refusals; of a large catalogue every n-th alone. Left out where no version
  serves yet.
- ``unknown``: share of targets on items that the version does not know.
- ``compression``: ``bytes / zlib bytes`` at level 9 (ZIP, arXiv 2407.06645), of four bytes per
  event, users one after another: 1 where nothing repeats within 8,192 events.
- ``entropy``: approximate entropy with equality (arXiv 2412.00430), ``m = 1``, in bits.
- ``repeats``: share of targets that the same user had before in this window, with the same action.
- ``heaviest``: share of the hundredth of users (one at least) that has most of the targets.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from everfresh.contracts.event import ItemId, UserId
from everfresh.contracts.window import DecodedExample
from everfresh.model.cold_items import WithCold
from everfresh.model.metrics import Firsts, Mask, Ranks
from everfresh.model.opponents.popularity import FadingPopularity
from everfresh.model.recommender import Recommender
from everfresh.model.trends.counts import Ints
from everfresh.trainer.scoring.judged import of_targets
from everfresh.trainer.scoring.target_groups import taught_targets

_CELLS = 8_000_000
"""Scores that surprise is measured on, targets times items: each costs an exponential."""
_FEWEST = 64
"""Targets that it is measured on at least."""


class Surprised:
    """The live model as a contender that is listened to while it ranks a window."""

    def __init__(
        self,
        live: Recommender | WithCold,
        popularity: FadingPopularity,
        ways: Mapping[str, str | float],
    ) -> None:
        self._live, self._popularity, self._ways = live, popularity, ways
        self._items: list[ItemId] = []
        self._taught: Mask = np.zeros(0, np.bool_)
        self._every = 1
        self._heard: list[tuple[Ints, Tensor]] = []

    def ranks(
        self, examples: Sequence[DecodedExample], exclude_seen: bool, asked: Firsts | None = None
    ) -> Ranks:
        """The live model's."""
        return next(iter(self.several(examples, exclude_seen, asked).values()))

    def several(
        self, examples: Sequence[DecodedExample], exclude_seen: bool, asked: Firsts | None = None
    ) -> dict[str, Ranks]:
        """By each of ``ways``; surprise is that of the first."""
        self._items = [target.item for example in examples for target in example.targets]
        self._taught = taught_targets(examples)
        most = max(_FEWEST, _CELLS // max(1, len(self._live.vocabulary)))
        self._every = max(1, -(-int(of_targets(examples, asked).sum()) // most))
        ways = [*self._ways.values()]
        ranks = self._live.ranks_by(ways, examples, exclude_seen, self, asked=asked)
        return dict(zip(self._ways, ranks, strict=True))

    def wants(self, targets: Ints) -> Ints:
        """Every n-th; see ``model.ranks.rank_blocks.Heard``."""
        return np.flatnonzero(targets % self._every == 0)

    def hear(self, targets: Ints, nats: Tensor) -> None:
        """See ``model.ranks.rank_blocks.Heard``."""
        self._heard.append((targets, nats.double().cpu()))

    def measures(self) -> dict[str, float]:
        """``bits_live`` and so on; empty where nothing was ranked that both know."""
        if not self._heard:
            return {}
        places = np.concatenate([targets for targets, _ in self._heard])
        heard = torch.cat([nats for _, nats in self._heard]).numpy() / math.log(2)
        taught = self._taught[places]
        bits, at = heard[taught], places[taught].tolist()
        shares = self._popularity.shares([self._items[place] for place in at])
        known = np.isfinite(bits) & (shares > 0)
        measured = {"unknown": 1.0 - float(np.isfinite(bits).mean())} if len(bits) else {}
        if known.any():
            measured["bits_live"] = float(bits[known].mean())
            measured["bits_popularity"] = float(-np.log2(shares[known]).mean())
            measured["bits_events"] = float(known.sum())
        return measured


def window_measures(examples: Sequence[DecodedExample]) -> dict[str, float]:
    """What the events alone tell; empty for a window without any."""
    sizes: Counter[UserId] = Counter()
    for example in examples:
        sizes[example.user] += len(example.targets)
    events = sizes.total()
    if not events:
        return {}
    heaviest = sum(number for _, number in sizes.most_common(max(1, len(sizes) // 100)))
    chosen: Counter[tuple[UserId, ItemId, str]] = Counter(
        (example.user, target.item, target.action)
        for example in examples
        for target in example.targets
    )
    coded = b"".join(_code(target.item) for each in examples for target in each.targets)
    return {
        "compression": len(coded) / len(zlib.compress(coded, 9)),
        "entropy": sequence_entropy(examples),
        "repeats": 1.0 - len(chosen) / events,
        "heaviest": heaviest / events,
    }


def sequence_entropy(examples: Sequence[DecodedExample]) -> float:
    """Approximate entropy of the users' items, in bits; 0 where no user has two events.

    ``C_i^m`` is the share of m-grams equal to the i-th, ``Phi^m`` the mean of ``log2 C_i^m``, and
    this is ``|Phi^2 - Phi^1|`` over all pairs of neighbours: how unsure the next item is, given the
    one before. Few events tell too little: it is never more than the logarithm of their number.
    """
    pairs = Counter(pair for example in examples for pair in _pairs(example))
    if not pairs:
        return 0.0
    firsts: Counter[ItemId] = Counter()
    for (first, _), number in pairs.items():
        firsts[first] += number
    return abs(_phi(pairs.values()) - _phi(firsts.values()))


def _pairs(example: DecodedExample) -> Iterable[tuple[ItemId, ItemId]]:
    items = [event.item for event in (*example.context[-1:], *example.targets)]
    return itertools.pairwise(items)


def _phi(counts: Iterable[int]) -> float:
    numbers = np.fromiter(counts, np.float64)
    return float((numbers / numbers.sum() * np.log2(numbers / numbers.sum())).sum())


def _code(item: ItemId) -> bytes:
    """Four bytes that look like chance, whatever ids look like. ``7`` and ``"7"`` differ."""
    return zlib.crc32(repr(item).encode()).to_bytes(4, "big")
