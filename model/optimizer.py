"""The optimiser beside a growing model: one step, growth, and exact continuation (law 5).

AdamW over the network, and over the item tables the steps of ``model.row_steps``, which touch the
rows that a batch has read: what a step costs does not follow the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.safetensors import TableFile
from everfresh.model.network.batches import Batch
from everfresh.model.network.row_reads import RowGradient
from everfresh.model.recommender import Recommender
from everfresh.model.row_steps import BETA, MOMENTS, RowSteps
from everfresh.model.touched_rows import Ints
from everfresh.model.weights import decode_tensors, tensor_table

_MAX_NORM = 1.0
_BETAS = (0.9, BETA)
_WHAT = "optimizer state"
_STEPPED, _STEP = "rows/stepped", "rows/step"
_MOMENT, _COUNT = "exp_avg_sq", "step"

RowGradients = Mapping[str, RowGradient]
"""Of item tables, by name."""


class Optimizer:
    """Made by :func:`build_optimizer`. ``dense`` is AdamW over all weights but the item tables,
    ``rows`` has the moments of these."""

    def __init__(self, recommender: Recommender, learning_rate: float) -> None:
        named = dict(recommender.network.named_parameters())
        tables = {id(table) for table in recommender.item_tables()}
        own = {name: weight for name, weight in named.items() if id(weight) in tables}
        self.rows = RowSteps(own)
        self.dense = torch.optim.AdamW(
            [weight for weight in named.values() if id(weight) not in tables],
            lr=learning_rate,
            betas=_BETAS,
            weight_decay=0.0,
            fused=True,
        )

    @property
    def rate(self) -> float:
        """The learning rate."""
        return float(self.dense.param_groups[0]["lr"])

    @rate.setter
    def rate(self, rate: float) -> None:
        self.dense.param_groups[0]["lr"] = rate

    def clear(self) -> None:
        """Forget all moments."""
        self.dense.state.clear()
        self.rows = RowSteps(self.rows.tables)


def build_optimizer(recommender: Recommender, learning_rate: float) -> Optimizer:
    """Over all weights. No schedule: a stream has no end to decay towards."""
    return Optimizer(recommender, learning_rate)


def step(recommender: Recommender, optimizer: Optimizer, batch: Batch) -> float:
    """One optimisation step on the recommender's own loss; returns the loss before it."""
    return descend(recommender, optimizer, recommender.loss(batch))


def descend(recommender: Recommender, optimizer: Optimizer, loss: Tensor) -> float:
    """One optimisation step down ``loss``, a scalar, gradients clipped to norm 1; returns it.

    No other loss may have been made since the step before."""
    torch.autograd.backward(loss)
    apply_gradients(recommender, optimizer, take_gradients(optimizer, recommender))
    return float(loss.detach())


def drop_gradients(recommender: Recommender) -> None:
    """Forget all that there are, and what was read of the item tables."""
    recommender.network.reads.clear()
    for weight in recommender.parameters():
        weight.grad = None


def take_gradients(optimizer: Optimizer, recommender: Recommender) -> RowGradients:
    """Those of the item tables, by name, which are then gone; others are at their weights."""
    reads = recommender.network.reads
    taken = {name: reads.take(name, table) for name, table in optimizer.rows.tables.items()}
    return {name: gradient for name, gradient in taken.items() if gradient is not None}


def apply_gradients(recommender: Recommender, optimizer: Optimizer, rows: RowGradients) -> None:
    """One optimisation step with the gradients there are and those of ``rows``, clipped to norm 1
    of all, which then are gone."""
    parts = [weight.grad for weight in recommender.parameters() if weight.grad is not None]
    parts += [gradient.values for gradient in rows.values()]
    clip_gradients(parts)
    optimizer.dense.step()
    optimizer.rows.step(rows, optimizer.rate)
    drop_gradients(recommender)


def clip_gradients(parts: Sequence[Tensor]) -> None:
    """Scale these parts of a gradient, in place, to a norm of 1 in all where it is more.

    Of item tables the rows that were read will do: the others are zeros.
    """
    if parts:
        norm = torch.nn.utils.get_total_norm(parts)
        scale = (_MAX_NORM / (norm + 1e-6)).clamp_(max=1.0)
        for part in parts:
            part.mul_(scale)


