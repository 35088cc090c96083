"""Ranks of true items among the whole catalogue, from user vectors and trends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from everfresh.contracts.window import DecodedExample
from everfresh.model.catalogue import Catalogue
from everfresh.model.metrics import MISS, Firsts, Ranks, spread
from everfresh.model.network.batches import (
    Batch,
    EncodedExample,
    cut_into_chunks,
    group_by_tokens,
    pack_batch,
)
from everfresh.model.ranks.rank_blocks import Heard, Others, RankBlocks, Targets
from everfresh.model.ranks.way_scores import Way
from everfresh.model.trends.contexts import Contexts, Sightings
from everfresh.model.trends.counts import Floats, Ints
from everfresh.model.trends.table import TrendTable
from everfresh.model.trends.tail import Tail, counted_by_block, log_order

_BATCH_TOKENS = 8192


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


@dataclass(frozen=True)
class Ranking:
    """How targets are ranked: as of :class:`Way`, or kept up, where a tail moves on."""

    counted: TrendTable | KeptUp | None
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


@dataclass(frozen=True)
class Beside:
    """Items without rows that are ranked among the others wherever trends count.

    There are ``items`` of them. ``scores`` are theirs ``(n, items)`` for user vectors ``(n, dim)``
    and weights of the network ``(n,)``. ``targets`` has the place of each target that is one of
    them, -1 for others, and ``seen``, by target, the places of those that its user had before.
    """

    items: int
    scores: Callable[[Floats, Floats], Floats]
    targets: Ints
    seen: Mapping[int, Sequence[int]]


@dataclass(frozen=True)
class Asked:
    """``examples`` and how they are ranked: :func:`rank_ways` says what ``exclude_seen`` means.

    Only the targets that are ``chosen`` are ranked, all where nothing is said; what is kept up
    hears all of them.
    """

    examples: Sequence[EncodedExample]
    max_length: int
    exclude_seen: bool
    chosen: Firsts | None = None


def rank_examples(
    scorer: Scorer,
    examples: Sequence[EncodedExample],
    max_length: int,
    exclude_seen: bool,
) -> Ranks:
    """As :func:`rank_ways`, by what the ``scorer`` counts alone."""
    asked = Asked(examples, max_length, exclude_seen)
    return rank_ways(scorer, [Ranking(scorer.trends)], asked)[0]


def rank_ways(
    scorer: Scorer,
    ways: Sequence[Ranking],
    asked: Asked,
    heard: Heard | None = None,
    beside: Beside | None = None,
) -> list[Ranks]:
    """1-based ranks of targets, in order of the examples and of their targets: by each of ``ways``,
    of which all that are kept up are by one tail. ``heard`` hears of targets by their numbers
    among all.

    Ties count against the target, as not-a-numbers do, so that a model which tells nothing apart
    gains nothing. With ``exclude_seen`` the user's earlier items, context and earlier targets, are
    no candidates; a target among them, like one without a row, is a ``MISS``.
    """
    with torch.inference_mode():
        targets, place = _targets(scorer, asked)
        ranks = [np.full(len(targets.numbers), MISS, dtype=np.int64) for _ in ways]
        blocks = RankBlocks(scorer.catalogue, beside.items if beside else 0)
        for block, now in _by_block(ways, asked.examples, len(place)):
            at = place[block][place[block] >= 0]
            for begin in range(0, len(at), blocks.targets):
                places = at[begin : begin + blocks.targets]
                part = targets.part(places)
                others = [_others(way, part, beside, asked.exclude_seen) for way in now]
                found = blocks.ranks(part, now, others, heard)
                for by_way, of_part in zip(ranks, found, strict=True):
                    by_way[places] = of_part
    return ranks


def _targets(scorer: Scorer, asked: Asked) -> tuple[Targets, Ints]:
    """Those that are ranked, and where each of all targets stands among them, -1
    for others."""
    examples = asked.examples
    lengths = [len(each.codes[0]) - each.first_target for each in examples]
    numbers = np.flatnonzero(spread(asked.chosen, lengths))
    place = np.full(sum(lengths), -1)
    place[numbers] = np.arange(len(numbers))
    chosen = list(examples)
    if asked.chosen is not None:
        pairs = zip(examples, asked.chosen.tolist(), strict=True)
        chosen = [each.until(each.first_target + number) for each, number in pairs if number]
    before = None
    if asked.exclude_seen:
        before = [
            each.codes[0, :known]
            for each in chosen
            for known in range(each.first_target, len(each.codes[0]))
        ]
    users = scorer.users(chosen, asked.max_length)
    return Targets(numbers, users, contexts_of(chosen), target_rows(chosen), before), place


def _by_block(
    ways: Sequence[Ranking], examples: Sequence[EncodedExample], targets: int
) -> Iterator[tuple[Ints, list[Way]]]:
    """Numbers of targets, of so many in all, that are ranked alike, and the ways as of then."""
    kept_up = next((way.counted for way in ways if isinstance(way.counted, KeptUp)), None)
    if kept_up is None:
        yield np.arange(targets), [_way(way, None) for way in ways]
        return
    for block, tail in counted_by_block(kept_up.tail, kept_up.order, sightings_of(examples)):
        yield block, [_way(way, tail) for way in ways]


def _way(way: Ranking, tail: Tail | None) -> Way:
    counted = tail if isinstance(way.counted, KeptUp) else way.counted
    return Way(counted, way.column)


def _others(way: Way, targets: Targets, beside: Beside | None, exclude_seen: bool) -> Others | None:
    """Items without rows, where they are ranked."""
    if beside is None or way.counted is None or way.column is not None:
        return None
    weights = way.counted.weights_of(targets.contexts)[:, 0]
    scores = beside.scores(targets.users.cpu().numpy(), weights)
    if exclude_seen:
        for at, target in enumerate(targets.numbers.tolist()):
            scores[at, list(beside.seen.get(target, ()))] = -np.inf
    return Others(scores, beside.targets[targets.numbers])
