"""Versions of a size that is asked for: untrained weights cost what trained ones cost."""

from __future__ import annotations

import time

import torch

from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.manifest import FORMAT, Pointer, WeightManifest
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import ModelSettings
from everfresh.contracts.window import DecodedExample
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.vocabulary import Vocabulary

_CHANGED_SHARE = 0.01


def untrained(items: int, settings: ModelSettings, seed: int = 1) -> Recommender:
    """Weights as initialised; the items are 1 to ``items``."""
    recommender = Recommender(settings, Vocabulary(), seed)
    targets = [Interaction(item, "view", 0) for item in range(1, items + 1)]
    offsets = list(range(items))
    recommender.admit([DecodedExample(0, [], targets, offsets, offsets)])
    return recommender


def change_rows(recommender: Recommender, version: int) -> None:
    """What a window does to weights: 1 % of the rows and every dense part move a little.

    What moves, and where to, follows from ``version``.
    """
    generator = torch.Generator().manual_seed(version)
    with torch.no_grad():
        table = recommender.network.items
        number = max(1, int(_CHANGED_SHARE * len(table)))
        rows = torch.randperm(len(table), generator=generator)[:number]
        for name, weight in recommender.network.named_parameters():
            if name == "items":
                weight[rows] += 0.05 * torch.randn(len(rows), weight.shape[1], generator=generator)
            elif name != "item_bias":
                weight.add_(1e-3 * torch.randn(weight.shape, generator=generator))


def manifest(version: int, recommender: Recommender) -> WeightManifest:
    """As a trainer writes it, with made-up positions."""
    return WeightManifest(
        format=FORMAT,
        version=version,
        parent=version - 1 or None,
        label=version,
        created_ms=time.time_ns() // 1_000_000,
        trained_through={0: version},
        windows_read={0: version},
        files=[],
        model=recommender.settings.model_dump(mode="json"),
        items=len(recommender.vocabulary),
        events=version,
        scores={},
    )


def first_version(url: str, recommender: Recommender, snapshot_every: int) -> FsspecWeightStore:
    """A store in which this recommender is version 1, which the pointer names."""
    store = FsspecWeightStore(url, snapshot_every)
    store.write(manifest(1, recommender), recommender.save())
    store.advance(Pointer(1, 1))
    return store
