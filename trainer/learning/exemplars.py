"""Exemplars: past examples chosen by what the model makes of them, rather than by chance.

After ADER (Mi, Lin, Faltings, RecSys 2020, section 3.1): candidates are the exemplars held and the
new window's examples; each label gets a share of the places drawn by its frequency; a label's share
is filled by herding (Welling 2009, as in iCaRL: the kept mean stays closest to the label's mean) or
by the smallest loss. An example's label is its last event, its vector the user's before that event.
Unlike ADER, which keeps single next-item pairs, an exemplar is the whole example: one pass of a
causal network learns all of its targets for the price of one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from everfresh.contracts.window import DecodedExample
from everfresh.model.network.batches import (
    SequenceChunk,
    encode_example,
    group_by_tokens,
    pack_batch,
)
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.vocabulary import UNKNOWN
from everfresh.trainer.learning.reservoir import Reservoir

_BATCH_TOKENS = 8192


class Exemplars(Reservoir):
    """A reservoir whose examples are chosen anew with each window; ``by`` is herding or loss."""

    def __init__(self, size: int, max_context: int, by: str) -> None:
        super().__init__(size, max_context)
        self._by = by

    def choose(
        self, examples: Sequence[DecodedExample], recommender: Recommender, seed: int
    ) -> None:
        """Choose among those held and ``examples``; the same recommender and seed choose alike."""
        candidates = [*self._examples, *(self._cut(example) for example in examples)]
        self._offered += len(examples)
        vectors, losses, labels = read_examples(recommender, candidates, losses=self._by == "loss")
        shares = draw_shares(labels, self.size, seed)
        chosen: list[int] = []
        for label, share in shares.items():
            members = np.flatnonzero(labels == label)
            if self._by == "herding":
                places = herd(vectors[members].numpy(), share)
            else:
                places = np.argsort(losses[members].numpy(), kind="stable")[:share]
            chosen += members[places].tolist()
        self._examples = [candidates[at] for at in chosen]


def draw_shares(labels: npt.NDArray[np.int64], places: int, seed: int) -> dict[int, int]:
    """Label -> how many of ``places`` it gets, drawn by its frequency; never more than it has."""
    known, counts = np.unique(labels[labels != UNKNOWN], return_counts=True)
    if not len(known):
        return {}
    rng = np.random.Generator(np.random.PCG64(seed))
    drawn = np.minimum(rng.multinomial(places, counts / counts.sum()), counts)
    pairs = zip(known.tolist(), drawn.tolist(), strict=True)
    return {label: share for label, share in pairs if share}


def herd(vectors: npt.NDArray[np.float32], number: int) -> npt.NDArray[np.int64]:
    """Which of the unit ``vectors`` ``(n, d)`` to keep, in order of choice, ``number`` at most.

    Each choice brings the mean of the chosen as close as it can to the mean of all (Welling 2009):
    for unit vectors the next one maximises its product with ``(k + 1) mean - sum of the k chosen``.
    """
    mean = vectors.mean(axis=0)
    wanted, left = mean.copy(), np.ones(len(vectors), dtype=bool)
    chosen: list[int] = []
    for _ in range(min(number, len(vectors))):
        best = int(np.argmax(np.where(left, vectors @ wanted, -np.inf)))
        left[best] = False
        chosen.append(best)
        wanted += mean - vectors[best]
    return np.asarray(chosen, dtype=np.int64)


def read_examples(
    recommender: Recommender, examples: Sequence[DecodedExample], *, losses: bool
) -> tuple[Tensor, Tensor, npt.NDArray[np.int64]]:
    """User vectors ``(n, d)`` before each example's last event, its loss ``(n,)``, its row.

    Losses are over all items, and zeros unless asked for: they cost a score of every item each.
    """
    length = recommender.settings.max_length
    chunks = []
    for example in examples:
        encoded = encode_example(example, recommender.vocabulary)
        stop = encoded.codes.shape[1]
        chunks.append(SequenceChunk(encoded, max(0, stop - length), stop - 1, stop))
    vectors, costs = [], []
    catalogue = recommender.catalogue()
    with torch.inference_mode():
        for group in group_by_tokens(chunks, _BATCH_TOKENS):
            batch = pack_batch(group).to(recommender.network.device)
            users = recommender.network(batch)[batch.predicts]
            vectors.append(users)
            if losses:
                scores, rows = catalogue.item_scores(users), batch.targets[batch.predicts]
                own = scores.gather(1, rows[:, None]).squeeze(1)
                costs.append(torch.logsumexp(scores, dim=1) - own)
    labels = np.array([chunk.example.codes[0, -1] for chunk in chunks], dtype=np.int64)
    costs_or_zeros = torch.cat(costs) if costs else torch.zeros(len(chunks))
    return torch.cat(vectors).cpu(), costs_or_zeros.cpu(), labels
