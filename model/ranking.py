"""Ranks of true items among the whole catalogue, from user vectors and trends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from everfresh.model.trends.counts import Ints
from everfresh.model.trends.table import Contexts, TrendTable
from everfresh.model.trends.tail import Tail, counted_by_block, log_order
from everfresh.model.vocabulary.vocabulary import UNKNOWN

_BATCH_TOKENS = 8192
_BLOCK_SCORES = 8_000_000


@dataclass(frozen=True)
class Scorer:
    """What scores items after events, before trends count: the network and its catalogue."""

    network: Callable[[Batch], Tensor]
    catalogue: Catalogue

    def users(self, examples: Sequence[EncodedExample], max_length: int) -> Tensor:
        """The user vectors ``(n, dim)`` before each target, in order; not for gradients."""
        chunks = [chunk for example in examples for chunk in cut_into_chunks(example, max_length)]
        users = [self.catalogue.vectors[:0]]
        with torch.inference_mode():
            for group in group_by_tokens(chunks, _BATCH_TOKENS):
                batch = pack_batch(group).to(self.catalogue.vectors.device)
                users.append(self.network(batch)[batch.predicts])
            return torch.cat(users)


@dataclass(frozen=True)
class KeptUp:
    """Trends that are kept up: each target is ranked with the tail of the blocks before its own, as
    a replica answers. ``order`` is the targets' in the log. Used once: the tail moves on."""

    tail: Tail
    order: Ints


Counting = TrendTable | KeptUp | None
"""What trends count in a ranking, if any."""


def contexts_of(examples: Sequence[EncodedExample]) -> Contexts:
    """What is before each target, in order of the examples and of their targets."""
    last, known = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for example in examples:
        rows, first = example.codes[0], example.first_target
        last.append(np.append(UNKNOWN, rows)[first : len(rows)])
        known.append(np.arange(first, len(rows)))
    return Contexts(np.concatenate(last), np.concatenate(known))


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
    """The row of each target, in the same order."""
    rows = [example.codes[0, example.first_target :] for example in examples]
    return np.concatenate([np.zeros(0, np.int64), *rows])


def rank_examples(
    scorer: Scorer,
    counting: Sequence[Counting],
    examples: Sequence[EncodedExample],
    max_length: int,
    exclude_seen: bool,
) -> list[Ranks]:
    """1-based ranks of all targets, in order of the examples and of their targets: by the network
    and each of ``counting``, of which one at most is kept up.

    Ties count against the target, as not-a-numbers do, so that a model which tells nothing apart
    gains nothing. With ``exclude_seen`` the user's earlier items, context and earlier targets, are
    no candidates; a target among them, like one without a row, is a ``MISS``.
    """
    with torch.inference_mode():
        users, contexts = scorer.users(examples, max_length), contexts_of(examples)
        rows = target_rows(examples)
        earlier = _Earlier(examples) if exclude_seen else None
        ranks = [np.full(len(rows), MISS, dtype=np.int64) for _ in counting]
        step = max(1, _BLOCK_SCORES // len(scorer.catalogue.bias))
        for block, tables in _tables(counting, contexts, rows):
            for begin in range(0, len(block), step):
                part = block[begin : begin + step]
                of_part = users[torch.from_numpy(part).to(users.device)]
                scores = scorer.catalogue.item_scores(of_part)
                if earlier is not None:
                    earlier.leave_out(scores, part)
                for out, table in zip(ranks, tables, strict=True):
                    pooled = _pooled(scores, table, contexts.part(part))
                    out[part] = _ranks(pooled, rows[part])
    return ranks


def _tables(
    counting: Sequence[Counting], contexts: Contexts, rows: Ints
) -> Iterator[tuple[Ints, list[TrendTable | None]]]:
    """Targets that are ranked by the same tables, and these."""
    kept_up = next((each for each in counting if isinstance(each, KeptUp)), None)
    if kept_up is None:
        yield np.arange(len(rows)), [each for each in counting if not isinstance(each, KeptUp)]
        return
    for block, tail in counted_by_block(kept_up.tail, kept_up.order, contexts.last, rows):
        table = tail.table()
        yield block, [table if isinstance(each, KeptUp) else each for each in counting]


def _pooled(scores: Tensor, table: TrendTable | None, contexts: Contexts) -> Tensor:
    """The network's ``scores`` with what the trends add; these themselves where there are none."""
    if table is None:
        return scores
    pooled = scores.cpu().clone()
    table.pool(pooled.numpy(), contexts)
    return pooled.to(scores.device)


def _ranks(scores: Tensor, rows: Ints) -> Ranks:
    """Ranks of ``rows`` ``(n,)`` among the ``scores`` ``(n, all rows)``."""
    own = scores.gather(1, torch.from_numpy(rows).to(scores.device)[:, None])
    behind = (scores < own).sum(1)
    found = (scores.shape[1] - behind).clamp(max=scores.shape[1] - 1)
    # Neither what has no row nor what is left out scores anything.
    ranks: Ranks = torch.where(own.squeeze(1) == -torch.inf, MISS, found).cpu().numpy()
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
