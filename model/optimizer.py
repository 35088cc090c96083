"""The optimiser beside a growing model: one step, growth, and exact continuation (law 5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.safetensors import TableFile
from everfresh.model.network.batches import Batch
from everfresh.model.recommender import Recommender
from everfresh.model.touched_rows import Ints
from everfresh.model.weights import decode_tensors, tensor_table

_MAX_NORM = 1.0
_BETAS = (0.9, 0.99)
_WHAT = "optimizer state"


def build_optimizer(
    recommender: Recommender, learning_rate: float, weight_decay: float = 0.0
) -> torch.optim.AdamW:
    """AdamW over all weights. No schedule: a stream has no end to decay towards."""
    return torch.optim.AdamW(
        recommender.parameters(),
        lr=learning_rate,
        betas=_BETAS,
        weight_decay=weight_decay,
        fused=True,
    )


def step(recommender: Recommender, optimizer: torch.optim.Optimizer, batch: Batch) -> float:
    """One optimisation step on the recommender's own loss; returns the loss before it."""
    return descend(recommender, optimizer, recommender.loss(batch))


def descend(recommender: Recommender, optimizer: torch.optim.Optimizer, loss: Tensor) -> float:
    """One optimisation step down ``loss``, a scalar, gradients clipped to norm 1; returns it."""
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    apply_gradients(recommender, optimizer)
    return float(loss.detach())


def apply_gradients(recommender: Recommender, optimizer: torch.optim.Optimizer) -> None:
    """One optimisation step with the gradients there are, clipped to norm 1."""
    torch.nn.utils.clip_grad_norm_(recommender.parameters(), _MAX_NORM)
    optimizer.step()


def grow_optimizer(optimizer: torch.optim.Optimizer) -> None:
    """Pad the state of every parameter that has grown with zeros: new rows have no momentum."""
    for weight, state in optimizer.state.items():
        for name, value in state.items():
            missing = weight.shape[0] - value.shape[0] if value.dim() else 0
            if missing > 0:
                state[name] = torch.cat([value, value.new_zeros(missing, *value.shape[1:])])


def forget_rows(
    optimizer: torch.optim.Optimizer, recommender: Recommender, rows: Sequence[int]
) -> None:
    """Zero the state of these rows of the item tables: who gets them next begins without it."""
    for table in recommender.item_tables():
        for value in optimizer.state.get(table, {}).values():
            if value.dim():
                value[list(rows)] = 0.0


def optimizer_tables(
    optimizer: torch.optim.Optimizer, recommender: Recommender, touched: Ints | None = None
) -> TableFile:
    """The state as a version keeps it, named ``parameter/field``; learning rate and betas are
    settings. ``touched`` are the item rows that steps went over since the last version."""
    tables = {id(table) for table in recommender.item_tables()}
    return TableFile(
        {
            f"{name}/{field}": tensor_table(
                value, touched if id(weight) in tables and value.dim() else None
            )
            for name, weight in recommender.network.named_parameters()
            for field, value in optimizer.state.get(weight, {}).items()
        }
    )


def encode_optimizer(optimizer: torch.optim.Optimizer, recommender: Recommender) -> bytes:
    """The same as bytes."""
    return optimizer_tables(optimizer, recommender).to_bytes()


def restore_optimizer(
    optimizer: torch.optim.Optimizer, recommender: Recommender, raw: bytes
) -> None:
    """The inverse of :func:`encode_optimizer`: training goes on bit-equal.

    ``CorruptVersion`` where the state belongs to other weights.
    """
    weights = dict(recommender.network.named_parameters())
    states: dict[str, dict[str, Tensor]] = {}
    for key, value in decode_tensors(raw, _WHAT).items():
        name, _, field = key.partition("/")
        if name not in weights or (value.dim() and value.shape != weights[name].shape):
            expected = tuple(weights[name].shape) if name in weights else "no such weight"
            raise CorruptVersion(
                f"{_WHAT}: {key} has shape {tuple(value.shape)}, expected {expected}; "
                "take another version"
            )
        states.setdefault(name, {})[field] = value.to(weights[name].device)
    for name, state in states.items():
        optimizer.state[weights[name]] = state
