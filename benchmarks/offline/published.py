"""Where meta-recsys/generative-recommenders differs from the product: order of ties, score, loss.

Ties. 43 % of MovieLens 1M's ratings share their user and second with one before them, and for 56 %
of the users the last second has several. The published preprocessing sorts by seconds alone, by
pandas and so by numpy's quicksort, which is not stable: what it leaves decides which of them is the
test. Processors with wide vectors sort in another order since numpy 1.25; this is the older one.

Score and loss. The cosine over the temperature alone, against 128 items that stand for nothing but
themselves; or against all items (``CosineRecommender``), as NetEase-Media/HSTU-Tensorflow has it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from everfresh.model.network.batches import Batch
from everfresh.model.network.losses import sampled_cross_entropy
from everfresh.model.recommender import Recommender
from everfresh.model.score_tables import ScoreTables
from everfresh.model.vocabulary.vocabulary import UNKNOWN

NEGATIVES = 128
GROUP = 32
"""Tokens that share a draw. The published code draws for each token by itself."""

_SORT = "import sys, numpy as n; s = n.frombuffer(sys.stdin.buffer.read(), n.int64)\n"
_SORT += "sys.stdout.buffer.write(n.argsort(s, kind='quicksort').astype(n.int64).tobytes())"


def quicksorted(seconds: Sequence[int]) -> list[int]:
    """Places in order of time, ties as numpy's quicksort without vectors leaves them.

    numpy chooses its sort as it is imported, so another process sorts.
    """
    plain = {**os.environ, "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"}
    sent = np.asarray(seconds, np.int64).tobytes()
    command = [sys.executable, "-W", "ignore", "-c", _SORT]
    done = subprocess.run(command, input=sent, env=plain, stdout=subprocess.PIPE, check=True)
    order: list[int] = np.frombuffer(done.stdout, np.int64).tolist()
    return order


class _CosineTables(ScoreTables):
    """Of items without a bias."""

    def _score_bias(self) -> Tensor:
        free = torch.from_numpy(self._vocabulary.free_rows()).to(self._network.device)
        return torch.zeros_like(self._network.item_bias.detach()).index_fill(0, free, -torch.inf)


class CosineRecommender(Recommender):
    """Scores items by the cosine alone, and learns against all of them."""

    _tables_of = _CosineTables

    def loss(self, batch: Batch) -> Tensor:
        """Softmax cross-entropy of each target against all items; the mean, a scalar."""
        users, items, targets = self._scored(batch)
        own = (users * items[targets]).sum(-1)
        none = torch.zeros(len(items), device=items.device)
        return sampled_cross_entropy(users, own, items, none, targets) / len(targets)

    def _scored(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """User vectors before the targets, all items over the temperature, places of targets."""
        self._tables.weights_changed()
        batch = batch.to(self.network.device)
        at = torch.nonzero(batch.predicts & (batch.targets != UNKNOWN)).squeeze(1)
        users = self.network(batch, self.settings.dropout)[at]
        rows = self._tables.counted()[1]
        items = functional.normalize(self.network.items[rows], dim=-1, eps=1e-6)
        items = items / self.settings.temperature
        places = torch.full((self.vocabulary.rows,), -1, device=rows.device)
        places[rows] = torch.arange(len(rows), device=rows.device)
        return users, items, places[batch.targets[at]]


class PublishedRecommender(CosineRecommender):
    """Scores items by the cosine alone, and learns against few of them."""

    def loss(self, batch: Batch) -> Tensor:
        """Softmax cross-entropy of each target against items drawn for it and its neighbours.

        The mean over the targets, a scalar. ``settings.negatives`` are drawn evenly and with
        repeats for each ``GROUP`` tokens; one that is a token's target counts as none of them.
        """
        users, items, targets = self._scored(batch)
        own = (users * items[targets]).sum(-1)
        return (torch.logaddexp(self._others(users, items, targets), own) - own).mean()

    def _others(self, users: Tensor, items: Tensor, targets: Tensor) -> Tensor:
        """Log of the sum of ``exp(score)`` of what was drawn, ``(n,)``."""
        number = len(targets)
        groups = -(-number // GROUP)
        lacking = groups * GROUP - number
        drawn = torch.randint(len(items), (groups, self.settings.negatives), device=items.device)
        padded = functional.pad(users, (0, 0, 0, lacking)).view(groups, GROUP, -1)
        scores = torch.bmm(padded, functional.embedding(drawn, items).transpose(1, 2))
        wanted = functional.pad(targets, (0, lacking), value=-1).view(groups, GROUP)
        scores = scores.masked_fill(drawn[:, None, :] == wanted[:, :, None], -torch.inf)
        return scores.view(groups * GROUP, -1)[:number].logsumexp(1)
