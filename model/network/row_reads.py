"""Rows read from item tables: each read is a leaf, so that its gradient costs what was read.

A gradient of a whole table would be as large as the table, and all but zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class RowGradient:
    """The gradient of a table in these ascending ``rows`` ``(n,)``: ``values`` ``(n, ...)``.

    It is zero in all others.
    """

    rows: Tensor
    values: Tensor

    def at(self, rows: Tensor) -> Tensor:
        """The same of these ascending ``rows``, which have all of these among them."""
        if len(rows) == len(self.rows):
            return self.values
        values = self.values.new_zeros(len(rows), *self.values.shape[1:])
        return values.index_copy_(0, torch.searchsorted(rows, self.rows), self.values)


class RowReads:
    """What has been read of a network's item tables, by name, since their gradients were taken."""

    def __init__(self) -> None:
        self._reads: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def read(self, name: str, table: Tensor, rows: Tensor) -> Tensor:
        """``table[rows]``, for ``rows`` ``(n,)``; where gradients are on they are kept."""
        read = table.detach().index_select(0, rows)
        if torch.is_grad_enabled():
            self._reads.setdefault(name, []).append((rows, read.requires_grad_()))
        return read

    def clear(self) -> None:
        """Forget what was read."""
        self._reads.clear()

    def take(self, name: str, table: nn.Parameter) -> RowGradient | None:
        """The gradient of a table, ``None`` where there is none; what was read is forgotten.

        A gradient of the whole table, if it has one, counts too.
        """
        reads = [read for read in self._reads.pop(name, []) if read[1].grad is not None]
        whole, table.grad = table.grad, None
        parts = [leaf.grad for _, leaf in reads if leaf.grad is not None]
        if whole is not None:
            values = whole.clone()
            for (at, _), part in zip(reads, parts, strict=True):
                values.index_add_(0, at, part)
            return RowGradient(torch.arange(len(whole), device=whole.device), values)
        if not parts:
            return None
        rows, place = torch.unique(torch.cat([at for at, _ in reads]), return_inverse=True)
        values = parts[0].new_zeros(len(rows), *table.shape[1:])
        return RowGradient(rows, values.index_add_(0, place, torch.cat(parts)))
