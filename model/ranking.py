"""Ranks of true items among the whole catalogue, from user vectors and trends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from everfresh.contracts.window import DecodedExample
from everfresh.model.catalogue import Catalogue
from everfresh.model.metrics import MISS, Ranks
from everfresh.model.network.batches import (
    Batch,
    EncodedExample,
    cut_into_chunks,
    group_by_tokens,
    pack_batch,
)
from everfresh.model.trends.contexts import Contexts, Sightings
from everfresh.model.trends.counts import Floats, Ints
from everfresh.model.trends.table import TrendTable
from everfresh.model.trends.tail import Tail, counted_by_block, log_order

_BATCH_TOKENS = 8192
_BLOCK_SCORES = 8_000_000


@dataclass(frozen=True)
class Scorer:
    """What scores items after events: the network, its catalogue, and the trends, if they count."""

    network: Callable[[Batch], Tensor]
    catalogue: Catalogue
    trends: TrendTable | None

    def users(self, examples: Sequence[EncodedExample], max_length: int) -> Tensor:
        """The user vectors ``(n, dim)`` before each target, in order; not for gradients."""
        chunks = [chunk for example in examples for chunk in cut_into_chunks(example, max_length)]
        users = [self.catalogue.vectors[:0]]
        with torch.inference_mode():
            for group in group_by_tokens(chunks, _BATCH_TOKENS):
                batch = pack_batch(group).to(self.catalogue.vectors.device)
                users.append(self.network(batch)[batch.predicts])
            return torch.cat(users)

    def scores(self, users: Tensor, contexts: Contexts) -> Tensor:
        """Scores ``(n, rows)`` of user vectors ``(n, dim)``; minus infinity for what is no item."""
        scores = self.catalogue.item_scores(users)
        if self.trends is None:
            return scores
        pooled = scores.cpu()
        self.trends.pool(pooled.numpy(), contexts)
        return pooled.to(users.device)

    def scores_of(self, rows: Ints, users: Tensor, contexts: Contexts) -> Tensor:
        """Scores ``(n, m)`` of ``m`` distinct items' rows."""
        table = torch.from_numpy(rows).to(users.device)
        scores = self.catalogue.of(table).scores(users)
        if self.trends is None:
            return scores
        pooled = scores.cpu()
        self.trends.pool_some(pooled.numpy(), rows, contexts)
        return pooled.to(users.device)


@dataclass(frozen=True)
class KeptUp:
    """Trends that are kept up: each target is ranked with the tail of the blocks before its own, as
    a replica answers. ``order`` is the targets' in the log. Used once: the tail moves on."""

    tail: Tail
    order: Ints


Counting = TrendTable | KeptUp | None
"""What trends count in a ranking, if any."""


@dataclass(frozen=True)
class Way:
    """How targets are ranked: by the network and what is ``counted``, or by one ``column`` of the
    features of what is counted, alone: then everybody is shown the same."""

    counted: Counting
    column: int | None = None


def contexts_of(examples: Sequence[EncodedExample]) -> Contexts:
    """What is before each target, in order of the examples and of their targets."""
    return Contexts.joined(
        [Contexts.before(each.codes[0], each.codes[3], each.first_target) for each in examples]
    )


def log_order_of(examples: Sequence[DecodedExample]) -> Ints:
    """All targets in the order in which the log has them; by their own times where no log has had
    them."""
    times: list[int] = []
    offsets: list[int] = []
    for example in examples:
        own = [target.time for target in example.targets]
        logged = len(example.appended) == len(own)
        times += example.appended if logged else own
        offsets += example.offsets if len(example.offsets) == len(own) else [0] * len(own)
    return log_order(np.asarray(times, np.int64), np.asarray(offsets, np.int64))


def target_rows(examples: Sequence[EncodedExample]) -> Ints:
    """The row of each target, in the same order; none for a refusal."""
    rows = [example.target_rows[example.first_target :] for example in examples]
    return np.concatenate([np.zeros(0, np.int64), *rows])


def target_times(examples: Sequence[EncodedExample]) -> Ints:
    """The time of each target in UTC seconds, in the same order."""
    times = [example.codes[3, example.first_target :] for example in examples]
    return np.concatenate([np.zeros(0, np.int64), *times])


def sightings_of(examples: Sequence[EncodedExample]) -> Sightings:
    """All targets as trends count them, in the same order."""
    contexts = contexts_of(examples)
    return Sightings.of(target_rows(examples), contexts.last, target_times(examples), contexts.at)


Hear = Callable[[Ints, Tensor, Tensor], None]
"""Called with numbers ``(n,)`` of targets, scores ``(n, rows)``, and scores ``(n,)`` of what was
chosen; may keep none of them. Which targets come together is open."""


@dataclass(frozen=True)
class Beside:
    """Items without rows that are ranked among the others wherever trends count.

    ``scores`` are theirs ``(n, items)`` for user vectors ``(n, dim)`` and weights of the network
    ``(n,)``. ``targets`` has the place of each target that is one of them, -1 for others, and
    ``seen``, by target, the places of those that its user had before.
    """

    scores: Callable[[Floats, Floats], Floats]
    targets: Ints
    seen: Mapping[int, Sequence[int]]


def rank_examples(
    scorer: Scorer,
    examples: Sequence[EncodedExample],
    max_length: int,
    exclude_seen: bool,
) -> Ranks:
    """As :func:`rank_ways`, by what the ``scorer`` counts alone."""
    return rank_ways(scorer, [Way(scorer.trends)], examples, max_length, exclude_seen)[0]


