"""Optimizer steps on the rows of item tables that a batch has read, and on no others.

AdamW's second moments (Kingma and Ba 2015) without its first ones (which makes RMSProp of it):

    v = b2^k v + (1 - b2) g^2        w = w - rate g / (sqrt(v / (1 - b2^t)) + eps)

at step ``t``, when the row was last stepped ``k`` steps ago. Without a first moment a row without a
gradient moves by nothing, and its second one fades by ``b2``: so a row that sleeps costs nothing,
and ends where steps over the whole table would have brought it, within the rounding of ``b2^k``.
What a first moment spreads over the ten steps after a gradient is done at once (decision 39).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from everfresh.model.network.row_reads import RowGradient
from everfresh.model.vocabulary.sightings import ItemRows
from everfresh.model.weights import lengthen

BETA = 0.99
"""What a step leaves of the second moment."""
_EPSILON = 1e-8


class RowSteps:
    """Of tables ``(rows, ...)`` by name, whose first dimensions are the same rows.

    ``moments`` by name are of the tables' shapes, ``stepped`` ``(rows,)`` is the number of the step
    that they are as of.
    """

    def __init__(self, tables: Mapping[str, nn.Parameter]) -> None:
        self.tables = dict(tables)
        rows, device = self._rows, next(iter(self.tables.values())).device
        self.moments = {n: torch.zeros_like(table.detach()) for n, table in self.tables.items()}
        self.stepped = torch.zeros(rows, dtype=torch.int64, device=device)
        self.steps = 0
        self.begin_window(keep=False)

    @property
    def _rows(self) -> int:
        return next(iter(self.tables.values())).shape[0]

    def begin_window(self, *, keep: bool) -> None:
        """From now on remember which rows are stepped, and with ``keep`` what they were before."""
        self._begin = self.steps
        self._touched: list[Tensor] = []
        self._before: dict[str, list[Tensor]] | None = None
        if keep:
            self._before = {name: [] for name in self.tables}

    def touched(self) -> ItemRows:
        """Rows stepped since :meth:`begin_window`, ascending."""
        if not self._touched:
            return np.zeros(0, np.int64)
        rows: ItemRows = torch.cat(self._touched).sort().values.cpu().numpy()
        return rows

    def before(self) -> dict[str, Tensor]:
        """What the rows of :meth:`touched` were, by table, where it was to be kept."""
        if not self._touched or self._before is None:
            return {name: table.detach()[:0] for name, table in self.tables.items()}
        order = torch.cat(self._touched).argsort()
        return {name: torch.cat(parts)[order] for name, parts in self._before.items()}

    def step(self, gradients: Mapping[str, RowGradient], rate: float) -> None:
        """One step down these gradients, by table."""
        if not gradients:
            return
        self.steps += 1
        rows = torch.unique(torch.cat([gradient.rows for gradient in gradients.values()]))
        self._remember(rows)
        left = torch.pow(BETA, (self.steps - self.stepped[rows]).double()).float()
        for name, moments in self.moments.items():
            wide = left.reshape(-1, *[1] * (moments.dim() - 1))
            fresh = moments[rows] * wide
            if name in gradients:
                values = gradients[name].at(rows)
                fresh.addcmul_(values, values, value=1 - BETA)
                root = (fresh / (1 - BETA**self.steps)).sqrt_().add_(_EPSILON)
                self.tables[name].data.index_add_(0, rows, values / root, alpha=-rate)
            moments.index_copy_(0, rows, fresh)
        self.stepped[rows] = self.steps

    def _remember(self, rows: Tensor) -> None:
        fresh = rows[self.stepped[rows] <= self._begin]
        self._touched.append(fresh)
        if self._before is not None:
            for name, table in self.tables.items():
                self._before[name].append(table.detach()[fresh])

    def grow(self) -> None:
        """As the tables have: new rows have no moments."""
        rows = self._rows
        self.moments = {name: lengthen(value, rows) for name, value in self.moments.items()}
        self.stepped = lengthen(self.stepped, rows)

    def forget(self, rows: Sequence[int]) -> None:
        """Who gets these rows next begins without moments."""
        at = list(rows)
        for value in (*self.moments.values(), self.stepped):
            value[at] = 0
