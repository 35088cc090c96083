"""Training one window with several processes in step: data parallel, gradients summed.

Every member holds the whole network and makes the same training batches; of each it computes the
sequences that are its own. The gradients, weighted by targets, are summed over the members, so that
all of them take the step that one alone would take, within the order of additions. Each step is
seeded anew, so that all draw the same negatives; dropout masks are each member's own. Sums go over
gloo between CPUs and over nccl between GPUs.

Knows no Ray: who starts members and replaces lost ones is in ``trainer.distributed.ray_workers``.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from torch.distributed import ProcessGroupGloo

from everfresh.contracts.errors import WorkerLost
from everfresh.model.optimizer import apply_gradients
from everfresh.trainer.learning.network import Network
from everfresh.trainer.learning.strategies.base import Strategy
from everfresh.trainer.learning.training_batch import TrainingBatch


class DataParallelMember:
    """One of ``size`` processes. All must take the same steps; ``WorkerLost`` where one is gone.

    A :class:`~everfresh.trainer.learning.stepper.Stepper`. ``store`` is the ``torch.distributed``
    store where they meet; the constructor waits for all. Gradients are on ``device``.
    """

    def __init__(
        self, store: Any, rank: int, size: int, timeout_s: float, device: str = "cpu"
    ) -> None:
        self._rank = rank
        self._size = size
        make = _nccl if device == "cuda" else ProcessGroupGloo
        try:
            self._group: Any = make(store, rank, size, timedelta(seconds=timeout_s))
        except RuntimeError as error:
            raise _lost(error) from None

    def descend(self, network: Network, strategy: Strategy, batch: TrainingBatch) -> float:
        """See ``Stepper``. The loss must be a mean over the batch's targets that have a row."""
        own_part = batch.restricted_to(self._rank, self._size)
        own_targets = own_part.learnt_targets
        network.optimizer.zero_grad(set_to_none=True)
        loss = torch.zeros(1, device=network.recommender.network.device)
        if own_targets:
            share = strategy.loss(network, own_part) * (own_targets / batch.learnt_targets)
            torch.autograd.backward(share)
            loss += share.detach()
        weights = network.recommender.parameters()
        self._sum_gradients(weights, loss)
        apply_gradients(network.recommender, network.optimizer)
        return float(loss)

    def _sum_gradients(self, weights: list[torch.nn.Parameter], loss: Tensor) -> None:
        """All in one message: gradients, which of them there are, and the loss."""
        there = torch.tensor([float(weight.grad is not None) for weight in weights])
        grads = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
        flat = torch.cat([*(grad.reshape(-1) for grad in grads), there.to(loss.device), loss])
        try:
            self._group.allreduce([flat]).wait()
        except RuntimeError as error:
            raise _lost(error) from None
        *parts, there, total = torch.split(flat, [*(w.numel() for w in weights), len(weights), 1])
        for weight, grad, members in zip(weights, parts, there.tolist(), strict=True):
            weight.grad = grad.view_as(weight).clone() if members else None
        loss.copy_(total)


def _nccl(store: Any, rank: int, size: int, timeout: timedelta) -> Any:
    """A group of processes with a GPU each. A lost one is an error here, as it is with gloo."""
    from torch.distributed import ProcessGroupNCCL  # noqa: PLC0415 - builds for CPUs have none

    # Otherwise a thread of its own ends the whole process when a sum takes too long.
    os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")
    made: Any = ProcessGroupNCCL  # its stubs know the constructor with options alone
    return made(store, rank, size, timeout)


def _lost(error: RuntimeError) -> WorkerLost:
    return WorkerLost(f"a training worker was lost ({str(error).splitlines()[0]})")