def rank_ways(
    scorer: Scorer,
    ways: Sequence[Way],
    examples: Sequence[EncodedExample],
    max_length: int,
    exclude_seen: bool,
    heard: Hear | None = None,
    beside: Beside | None = None,
) -> list[Ranks]:
    """1-based ranks of all targets, in order of the examples and of their targets: by each of
    ``ways``, of which all that are kept up are by one tail. ``heard`` hears scores by
    the first.

    Ties count against the target, as not-a-numbers do, so that a model which tells nothing apart
    gains nothing. With ``exclude_seen`` the user's earlier items, context and earlier targets, are
    no candidates; a target among them, like one without a row, is a ``MISS``.
    """
    with torch.inference_mode():
        users, contexts = scorer.users(examples, max_length), contexts_of(examples)
        rows = target_rows(examples)
        earlier = _Earlier(examples) if exclude_seen else None
        ranks = [np.full(len(rows), MISS, dtype=np.int64) for _ in ways]
        step = max(1, _BLOCK_SCORES // len(scorer.catalogue.bias))
        counted = [way.counted for way in ways]
        for block, tables in _tables(counted, sightings_of(examples)):
            for begin in range(0, len(block), step):
                part = block[begin : begin + step]
                of_part = users[torch.from_numpy(part).to(users.device)]
                network = scorer.catalogue.item_scores(of_part)
                for number, table in enumerate(tables):
                    wanted, column = rows[part], ways[number].column
                    if table is not None and column is not None:
                        scores = _counted(network, table, column)
                    else:
                        scores = _pooled(network, table, contexts.part(part))
                    if heard is not None and not number:
                        heard(part, scores, _own(scores, wanted))
                    if earlier is not None:
                        earlier.leave_out(scores, part)
                    if beside is not None and table is not None and column is None:
                        weights = table.weights_of(contexts.part(part))[:, 0]
                        scores, wanted = _joined(
                            scores, wanted, of_part, weights, beside, part, exclude_seen
                        )
                    ranks[number][part] = _ranks(scores, wanted)
    return ranks


def _joined(
    scores: Tensor,
    rows: Ints,
    users: Tensor,
    weights: Floats,
    beside: Beside,
    targets: Ints,
    exclude_seen: bool,
) -> tuple[Tensor, Ints]:
    """Scores of rows and, after them, of the items beside; and where each target stands."""
    theirs = beside.scores(users.cpu().numpy(), weights)
    if exclude_seen:
        for at, target in enumerate(targets.tolist()):
            theirs[at, list(beside.seen.get(target, ()))] = -np.inf
    place = beside.targets[targets]
    wanted = np.where(place >= 0, scores.shape[1] + place, rows)
    return torch.cat([scores, torch.from_numpy(theirs).to(scores)], 1), wanted


def _tables(
    counting: Sequence[Counting], events: Sightings
) -> Iterator[tuple[Ints, list[TrendTable | None]]]:
    """Targets that are ranked by the same tables, and these."""
    kept_up = next((each for each in counting if isinstance(each, KeptUp)), None)
    if kept_up is None:
        yield np.arange(len(events)), [each for each in counting if not isinstance(each, KeptUp)]
        return
    blocks = counted_by_block(kept_up.tail, kept_up.order, events)
    for block, tail in blocks:
        table = tail.table()
        yield block, [table if isinstance(each, KeptUp) else each for each in counting]


def _pooled(scores: Tensor, table: TrendTable | None, contexts: Contexts) -> Tensor:
    """The network's ``scores`` with what the trends add, as a new tensor."""
    if table is None:
        return scores.clone()
    pooled = scores.cpu().clone()
    table.pool(pooled.numpy(), contexts)
    return pooled.to(scores.device)


def _counted(network: Tensor, table: TrendTable, column: int) -> Tensor:
    """One feature of what can be recommended, for as many targets as the ``network`` scores."""
    feature = torch.from_numpy(table.features[:, column]).to(network)
    return torch.where(network == -torch.inf, network, feature)


def _own(scores: Tensor, places: Ints) -> Tensor:
    """What each target scores ``(n,)``."""
    return scores.gather(1, torch.from_numpy(places).to(scores.device)[:, None]).squeeze(1)


def _ranks(scores: Tensor, places: Ints) -> Ranks:
    """Ranks of ``places`` ``(n,)`` among the ``scores`` ``(n, all)``."""
    own = _own(scores, places)
    behind = (scores < own[:, None]).sum(1)
    found = (scores.shape[1] - behind).clamp(max=scores.shape[1] - 1)
    # Neither what has no row nor what is left out scores anything.
    ranks: Ranks = torch.where(own == -torch.inf, MISS, found).cpu().numpy()
    return ranks


class _Earlier:
    """The user's items before each target."""

    def __init__(self, examples: Sequence[EncodedExample]) -> None:
        self._rows = [example.codes[0] for example in examples]
        numbers = [len(each.codes[0]) - each.first_target for each in examples]
        self._example = np.repeat(np.arange(len(examples)), numbers)
        self._position = contexts_of(examples).known

    def leave_out(self, scores: Tensor, targets: Ints) -> None:
        """Of the ``scores`` of these targets, in their place."""
        seen = [self._rows[self._example[at]][: self._position[at]] for at in targets]
        at = np.repeat(np.arange(len(seen)), [len(rows) for rows in seen])
        places = torch.from_numpy(np.stack([at, np.concatenate(seen)])).to(scores.device)
        scores[places[0], places[1]] = -torch.inf
