"""What a window leaves as a mean of the weights before it and after it.

Many passes over a window fit it too closely and cost what was known before; a point between the
two versions is better on both (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").
The next window begins there, so that the lineage is a running average of what its windows
taught, at no cost in tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.vocabulary import UNKNOWN


@dataclass(frozen=True)
class ParentWeights:
    """Copies of all weights before a window, and which rows held items then, the cold row first."""

    weights: list[Tensor]
    rows: npt.NDArray[np.int64]

    @classmethod
    def of(cls, recommender: Recommender) -> ParentWeights:
        """Taken before a window's items are admitted."""
        weights = [weight.detach().clone() for weight in recommender.parameters()]
        return cls(weights, np.append(UNKNOWN, recommender.vocabulary.item_rows()))

    def blend(self, recommender: Recommender, share: float) -> None:
        """Move ``recommender`` by ``share`` of the way back to these weights.

        Rows of items that came or went since stay as they are.
        """
        still = np.append(UNKNOWN, recommender.vocabulary.item_rows())
        both = torch.from_numpy(np.intersect1d(self.rows, still))
        rows = both.to(recommender.network.device)
        tables = {id(table) for table in recommender.item_tables()}
        for weight, old in zip(recommender.parameters(), self.weights, strict=True):
            if id(weight) in tables:
                weight.data[rows] = torch.lerp(weight.data[rows], old[rows], share)
            else:
                weight.data.lerp_(old, share)
