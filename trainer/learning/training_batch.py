"""What one optimizer step sees, and the part of it that one of several processes computes."""

from __future__ import annotations

import dataclasses
from typing import Self

import numpy as np
import torch

from everfresh.model.network.batches import Batch
from everfresh.model.vocabulary.sightings import ItemRows
from everfresh.model.vocabulary.vocabulary import UNKNOWN


@dataclasses.dataclass(frozen=True)
class TrainingBatch:
    """``sequences`` are learnt from their targets.

    ``past``, where a strategy has it, holds replayed sequences that are not (distillation).
    """

    sequences: Batch
    past: Batch | None = None

    @property
    def tokens(self) -> int:
        """Input tokens of both."""
        return self.sequences.tokens + (self.past.tokens if self.past else 0)

    @property
    def learnt_targets(self) -> int:
        """How many targets the loss is a mean over: those that have a row."""
        return int(
            torch.count_nonzero(self.sequences.predicts & (self.sequences.targets != UNKNOWN))
        )

    @property
    def rows(self) -> ItemRows:
        """The item rows that are read of it, as inputs or targets; ascending."""
        parts = [part for part in (self.sequences, self.past) if part]
        read = [rows.numpy() for part in parts for rows in (part.rows, part.targets)]
        return np.unique(np.concatenate(read))

    def restricted_to(self, rank: int, size: int) -> Self:
        """The sequences that are process ``rank``'s of ``size``; all other fields stay as they are.

        Every ``size``-th sequence from the ``rank``-th on.
        """
        return dataclasses.replace(self, sequences=_every(self.sequences, rank, size))


def _every(batch: Batch, rank: int, size: int) -> Batch:
    lengths = batch.offsets.diff()
    own = torch.arange(len(lengths)) % size == rank
    at = torch.repeat_interleave(own, lengths)
    return Batch(
        batch.rows[at],
        batch.actions[at],
        batch.values[at],
        batch.times[at],
        torch.cat([torch.zeros(1, dtype=torch.long), lengths[own].cumsum(0)]),
        batch.targets[at],
        batch.predicts[at],
    )
