"""The ways to train that are compared: the product, plain PyTorch, and steps between them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from unittest import mock

from benchmarks.train_speed import padded_hstu as plain
from everfresh.contracts.settings import ModelSettings
from everfresh.model.network.hstu import HSTU

ITEMS = 4_000
SETTINGS = ModelSettings(
    dim=50, blocks=2, heads=1, max_length=200, dropout=0.2, temperature=0.05, negatives=512
)
"""The published sizes for MovieLens 1M, as in ``benchmarks.offline``."""


@dataclass(frozen=True)
class Contender:
    """A way to train. ``padded``: the rectangle's length, 0 for the batch's longest."""

    name: str
    padded: int | None = None
    swaps: tuple[tuple[str, object], ...] = ()
    negatives: int = SETTINGS.negatives
    compiled: bool = False

    def network(self, settings: ModelSettings) -> HSTU:
        """Padded, or the product's own."""
        padded = self.padded
        network = HSTU(settings) if padded is None else plain.PaddedHSTU(settings, padded)
        if self.compiled:
            network.compile(dynamic=True)
        return network

    @contextlib.contextmanager
    def parts(self) -> Iterator[None]:
        """The product with these parts put back to plain PyTorch."""
        with contextlib.ExitStack() as stack:
            for target, part in self.swaps:
                stack.enter_context(mock.patch(target, part))
            yield


_LOSS = ("everfresh.model.recommender.sampled_cross_entropy", plain.cross_entropy)
_DROPOUT = ("everfresh.model.network.hstu.thin", plain.dropout)
_ATTENTION = (
    ("everfresh.model.network.hstu.attend", plain.tile_by_tile),
    ("everfresh.model.network.attention_tiles._ROWS", 10**6),
)
CONTENDERS = (
    Contender("plain, padded to 200", SETTINGS.max_length, (_LOSS,)),
    Contender("plain, padded to the longest", 0, (_LOSS,)),
    Contender("packed", None, (_LOSS, _DROPOUT, *_ATTENTION)),
    Contender("packed, fused attention", None, (_LOSS, _DROPOUT)),
    Contender("packed, fused attention and loss", None, (_DROPOUT,)),
    Contender("everfresh", None),
    Contender("everfresh, softmax over all items", None, (), ITEMS),
)
COMPILED = Contender("plain, padded to 200, compiled", SETTINGS.max_length, (_LOSS,), compiled=True)
OURS, PADDED, PADDED_FULL = "everfresh", "plain, padded to the longest", "plain, padded to 200"
