"""Optimizer steps on the rows of item tables that a batch has read, and on no others.

AdamW's second moments (Kingma and Ba 2015) without its first ones (which makes RMSProp of it):

    v = b2^k v + (1 - b2) g^2        w = w - rate g / (sqrt(v / (1 - b2^t)) + eps)

at step ``t``, when the row was last stepped ``k`` steps ago. Without a first moment a row without a
gradient moves by nothing, and its second one fades by ``b2``: so a row that sleeps costs nothing,
and ends where steps over the whole table would have brought it, within the rounding of ``b2^k``.
What a first moment spreads over the ten steps after a gradient is done at once (decision 39).

Moments are kept in bfloat16, a quarter of what a row of a version has. While a window is learnt,
those of the rows that it steps are float32: they are rounded once, as it ends.
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
MOMENTS = torch.bfloat16
"""Of what type they are between windows, and in a version."""
_EPSILON = 1e-8


class RowSteps:
    """Of tables ``(rows, ...)`` by name, whose first dimensions are the same rows.

    ``moments`` by name are of the tables' shapes, as of :meth:`settle`. ``stepped`` ``(rows,)`` is
    the number of the step that they are as of.
    """

    def __init__(self, tables: Mapping[str, nn.Parameter]) -> None:
        self.tables = dict(tables)
        rows, device = self._rows, next(iter(self.tables.values())).device
        self.moments = {
            name: torch.zeros_like(table.detach(), dtype=MOMENTS)
            for name, table in self.tables.items()
        }
        self.stepped = torch.zeros(rows, dtype=torch.int64, device=device)
        self._place = torch.zeros(rows, dtype=torch.int32, device=device)
        self.steps = 0
        self._start(keep=False)

    @property
    def _rows(self) -> int:
        return next(iter(self.tables.values())).shape[0]

    def begin_window(self, *, keep: bool) -> None:
        """From now on remember which rows are stepped, and with ``keep`` what they were before."""
        self.settle()
        self._start(keep=keep)

    def _start(self, *, keep: bool) -> None:
        """``_exact`` are the moments of the rows of ``_touched``, in that order, by name;
        ``_place`` says where a row of them stands."""
        self._begin = self.steps
        self._touched: list[Tensor] = []
        self._exact = {name: torch.zeros_like(t.detach()[:0]) for name, t in self.tables.items()}
        self._before: dict[str, list[Tensor]] | None = None
        if keep:
            self._before = {name: [] for name in self.tables}

    def settle(self) -> None:
        """Round the moments to what ``moments`` and a version hold; to go on from them is to go on
        from that version. Nothing changes the second time."""
        if self._touched:
            rows = torch.cat(self._touched)
            for name, exact in self._exact.items():
                self.moments[name][rows] = exact.to(MOMENTS)
                exact.copy_(self.moments[name][rows])

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
        at = self._place[rows].long()
        left = torch.pow(BETA, (self.steps - self.stepped[rows]).double()).float()
        for name, exact in self._exact.items():
            wide = left.reshape(-1, *[1] * (exact.dim() - 1))
            fresh = exact[at] * wide
            if name in gradients:
                values = gradients[name].at(rows)
                fresh.addcmul_(values, values, value=1 - BETA)
                root = (fresh / (1 - BETA**self.steps)).sqrt_().add_(_EPSILON)
                self.tables[name].data.index_add_(0, rows, values / root, alpha=-rate)
            exact.index_copy_(0, at, fresh)
        self.stepped[rows] = self.steps

    def _remember(self, rows: Tensor) -> None:
        fresh = rows[self.stepped[rows] <= self._begin]
        had = len(next(iter(self._exact.values())))
        self._touched.append(fresh)
        self._place[fresh] = torch.arange(
            had, had + len(fresh), dtype=torch.int32, device=fresh.device
        )
        for name, exact in self._exact.items():
            self._exact[name] = lengthen(exact, had + len(fresh))
            self._exact[name][had:] = self.moments[name][fresh]
        if self._before is not None:
            for name, table in self.tables.items():
                self._before[name].append(table.detach()[fresh])

    def grow(self) -> None:
        """As the tables have: new rows have no moments."""
        rows = self._rows
        self.moments = {name: lengthen(value, rows) for name, value in self.moments.items()}
        self.stepped = lengthen(self.stepped, rows)
        self._place = lengthen(self._place, rows)

    def forget(self, rows: Sequence[int]) -> None:
        """Who gets these rows next begins without moments. No step of this window may have been
        taken yet."""
        self.begin_window(keep=self._before is not None)
        at = list(rows)
        for value in (*self.moments.values(), self.stepped):
            value[at] = 0
