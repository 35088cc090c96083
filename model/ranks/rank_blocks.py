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
from everfresh.model.ranks.way_scores import FeaturesOf, Marked, Way, WayScores, nothing
from everfresh.model.trends.contexts import Contexts
from everfresh.model.trends.counts import Floats, Ints

CELLS, ROWS = 262_144, 4_096
"""Scores that are made at once, of so many rows at most."""
_LEAST = 16
"""Rows and targets of a product at least."""


class Heard(Protocol):
    """Who hears how surprising targets are, by the first way and before anything is left out."""

    def wants(self, targets: Ints) -> Ints:
        """Which of these numbers of targets, as places among them, it wants to hear of."""

    def hear(self, targets: Ints, nats: Tensor) -> None:
        """``nats`` ``(n,)`` are minus the logarithms of the softmax at these targets."""


@dataclass(frozen=True)
class Targets:
    """Targets that are ranked together: their ``numbers`` ``(n,)``, user vectors ``(n, dim)``,
    ``contexts``, ``rows`` ``(n,)``, and the rows that each user had ``before``, in any order, where
    these are no candidates."""

    numbers: Ints
    users: Tensor
    contexts: Contexts
    rows: Ints
    before: Sequence[Ints] | None

    def part(self, places: Ints) -> Targets:
        """Those at these places."""
        before = None if self.before is None else [self.before[at] for at in places.tolist()]
        users = self.users[torch.from_numpy(places).to(self.users.device)]
        return Targets(
            self.numbers[places], users, self.contexts.part(places), self.rows[places], before
        )

    def left_out(self) -> Marked | None:
        """What is no candidate."""
        if self.before is None:
            return None
        # Made when it is needed: of all targets of a long history it would be gigabytes.
        seen = [np.unique(rows) for rows in self.before]
        targets = np.repeat(np.arange(len(seen)), [len(rows) for rows in seen])
        return Marked.sorted(targets, np.concatenate([np.zeros(0, np.int64), *seen]))


@dataclass(frozen=True)
class Others:
    """Scores ``(n, items)`` of what has no row, and which of these each target is, -1 for none."""

    scores: Floats
    places: Ints


class RankBlocks:
    """Of one catalogue: who ranks targets among its rows, and so many ``others``."""

    def __init__(self, catalogue: Catalogue, others: int = 0) -> None:
        self._catalogue = catalogue
        self._rows = len(catalogue.bias)
        blocks = -(-self._rows // ROWS)
        # Even ones: a product with a last few rows would be a very small one.
        edges = np.linspace(0, self._rows, blocks + 1).astype(int).tolist()
        self._slices = [slice(*pair) for pair in itertools.pairwise(edges)]
        self.targets = max(1, CELLS // (min(self._rows, ROWS) + others))
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
        self._ways = [WayScores(way, targets.contexts, like) for way in ways]
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
        self._network, self._out = like.new_empty(most), like.new_empty(most)

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
            if len(targets):
                level = targets.to(own.device)
                scores[level, columns.to(own.device)] = own[level]
            # In place, as floats: torch sums flags several times as slowly.
            self._behind[at] += scores.lt_(own[:, None]).sum(1)

    def _leave_out(self, scores: Tensor, rows: Ints | slice) -> None:
        if self._left_out is not None:
            targets, columns, _ = self._left_out.of(rows)
            if len(targets):
                scores[targets.to(scores.device), columns.to(scores.device)] = -torch.inf

    def _scores(self, rows: Ints | slice) -> Iterator[Tensor]:
        """By each way; whoever takes them may overwrite them."""
        device = self._catalogue.bias.device
        part = rows if isinstance(rows, slice) else torch.from_numpy(rows).to(device)
        catalogue = self._catalogue.of(part)
        network = self._shaped(self._network, len(catalogue.bias))
        catalogue.scores_into(network, self._targets.users)
        network[:, nothing(rows)] = -torch.inf
        out = self._shaped(self._out, len(catalogue.bias))
        known: FeaturesOf = {}
        for at, way in enumerate(self._ways, 1):
            # The last one has no more need of the network's: less memory is gone through.
            place = network if at == len(self._ways) else out
            way.fill(place, network, catalogue.bias, rows, known)
            yield place

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
