"""What a way of ranking makes of the network's scores of some rows: pooled, or by counts alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from everfresh.model.trends.contexts import Contexts
from everfresh.model.trends.counts import Floats, Ints
from everfresh.model.trends.table import AGAIN, COLUMNS, links_added
from everfresh.model.vocabulary.vocabulary import UNKNOWN


class Counted(Protocol):
    """What trends add to scores: a table of them, or a tail."""

    def weights_of(self, contexts: Contexts) -> Floats:
        """The weights ``(n, WEIGHTS)`` that hold for each."""

    def features_of(self, rows: Ints | slice) -> Floats:
        """Features of these rows, ascending; ``(n, COLUMNS)``."""

    def links(self, last: Ints) -> tuple[Ints, Floats]:
        """Followers ``(n, PLACES)`` of the rows ``last``, 0 for none, and features of the links."""


@dataclass(frozen=True)
class Way:
    """How targets are ranked: by the network and what is ``counted``, or by one ``column`` of the
    features of what is counted, alone: then everybody is shown the same."""

    counted: Counted | None
    column: int | None = None

    @property
    def pools(self) -> bool:
        """Whether the network and what is counted are both heard."""
        return self.counted is not None and self.column is None


@dataclass(frozen=True)
class Marked:
    """Places ``(target, row)`` ``(n,)``, with a value each where something is added or put there;
    in order of rows."""

    targets: Ints
    rows: Ints
    values: Floats | None = None

    @classmethod
    def sorted(cls, targets: Ints, rows: Ints, values: Floats | None = None) -> Marked:
        """Those on items; row 0 is none."""
        order = np.argsort(rows, kind="stable")[np.count_nonzero(rows == UNKNOWN) :]
        return cls(targets[order], rows[order], None if values is None else values[order])

    def of(self, rows: Ints | slice) -> tuple[Tensor, Tensor, Tensor | None]:
        """Targets, columns among these rows, ascending, and values of those that are there."""
        part: slice | Ints
        if isinstance(rows, slice):
            begin, end = np.searchsorted(self.rows, (rows.start, rows.stop)).tolist()
            part, columns = slice(begin, end), self.rows[begin:end] - rows.start
        else:
            columns = np.minimum(np.searchsorted(rows, self.rows), len(rows) - 1)
            part = np.flatnonzero(rows[columns] == self.rows)
            columns = columns[part]
        values = None if self.values is None else torch.from_numpy(self.values[part])
        return torch.from_numpy(self.targets[part]), torch.from_numpy(columns), values


FeaturesOf = dict[int, Tensor]
"""Features of some rows, by what is counted."""


class WayScores:
    """A way for some targets: what it makes of the network's scores."""

    def __init__(self, way: Way, contexts: Contexts, like: Tensor) -> None:
        self.way, number = way, len(contexts.last)
        self.marked: list[Marked] = []
        if not way.pools:
            return
        assert way.counted is not None
        self.numbers = way.counted.weights_of(contexts)
        self.weights = torch.from_numpy(self.numbers[:, : 1 + COLUMNS].copy()).to(like.device)
        rows, links = way.counted.links(contexts.last)
        each = np.arange(number)[:, None]
        # An item follows another in one place only.
        added = links_added(links, self.numbers)
        self.marked.append(_flat(np.broadcast_to(each, rows.shape), rows, added))
        # An item that is there twice counts once.
        pairs = np.unique(each << 32 | contexts.lately)
        again = pairs >> 32
        values = self.numbers[again, AGAIN]
        self.marked.append(Marked.sorted(again, pairs & 0xFFFF_FFFF, values))

    def fill(
        self, out: Tensor, network: Tensor, bias: Tensor, rows: Ints | slice, known: FeaturesOf
    ) -> None:
        """Make the scores ``out`` ``(n, rows)`` of these of the ``network``'s. ``known`` are what
        ways before had of these rows."""
        counted, column = self.way.counted, self.way.column
        if counted is None:
            out.copy_(network)
            return
        features = known.get(id(counted))
        if features is None:
            features = torch.from_numpy(counted.features_of(rows)).to(out.device)
            known[id(counted)] = features
        if column is not None:
            # What cannot be recommended has no feature either.
            out.copy_(torch.where(bias == -torch.inf, bias, features[:, column]))
            out[:, nothing(rows)] = -torch.inf
            return
        torch.mul(network, self.weights[:, :1], out=out)
        out.addmm_(self.weights[:, 1:], features.T)
        for marked in self.marked:
            targets, columns, values = marked.of(rows)
            if values is not None and len(values):
                places = targets.to(out.device), columns.to(out.device)
                out.index_put_(places, values.to(out), accumulate=True)


def _flat(targets: Ints, rows: Ints, values: Floats) -> Marked:
    return Marked.sorted(targets.ravel(), rows.ravel(), values.ravel())


def nothing(rows: Ints | slice) -> slice:
    """Where row 0 stands among these, ascending, if it is one of them."""
    first = rows.start if isinstance(rows, slice) else rows[0]
    return slice(0, int(first == UNKNOWN))
