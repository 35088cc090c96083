"""Ranks of true items among the whole catalogue, from user vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
from everfresh.model.vocabulary.vocabulary import UNKNOWN

_BATCH_TOKENS = 8192


def rank_examples(
    network: Callable[[Batch], Tensor],
    catalogue: Catalogue,
    examples: Sequence[EncodedExample],
    max_length: int,
    exclude_seen: bool,
) -> Ranks:
    """1-based ranks of all targets, in order of the examples and of their targets.

    Ties count against the target, so that a model which tells nothing apart gains nothing.
    With ``exclude_seen`` the user's earlier items, context and earlier targets, are no candidates;
    a target among them, like one without a row, is a ``MISS``.
    """
    chunks = [chunk for example in examples for chunk in cut_into_chunks(example, max_length)]
    users = []
    with torch.inference_mode():
        for group in group_by_tokens(chunks, _BATCH_TOKENS):
            batch = pack_batch(group).to(catalogue.vectors.device)
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
    ranks: Ranks,
    examples: Sequence[EncodedExample],
    catalogue: Catalogue,
    users: Tensor,
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
        table = torch.from_numpy(distinct).to(users.device)
        theirs = catalogue.of(table).scores(users[part])
        position = np.arange(first, len(rows))
        earlier = firsts[None, :] < position[:, None]
        ahead = ~(theirs < own[part, None]).cpu().numpy() & earlier
        repeated = (earlier & (distinct == rows[first:, None])).any(axis=1)
        known = ranks[part] != MISS
        ranks[part] = np.where(repeated, MISS, ranks[part] - ahead.sum(axis=1) * known)
        at += number
