"""What a window leaves as a mean of the weights before it and after it.

Many passes over a window fit it too closely and cost what was known before; a point between the
two versions is better on both (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").
The next window begins there, so that the lineage is a running average of what its windows
taught, at no cost in tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from everfresh.model.vocabulary.sightings import ItemRows
from everfresh.trainer.learning.network import Network


@dataclass(frozen=True)
class ParentWeights:
    """Copies of all weights before a window but the item tables, by name; of these the optimizer
    keeps each row that it steps, as it was."""

    weights: dict[str, Tensor]

    @classmethod
    def of(cls, network: Network) -> ParentWeights:
        """Taken after :meth:`RowSteps.begin_window`, before the first step."""
        tables = network.optimizer.rows.tables
        named = network.recommender.network.named_parameters()
        return cls({n: weight.detach().clone() for n, weight in named if n not in tables})

    def blend(self, network: Network, share: float, new: ItemRows) -> None:
        """Move ``network`` by ``share`` of the way back to these weights.

        Rows that were not stepped are where they were. ``new`` rows, whose items came or went in
        this window, stay as they are.
        """
        steps = network.optimizer.rows
        rows, device = steps.touched(), steps.stepped.device
        places = np.flatnonzero(~np.isin(rows, new))
        kept, at = (torch.from_numpy(part).to(device) for part in (places, rows[places]))
        for name, before in steps.before().items():
            table = steps.tables[name].data
            table[at] = torch.lerp(table[at], before[kept], share)
        weights = dict(network.recommender.network.named_parameters())
        for name, old in self.weights.items():
            weights[name].data.lerp_(old, share)
