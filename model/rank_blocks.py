"""Ranks among all rows, scored a few at a time while their scores are in the processor's cache.

Of a large catalogue the scores of a window are gigabytes. So a few targets meet a few thousand rows
at once, in every way of ranking: each score is made, compared with its target's own, and forgotten.

What a target itself scores is found first, among the rows of targets alone. Products of matrices
that are very small may differ from others in a last bit, so that those are made larger; and a
target is level with itself, whatever is found later.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from everfresh.model.catalogue import Catalogue
from everfresh.model.metrics import MISS, Ranks
from everfresh.model.trends.contexts import Contexts
from everfresh.model.trends.counts import Floats, Ints
from everfresh.model.trends.table import AGAIN, COLUMNS, links_added
from everfresh.model.vocabulary.vocabulary import UNKNOWN

CELLS, ROWS = 262_144, 4_096
"""Scores that are made at once, of so many rows at most."""
_LEAST = 16
"""Rows and targets of a product at least."""


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


class Heard(Protocol):
    """Who hears how surprising targets are, by the first way and before anything is left out."""

    def wants(self, targets: Ints) -> Ints:
        """Which of these numbers of targets, as places among them, it wants to hear of."""

    def hear(self, targets: Ints, nats: Tensor) -> None:
        """``nats`` ``(n,)`` are minus the logarithms of the softmax at these targets."""


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


_Features = dict[int, Tensor]
"""Features of some rows, by what is counted."""


class _Scored:
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
        if self.numbers.shape[1] > AGAIN:
            # An item that is there twice counts once.
            pairs = np.unique(each << 32 | contexts.lately)
            again = pairs >> 32
            values = self.numbers[again, AGAIN]
            self.marked.append(Marked.sorted(again, pairs & 0xFFFF_FFFF, values))

    def fill(
        self, out: Tensor, network: Tensor, bias: Tensor, rows: Ints | slice, known: _Features
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
            out[:, _nothing(rows)] = -torch.inf
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


def _nothing(rows: Ints | slice) -> slice:
    """Where row 0 stands among these, ascending, if it is one of them."""
    first = rows.start if isinstance(rows, slice) else rows[0]
    return slice(0, int(first == UNKNOWN))


@dataclass(frozen=True)
class Targets:
    """Targets that are ranked together: their ``numbers`` ``(n,)``, user vectors ``(n, dim)``,
    ``contexts``, ``rows`` ``(n,)``, and the rows of each that are no candidates, if any."""

    numbers: Ints
    users: Tensor
    contexts: Contexts
    rows: Ints
    seen: Sequence[Ints] | None

    def part(self, places: Ints) -> Targets:
        """Those at these places."""
        seen = None if self.seen is None else [self.seen[at] for at in places.tolist()]
        users = self.users[torch.from_numpy(places).to(self.users.device)]
        return Targets(
            self.numbers[places], users, self.contexts.part(places), self.rows[places], seen
        )

    def left_out(self) -> Marked | None:
        """What is no candidate."""
        if self.seen is None:
            return None
        targets = np.repeat(np.arange(len(self.seen)), [len(rows) for rows in self.seen])
        return Marked.sorted(targets, np.concatenate([np.zeros(0, np.int64), *self.seen]))


@dataclass(frozen=True)
class Others:
    """Scores ``(n, items)`` of what has no row, and which of these each target is, -1 for none."""

    scores: Floats
    places: Ints


class RankBlocks:
    """Of one catalogue: who ranks targets among its rows."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._rows = len(catalogue.bias)
        blocks = -(-self._rows // ROWS)
        # Even ones: a product with a last few rows would be a very small one.
        edges = np.linspace(0, self._rows, blocks + 1).astype(int).tolist()
        self._slices = [slice(*pair) for pair in itertools.pairwise(edges)]
        self.targets = max(1, CELLS // min(self._rows, ROWS))
        """Targets that are best ranked at once."""

    def ranks(
        self,
        targets: Targets,
        ways: Sequence[Way],
        others: Sequence[Others | None],
        heard: Heard | None = None,
    ) -> list[Ranks]:
        """The rank of each of at most :attr:`targets` targets by each of ``ways``, of which each
        has ``others`` or none; see :func:`everfresh.model.ranking.rank_ways`."""
        number = len(targets.numbers)
        if number < _LEAST:
            places = np.minimum(np.arange(_LEAST), number - 1)
            targets = targets.part(places)
            others = [each and Others(each.scores[places], each.places[places]) for each in others]
        else:
            places = np.arange(number)
        found = _Part(self._catalogue, targets, ways, others, heard, number)
        found.look_at_targets()
        for rows in self._slices:
            found.look_at(rows)
        found.tell()
        return [ranks[:number] for ranks in found.ranks(self._rows)]


class _Part:
    """The ranks of some targets while row after row is looked at."""

    def __init__(
        self,
        catalogue: Catalogue,
        targets: Targets,
        ways: Sequence[Way],
        others: Sequence[Others | None],
        heard: Heard | None,
        number: int,
    ) -> None:
        self._catalogue, self._targets, self._heard = catalogue, targets, heard
        like = catalogue.bias
        self._ways = [_Scored(way, targets.contexts, like) for way in ways]
        self._others = others
        self._left_out = targets.left_out()
        wants = np.zeros(0, np.int64)
        if heard is not None:
            wants = heard.wants(targets.numbers[:number])
        self._wants = torch.from_numpy(wants).to(like.device)
        self._nats: list[Tensor] = []
        self._heard_own = like[:0]
        self._own: list[Tensor] = []
        size = len(targets.numbers)
        self._level = Marked.sorted(np.arange(size), targets.rows)
        self._behind = [like.new_zeros(size, dtype=torch.float64) for _ in ways]
        rows = len(like)
        self._few = np.union1d(targets.rows, np.arange(min(rows, _LEAST)))
        most = size * max(len(self._few), min(rows, ROWS))
        self._network, self._out, self._flags = (like.new_empty(most) for _ in range(3))

    def look_at_targets(self) -> None:
        """What they score, as one of the rows."""
        few = self._few
        columns = torch.from_numpy(np.searchsorted(few, self._targets.rows))[:, None]
        for at, scores in enumerate(self._scores(few)):
            place = columns.to(scores.device)
            if not at:
                self._heard_own = scores.gather(1, place).squeeze(1)[self._wants]
            self._leave_out(scores, few)
            own = scores.gather(1, place).squeeze(1)
            others = self._others[at]
            if others is not None:
                own = self._among_others(at, others, own)
            self._own.append(own)

    def _among_others(self, way: int, others: Others, own: Tensor) -> Tensor:
        """What targets score if some have no row; the others that are behind are counted."""
        scores = torch.from_numpy(others.scores).to(own)
        places = torch.from_numpy(others.places).to(own.device)
        theirs = scores.gather(1, places.clamp(min=0)[:, None]).squeeze(1)
        own = torch.where(places >= 0, theirs, own)
        self._behind[way] += (scores < own[:, None]).sum(1)
        return own

    def look_at(self, rows: slice) -> None:
        """Count what is behind the targets among these rows."""
        targets, columns, _ = self._level.of(rows)
        for at, scores in enumerate(self._scores(rows)):
            if not at and len(self._wants):
                self._nats.append(torch.logsumexp(scores[self._wants], 1))
            self._leave_out(scores, rows)
            own = self._own[at]
            level = targets.to(own.device)
            scores[level, columns.to(own.device)] = own[level]
            flags = self._shaped(self._flags, scores.shape[1])
            # As floats: torch sums flags as such several times as slowly.
            torch.lt(scores, own[:, None], out=flags)
            self._behind[at] += flags.sum(1)

    def _leave_out(self, scores: Tensor, rows: Ints | slice) -> None:
        if self._left_out is not None:
            targets, columns, _ = self._left_out.of(rows)
            scores[targets.to(scores.device), columns.to(scores.device)] = -torch.inf

    def _scores(self, rows: Ints | slice) -> Iterator[Tensor]:
        """By each way, in the same place."""
        device = self._catalogue.bias.device
        part = rows if isinstance(rows, slice) else torch.from_numpy(rows).to(device)
        catalogue = self._catalogue.of(part)
        network = self._shaped(self._network, len(catalogue.bias))
        catalogue.scores_into(network, self._targets.users)
        network[:, _nothing(rows)] = -torch.inf
        out = self._shaped(self._out, len(catalogue.bias))
        known: _Features = {}
        for way in self._ways:
            way.fill(out, network, catalogue.bias, rows, known)
            yield out

    def _shaped(self, buffer: Tensor, columns: int) -> Tensor:
        size = len(self._targets.numbers)
        return buffer[: size * columns].view(size, columns)

    def tell(self) -> None:
        """Say how surprising the targets are that somebody wants to hear of."""
        if self._heard is not None and len(self._wants):
            nats = torch.logsumexp(torch.stack(self._nats, 1), 1) - self._heard_own
            self._heard.hear(self._targets.numbers[self._wants.cpu().numpy()], nats)

    def ranks(self, rows: int) -> Iterator[Ranks]:
        """By each way, among so many ``rows`` and what else there is."""
        for own, behind, others in zip(self._own, self._behind, self._others, strict=True):
            every = rows + (0 if others is None else others.scores.shape[1])
            found = (every - behind.long()).clamp(max=every - 1)
            # Neither what has no row nor what is left out scores anything.
            ranks: Ranks = torch.where(own == -torch.inf, MISS, found).cpu().numpy()
            yield ranks
