"""Ranks of true items and best items, over the whole catalogue, from user vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from everfresh.model.metrics import MISS, Ranks
from everfresh.model.network.batches import Batch, Encoded, cut, group_by_tokens, pack
from everfresh.model.vocabulary.vocabulary import UNKNOWN

_BLOCK_SCORES = 8_000_000
_BATCH_TOKENS = 8192
LEAST_NORM = 1e-6
"""Norms of item vectors below this count as this."""


@dataclass(frozen=True)
class Catalogue:
    """Item vectors ``(rows, dim)`` and, per row, a bias and a factor of its scores ``(rows,)``.

    Without factors the vectors are unit vectors over the temperature. With them they are the
    weights themselves, so that a large table is neither copied nor written; not for gradients.
    """

    vectors: Tensor
    bias: Tensor
    factors: Tensor | None = None

    def scores(self, users: Tensor) -> Tensor:
        """Scores ``(n, rows)`` of user vectors ``(n, dim)``."""
        if self.factors is None:
            return torch.addmm(self.bias, users, self.vectors.T)
        return (users @ self.vectors.T).mul_(self.factors).add_(self.bias)

    def of(self, rows: Tensor) -> Catalogue:
        """These rows alone."""
        factors = None if self.factors is None else self.factors[rows]
        return Catalogue(self.vectors[rows], self.bias[rows], factors)

    def item_scores(self, users: Tensor) -> Tensor:
        """The same with minus infinity for row 0, which is no item. Not for gradients."""
        scores = self.scores(users)
        scores[:, UNKNOWN] = -torch.inf
        return scores

    def best(self, user: Tensor, k: int, barred: Sequence[int]) -> tuple[list[int], list[float]]:
        """The ``k`` best rows outside ``barred`` and their scores, best first."""
        scores = self.item_scores(user[None])[0]
        if barred:
            scores[torch.tensor(barred)] = -torch.inf
        found = torch.topk(scores, min(k, len(scores)))
        kept = torch.isfinite(found.values)
        return found.indices[kept].tolist(), found.values[kept].tolist()

    def ranks(self, users: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Ranks ``(n,)`` of ``rows`` among all, ties and not-a-numbers against them; and scores."""
        ranks, own = torch.empty_like(rows), users.new_empty(len(rows))
        step = max(1, _BLOCK_SCORES // len(self.bias))
        for begin in range(0, len(rows), step):
            part = slice(begin, begin + step)
            scores = self.item_scores(users[part])
            own[part] = scores.gather(1, rows[part, None]).squeeze(1)
            behind = (scores < own[part, None]).sum(1)
            ranks[part] = (scores.shape[1] - behind).clamp(max=scores.shape[1] - 1)
        return ranks, own


def factors_of(items: Tensor, temperature: float) -> Tensor:
    """What makes scores by direction over the temperature of products with these weights."""
    norms: Tensor = torch.linalg.vector_norm(items, dim=-1).clamp_(min=LEAST_NORM)
    return norms.mul_(temperature).reciprocal_()


def rank_examples(
    network: Callable[[Batch], Tensor],
    catalogue: Catalogue,
    examples: Sequence[Encoded],
    max_length: int,
    exclude_seen: bool,
) -> Ranks:
    """1-based ranks of all targets, in order of the examples and of their targets.

    Ties count against the target, so that a model which tells nothing apart gains nothing.
    With ``exclude_seen`` the user's earlier items, context and earlier targets, are no candidates;
    a target among them, like one without a row, is a ``MISS``.
    """
    chunks = [chunk for example in examples for chunk in cut(example, max_length)]
    users = []
    with torch.inference_mode():
        for group in group_by_tokens(chunks, _BATCH_TOKENS):
            batch = pack(group).to(catalogue.vectors.device)
            users.append(network(batch)[batch.predicts])
        if not users:
            return np.zeros(0, dtype=np.int64)
        vectors = torch.cat(users)
        rows = np.concatenate([example.codes[0, example.first_target :] for example in examples])
        ranks, own = catalogue.ranks(vectors, torch.from_numpy(rows).to(vectors.device))
        out = np.where(rows == UNKNOWN, MISS, ranks.cpu().numpy())
        if exclude_seen:
            _exclude(out, examples, catalogue, vectors, own)
    return out


def _exclude(
    ranks: Ranks, examples: Sequence[Encoded], catalogue: Catalogue, users: Tensor, own: Tensor
) -> None:
    """Take the user's earlier items out of the candidates, in place."""
    at = 0
    for example in examples:
        rows, first = example.codes[0], example.first_target
        number = len(rows) - first
        part = slice(at, at + number)
        distinct, firsts = np.unique(rows, return_index=True)
        distinct, firsts = distinct[distinct != UNKNOWN], firsts[distinct != UNKNOWN]
        table = torch.from_numpy(distinct).to(users.device)
        theirs = catalogue.of(table).scores(users[part])
        position = np.arange(first, len(rows))
        earlier = firsts[None, :] < position[:, None]
        ahead = ~(theirs < own[part, None]).cpu().numpy() & earlier
        repeated = (earlier & (distinct == rows[first:, None])).any(axis=1)
        known = ranks[part] != MISS
        ranks[part] = np.where(repeated, MISS, ranks[part] - ahead.sum(axis=1) * known)
        at += number
