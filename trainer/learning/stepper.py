"""Who takes the optimizer's steps: this process by itself, or several in step.

Several are in ``trainer.distributed.data_parallel``.
"""

from __future__ import annotations

from typing import Protocol

from everfresh.model.optimizer import descend
from everfresh.trainer.learning.network import Network
from everfresh.trainer.learning.strategies.base import Strategy
from everfresh.trainer.learning.training_batch import TrainingBatch


class Stepper(Protocol):
    """Takes optimizer steps on behalf of ``trainer.learning.training``, which calls it in order."""

    def descend(self, network: Network, strategy: Strategy, batch: TrainingBatch) -> float:
        """One step on the strategy's loss of ``batch``; the loss before it, of the whole batch."""


class SingleProcess:
    """One process, which is all that most need."""

    def descend(self, network: Network, strategy: Strategy, batch: TrainingBatch) -> float:
        """See :class:`Stepper`."""
        return descend(network.recommender, network.optimizer, strategy.loss(network, batch))


SINGLE_PROCESS = SingleProcess()
