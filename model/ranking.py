"""Ranks of true items among the whole catalogue, from user vectors and trends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

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
from everfresh.model.vocabulary.vocabulary import UNKNOWN

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


def contexts_of(examples: Sequence[EncodedExample]) -> Contexts:
    """What is before each target, in order of the examples and of their targets."""
    last, known = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for example in examples:
        rows, first = example.codes[0], example.first_target
        last.append(np.append(UNKNOWN, rows)[first : len(rows)])
        known.append(np.arange(first, len(rows)))
    return Contexts(np.concatenate(last), np.concatenate(known))


def target_rows(examples: Sequence[EncodedExample]) -> Ints:
    """The row of each target, in the same order; none for a refusal."""
    rows = [example.target_rows[example.first_target :] for example in examples]
    return np.concatenate([np.zeros(0, np.int64), *rows])


Hear = Callable[[Tensor, Tensor], None]
"""Called with scores ``(n, rows)`` of the next ``n`` targets and ``(n,)`` of what was chosen; may
keep neither."""


def rank_examples(
    scorer: Scorer,
    examples: Sequence[EncodedExample],
    max_length: int,
    exclude_seen: bool,
    heard: Hear | None = None,
) -> Ranks:
    """1-based ranks of all targets, in order of the examples and of their targets.

    Ties count against the target, as not-a-numbers do, so that a model which tells nothing apart
    gains nothing. With ``exclude_seen`` the user's earlier items, context and earlier targets, are
    no candidates; a target among them, like one without a row, is a ``MISS``.
    """
    return rank_targets(scorer, examples, max_length, exclude_seen, heard).ranks


@dataclass(frozen=True)
class RankedTargets:
    """What :func:`rank_examples` finds on its way: of each target its ``rows`` and ``ranks``, its
    ``own`` score, and the user vector and context before it."""

    ranks: Ranks
    rows: Ints
    own: Tensor
    users: Tensor
    contexts: Contexts


def rank_targets(
    scorer: Scorer,
    examples: Sequence[EncodedExample],
    max_length: int,
    exclude_seen: bool,
    heard: Hear | None = None,
) -> RankedTargets:
    """See :func:`rank_examples`."""
    with torch.inference_mode():
        users, contexts = scorer.users(examples, max_length), contexts_of(examples)
        rows = target_rows(examples)
        ranks, own = _ranks(scorer, users, contexts, torch.from_numpy(rows).to(users.device), heard)
        out = np.where(rows == UNKNOWN, MISS, ranks.cpu().numpy())
        if exclude_seen:
            _exclude(out, examples, scorer, users, contexts, own)
    return RankedTargets(out, rows, own, users, contexts)


def _ranks(
    scorer: Scorer, users: Tensor, contexts: Contexts, rows: Tensor, heard: Hear | None
) -> tuple[Tensor, Tensor]:
    """Ranks ``(n,)`` of ``rows`` among all, and their scores."""
    ranks, own = torch.empty_like(rows), users.new_empty(len(rows))
    step = max(1, _BLOCK_SCORES // len(scorer.catalogue.bias))
    for begin in range(0, len(rows), step):
        part = slice(begin, begin + step)
        scores = scorer.scores(users[part], contexts.part(part))
        own[part] = scores.gather(1, rows[part, None]).squeeze(1)
        if heard is not None:
            heard(scores, own[part])
        behind = (scores < own[part, None]).sum(1)
        ranks[part] = (scores.shape[1] - behind).clamp(max=scores.shape[1] - 1)
    return ranks, own


def _exclude(
    ranks: Ranks,
    examples: Sequence[EncodedExample],
    scorer: Scorer,
    users: Tensor,
    contexts: Contexts,
    own: Tensor,
) -> None:
    """Take the user's earlier items out of the candidates, in place."""
    at = 0
    for example in examples:
        rows, first = example.codes[0], example.first_target
        number = len(rows) - first
        part = slice(at, at + number)
        distinct, firsts = np.unique(rows, return_index=True)
        distinct, firsts = distinct[distinct != UNKNOWN], firsts[distinct != UNKNOWN]
        theirs = scorer.scores_of(distinct, users[part], contexts.part(part))
        position = np.arange(first, len(rows))
        earlier = firsts[None, :] < position[:, None]
        ahead = ~(theirs < own[part, None]).cpu().numpy() & earlier
        repeated = (earlier & (distinct == rows[first:, None])).any(axis=1)
        known = ranks[part] != MISS
        ranks[part] = np.where(repeated, MISS, ranks[part] - ahead.sum(axis=1) * known)
        at += number
