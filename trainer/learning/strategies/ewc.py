"""Elastic weight consolidation: weights that mattered are held near where they were.

Kirkpatrick et al. 2017 (PNAS 114:13, equation 3): ``loss + weight / 2 sum_i F_i (w_i - w*_i)^2``,
with ``F`` the diagonal Fisher information. Online (Schwarz et al. 2018, "Progress and Compress",
section 3.1): one anchor ``w*``, the parent's weights, and one fading ``F = decay F + F_new``.
``F_new`` is the empirical Fisher: the mean over examples of the squared gradient of their loss.
The anchor is the version that the window began from, so only ``F`` needs keeping.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

import torch
from torch import Tensor

from everfresh.contracts.settings import Settings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.optimizer import drop_gradients, take_gradients
from everfresh.model.weights import decode_tensors, encode_tensors
from everfresh.trainer.learning.network import Network
from everfresh.trainer.learning.strategies.base import Strategy
from everfresh.trainer.learning.training_batch import TrainingBatch

_PICK, _NOISE = 3, 4


class Ewc(Strategy):
    """Passes over the window, under the penalty; its memory is the Fisher information."""

    memory_kind = "fisher"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._fisher: dict[str, Tensor] = {}
        self._anchor: dict[str, Tensor] = {}

    def begin(self, network: Network, window: TrainingWindow, number: int) -> None:
        """The parent's weights are the anchor."""
        named = network.recommender.network.named_parameters()
        self._anchor = {name: weight.detach().clone() for name, weight in named}
        device = network.recommender.network.device  # what was restored is on the CPU
        self._fisher = {name: value.to(device) for name, value in self._fisher.items()}

    def loss(self, network: Network, batch: TrainingBatch) -> Tensor:
        """The window's loss and the pull towards the anchor."""
        loss = super().loss(network, batch)
        weights = dict(network.recommender.network.named_parameters())
        return loss + self.settings.trainer.ewc_weight * penalty(
            weights, self._anchor, self._fisher
        )

    def remember(self, network: Network, window: TrainingWindow, number: int) -> None:
        """Fade the Fisher information and add that of this window."""
        number_of = min(self.settings.trainer.ewc_examples, len(window.examples))
        picked = random.Random(self.seed(number, _PICK)).sample(window.examples, number_of)
        torch.manual_seed(self.seed(number, _NOISE))
        fresh = self._estimate(network, picked)
        for name, value in fresh.items():
            before = self._fisher.get(name)
            if before is not None:
                _head(value, before).add_(before, alpha=self.settings.trainer.ewc_decay)
        self._fisher = fresh

    def _estimate(self, network: Network, examples: list[DecodedExample]) -> dict[str, Tensor]:
        """Mean squared gradients of all weights."""
        named = dict(network.recommender.network.named_parameters())
        fisher = {name: torch.zeros_like(weight) for name, weight in named.items()}
        for example in examples:
            drop_gradients(network.recommender)
            torch.autograd.backward(network.recommender.loss(self.one_batch(network, [example])))
            share = 1 / len(examples)
            for name, read in take_gradients(network.optimizer, network.recommender).items():
                fisher[name].index_add_(0, read.rows, read.values.square(), alpha=share)
            for name, weight in named.items():
                if weight.grad is not None:
                    fisher[name].addcmul_(weight.grad, weight.grad, value=share)
        drop_gradients(network.recommender)
        return fisher

    def encode(self) -> bytes:
        """safetensors, by the weights' names."""
        return encode_tensors(self._fisher)

    def restore(self, raw: bytes) -> None:
        """Those tensors."""
        self._fisher = decode_tensors(raw, "the expected Fisher information")


def penalty(
    weights: Mapping[str, Tensor], anchor: Mapping[str, Tensor], fisher: Mapping[str, Tensor]
) -> Tensor:
    """``1/2 sum F (w - w*)^2``; rows that have grown since have no past, and are free."""
    total = torch.zeros(())
    for name, importance in fisher.items():
        moved = _head(weights[name], importance) - anchor[name]
        total = total + (importance * moved.square()).sum()
    return total / 2


def _head(tensor: Tensor, smaller: Tensor) -> Tensor:
    """The rows of ``tensor`` that ``smaller`` has too."""
    return tensor[: smaller.shape[0]] if smaller.dim() else tensor
