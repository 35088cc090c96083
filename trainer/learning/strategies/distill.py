"""Replay with distillation: the past is learnt from what the parent version said of it.

ADER (Mi, Lin, Faltings, RecSys 2020, section 3.2): the new window is learnt from its targets; on
replayed examples the network is held to its parent's softmax over the items the parent knew,

    loss = CE(window) + lambda KD(past),  lambda = base sqrt(items before / items now
                                                             * targets held / targets new)

The parent's outputs are computed as they are needed rather than stored: the parent is the very
version that this window began from, so that the checkpoint holds it already. Over large catalogues
the softmax is sampled like the loss: over ``model.negatives`` items, their part scaled up to stand
for all, and the batch's own targets.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from everfresh.contracts.settings import Settings
from everfresh.contracts.window import TrainingWindow
from everfresh.model.network.batches import Batch
from everfresh.model.recommender import Recommender
from everfresh.trainer.learning.network import Network
from everfresh.trainer.learning.strategies.replay import Replay
from everfresh.trainer.learning.training_batch import TrainingBatch


class Distill(Replay):
    """As replay, but the past has no targets: the parent is its teacher."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._parent: Recommender | None = None
        self._weight = 0.0
        self._shared = torch.zeros(0, dtype=torch.long)

    def begin(self, network: Network, window: TrainingWindow, number: int) -> None:
        """Keep the parent as it is now, and weigh the past against this window."""
        self._parent = copy.deepcopy(network.recommender)
        seen = {target.item for example in window.examples for target in example.targets}
        before = len(self._parent.vocabulary)
        now = before + sum(item not in self._parent.vocabulary for item in seen)
        held = self.memory.targets
        share = before / max(1, now) * held / max(1, window.events)
        self._weight = self.settings.trainer.distill_weight * math.sqrt(share)

    def training_batches(
        self, network: Network, window: TrainingWindow, number: int, epoch: int
    ) -> list[TrainingBatch]:
        """The window's batches, each with an even part of the replayed examples apart."""
        assert self._parent is not None, "a window begins before its first pass"
        known = self._parent.vocabulary.shared_rows(network.recommender.vocabulary)
        self._shared = torch.from_numpy(known).to(network.recommender.network.device)
        batches = self.shuffled_batches(network, window.examples, number, epoch)
        past = self.draw(window, number, epoch)
        parts = [past[at :: len(batches)] for at in range(len(batches))]
        return [
            TrainingBatch(batch, self.one_batch(network, part) if part else None)
            for batch, part in zip(batches, parts, strict=True)
        ]

    def loss(self, network: Network, batch: TrainingBatch) -> Tensor:
        """Cross-entropy on the window, weighted distillation on the past."""
        loss = super().loss(network, batch)
        if batch.past is None or self._parent is None:
            return loss
        said = distillation(network.recommender, self._parent, batch.past, self._shared)
        return loss + self._weight * said


def distillation(student: Recommender, parent: Recommender, batch: Batch, shared: Tensor) -> Tensor:
    """Mean cross-entropy of the student's softmax against the parent's, over the ``shared`` rows.

    ``- sum_i p_parent(i) log p_student(i)`` per token that predicts a shared row (ADER, section
    3.2). Draws from torch's global generator where there are more rows than ``model.negatives``.
    """
    batch = batch.to(student.network.device)
    at = torch.nonzero(batch.predicts & torch.isin(batch.targets, shared)).squeeze(1)
    if not len(at):
        return torch.zeros((), device=batch.rows.device)
    rows, correction = _candidates(torch.unique(batch.targets[at]), shared, student)
    with torch.no_grad():
        theirs = parent.logits(parent.network(batch)[at], rows) + correction
        wanted = torch.softmax(theirs, dim=1)
    users = student.network(batch, student.settings.dropout)[at]
    said = torch.log_softmax(student.logits(users, rows) + correction, dim=1)
    return -(wanted * said).sum(1).mean()


def _candidates(own: Tensor, shared: Tensor, student: Recommender) -> tuple[Tensor, Tensor]:
    """Rows to compare on, all or the batch's ``own`` and a sample; what to add to their scores."""
    number = student.settings.negatives
    if len(shared) <= number:
        return shared, torch.zeros(len(shared), device=shared.device)
    drawn = shared[torch.randperm(len(shared), device=shared.device)[:number]]
    drawn = drawn[~torch.isin(drawn, own)]
    scale = math.log((len(shared) - len(own)) / max(1, len(drawn)))
    correction = torch.zeros(len(own) + len(drawn), device=shared.device)
    correction[len(own) :] = scale
    return torch.cat([own, drawn]), correction
