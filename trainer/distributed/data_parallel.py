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
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from torch.distributed import ProcessGroupGloo
from torch.nn import functional

from everfresh.contracts.errors import WorkerLost
from everfresh.model.network.row_reads import RowGradient
from everfresh.model.optimizer import RowGradients, apply_gradients, take_gradients
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
        recommender = network.recommender
        loss = torch.zeros(1, device=recommender.network.device)
        if own_targets:
            share = strategy.loss(network, own_part) * (own_targets / batch.learnt_targets)
            torch.autograd.backward(share)
            loss += share.detach()
        own = take_gradients(network.optimizer, recommender)
        tables = network.optimizer.rows.tables
        dense = [w for n, w in recommender.network.named_parameters() if n not in tables]
        try:
            rows = self._sum_gradients(dense, tables, own, loss)
        except RuntimeError as error:
            raise _lost(error) from None
        apply_gradients(recommender, network.optimizer, rows)
        return float(loss)

    def _sum_gradients(
        self,
        weights: list[torch.nn.Parameter],
        tables: Mapping[str, torch.nn.Parameter],
        own: RowGradients,
        loss: Tensor,
    ) -> RowGradients:
        """All in one message: gradients, which of them there are, and the loss.

        Of item tables only the rows that some member has read are sent: their sums are returned.
        """
        rows = self._rows_of_all([gradient.rows for gradient in own.values()], loss.device)
        there = [float(weight.grad is not None) for weight in weights]
        there += [float(name in own) for name in tables]
        grads = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
        for name, table in tables.items():
            blank = table.detach().new_zeros(len(rows), *table.shape[1:])
            grads.append(own[name].at(rows) if name in own else blank)
        known = torch.tensor(there).to(loss.device)
        flat = torch.cat([*(grad.reshape(-1) for grad in grads), known, loss])
        self._group.allreduce([flat]).wait()
        *parts, known, total = torch.split(flat, [*(g.numel() for g in grads), len(there), 1])
        loss.copy_(total)
        summed = [
            part.view_as(grad).clone() if members else None
            for part, grad, members in zip(parts, grads, known.tolist(), strict=True)
        ]
        for weight, grad in zip(weights, summed, strict=False):
            weight.grad = grad
        blocks = zip(tables, summed[len(weights) :], strict=True)
        return {name: RowGradient(rows, block) for name, block in blocks if block is not None}

    def _rows_of_all(self, own: list[Tensor], device: torch.device) -> Tensor:
        """Ascending rows of which some member has a gradient; the same in all of them."""
        nothing = torch.zeros(0, dtype=torch.int64, device=device)
        mine = torch.unique(torch.cat([nothing, *own]))
        told = self._gather(torch.tensor([len(mine)]).to(device))
        counts: list[int] = torch.cat(told).tolist()
        padded = functional.pad(mine, (0, max(counts) - len(mine)))
        found = zip(self._gather(padded), counts, strict=True)
        rows: Tensor = torch.unique(torch.cat([part[:count] for part, count in found]))
        return rows

    def _gather(self, own: Tensor) -> list[Tensor]:
        """Every member's, in order of their ranks."""
        found = [torch.empty_like(own) for _ in range(self._size)]
        self._group.allgather([found], [own]).wait()
        return found


def _nccl(store: Any, rank: int, size: int, timeout: timedelta) -> Any:
    """A group of processes with a GPU each. A lost one is an error here, as it is with gloo."""
    from torch.distributed import ProcessGroupNCCL  # noqa: PLC0415 - builds for CPUs have none

    # Otherwise a thread of its own ends the whole process when a sum takes too long.
    os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")
    made: Any = ProcessGroupNCCL  # its stubs know the constructor with options alone
    return made(store, rank, size, timeout)


def _lost(error: RuntimeError) -> WorkerLost:
    return WorkerLost(f"a training worker was lost ({str(error).splitlines()[0]})")