def grow_optimizer(optimizer: Optimizer) -> None:
    """Make room for the rows that the item tables have got: new rows have no moments."""
    optimizer.rows.grow()


def forget_rows(optimizer: Optimizer, rows: Sequence[int]) -> None:
    """Zero the state of these rows of the item tables: who gets them next begins without it."""
    optimizer.rows.forget(rows)


def optimizer_tables(
    optimizer: Optimizer, recommender: Recommender, touched: Ints | None = None
) -> TableFile:
    """The state as a version keeps it, named ``parameter/field``; learning rate and betas are
    settings. ``touched`` are the item rows that steps went over since the last version.

    Item tables have ``exp_avg_sq`` alone, each row as of step ``rows/stepped``.
    """
    tables = {
        f"{name}/{field}": tensor_table(value, None)
        for name, weight in recommender.network.named_parameters()
        for field, value in optimizer.dense.state.get(weight, {}).items()
    }
    rows = optimizer.rows
    rows.settle()
    if rows.steps:
        held = {f"{name}/{_MOMENT}": value for name, value in rows.moments.items()}
        held[_STEPPED] = rows.stepped
        tables |= {name: tensor_table(value, touched) for name, value in held.items()}
        tables[_STEP] = tensor_table(torch.tensor(rows.steps), None)
    return TableFile(tables)


def encode_optimizer(optimizer: Optimizer, recommender: Recommender) -> bytes:
    """The same as bytes."""
    return optimizer_tables(optimizer, recommender).to_bytes()


def restore_optimizer(optimizer: Optimizer, recommender: Recommender, raw: bytes) -> None:
    """The inverse of :func:`encode_optimizer`: training goes on bit-equal.

    Of an earlier build's state, which has first moments of item tables too, these are dropped, and
    longer ones are rounded.
    ``CorruptVersion`` where the state belongs to other weights.
    """
    found = decode_tensors(raw, _WHAT)
    if not found:
        return
    _restore_rows(optimizer.rows, found)
    weights = dict(recommender.network.named_parameters())
    states: dict[str, dict[str, Tensor]] = {}
    for key, value in found.items():
        name, _, field = key.partition("/")
        if name not in weights:
            raise _misfit(key, value, "no such weight")
        if value.dim() and value.shape != weights[name].shape:
            raise _misfit(key, value, tuple(weights[name].shape))
        states.setdefault(name, {})[field] = value.to(weights[name].device)
    for name, state in states.items():
        optimizer.dense.state[weights[name]] = state


def _restore_rows(rows: RowSteps, found: dict[str, Tensor]) -> None:
    """Take what is of item tables out of ``found``."""
    rows.begin_window(keep=False)
    number, device = len(rows.stepped), rows.stepped.device
    stepped, step = found.pop(_STEPPED, None), found.pop(_STEP, None)
    for name, table in rows.tables.items():
        own = {key: found.pop(key) for key in list(found) if key.startswith(f"{name}/")}
        moments = own.get(f"{name}/{_MOMENT}", torch.zeros(table.shape))
        if moments.shape != table.shape:
            raise _misfit(f"{name}/{_MOMENT}", moments, tuple(table.shape))
        rows.moments[name] = moments.to(device, MOMENTS)
        step = own.get(f"{name}/{_COUNT}") if step is None else step
    rows.steps = 0 if step is None else int(step)
    stepped = torch.full((number,), rows.steps) if stepped is None else stepped
    if stepped.shape != (number,) or stepped.dtype != torch.int64:
        raise _misfit(_STEPPED, stepped, (number,))
    rows.stepped = stepped.to(device)
    rows.begin_window(keep=False)


def _misfit(key: str, value: Tensor, expected: object) -> CorruptVersion:
    return CorruptVersion(
        f"{_WHAT}: {key} has shape {tuple(value.shape)}, expected {expected}; take another version"
    )
