"""What a strategy of learning is: the interface between the trainer's steps and how one learns.

For each window ``trainer.learning.training`` calls, in this order: :meth:`Strategy.passes`; where
that is not zero :meth:`Strategy.begin`, after which the window's items are admitted; then per pass
:meth:`Strategy.training_batches` and, per batch, one optimizer step on :meth:`Strategy.loss`; and
only where the candidate is good, :meth:`Strategy.remember`. What must survive a restart changes in
``remember`` alone, and ``encode`` holds all of it: killed anywhere before, the same window is
learnt again to the same bytes (law 5).
"""

from __future__ import annotations

from torch import Tensor

from everfresh.contracts.settings import Settings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.network.batches import (
    Batch,
    cut_into_chunks,
    derive_seed,
    encode_example,
    make_batches,
    pack_batch,
)
from everfresh.trainer.learning.network import Network
from everfresh.trainer.learning.training_batch import TrainingBatch


class Strategy:
    """Passes over the window and nothing else; subclasses override what they do otherwise.

    ``number`` is that of the step in the lineage, 0 for the first: everything random is
    drawn from it and from ``trainer.seed``. Memories of one ``memory_kind`` can be exchanged.
    """

    memory_kind = "nothing"
    continues = True
    """Whether weights are learnt on from the parent's, so that a mean with them makes sense."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def passes(self, number: int) -> int:
        """Passes over this window; zero leaves weights and vocabulary as they are."""
        tuning = self.settings.trainer
        return (tuning.first_epochs or tuning.epochs) if number == 0 else tuning.epochs

    def begin(self, network: Network, window: TrainingWindow, number: int) -> None:
        """Prepare for the passes: nothing of the window is in the network yet."""

    def training_batches(
        self, network: Network, window: TrainingWindow, number: int, epoch: int
    ) -> list[TrainingBatch]:
        """The steps of one pass, every target of the window once among them."""
        return [
            TrainingBatch(batch)
            for batch in self.shuffled_batches(network, window.examples, number, epoch)
        ]

    def loss(self, network: Network, batch: TrainingBatch) -> Tensor:
        """The scalar to descend."""
        return network.recommender.loss(batch.sequences)

    def remember(self, network: Network, window: TrainingWindow, number: int) -> None:
        """Take in a window that was trained."""

    def encode(self) -> bytes:
        """All that ``remember`` has kept; equal memories give equal bytes."""
        return b""

    def restore(self, raw: bytes) -> None:
        """The inverse of :meth:`encode`, on a new strategy; ``CorruptVersion`` on foreign bytes."""

    def shuffled_batches(
        self, network: Network, examples: list[DecodedExample], number: int, *draw: int
    ) -> list[Batch]:
        """Training batches of these examples, shuffled by ``number`` and ``draw``."""
        return make_batches(
            examples,
            network.recommender.vocabulary,
            self.settings.model,
            self.settings.trainer.batch_tokens,
            self.seed(number, *draw),
        )

    def one_batch(self, network: Network, examples: list[DecodedExample]) -> Batch:
        """All of these examples in one batch, in this order."""
        vocabulary, length = network.recommender.vocabulary, self.settings.model.max_length
        encoded = [encode_example(example, vocabulary) for example in examples]
        return pack_batch(
            [chunk for sequence in encoded for chunk in cut_into_chunks(sequence, length)]
        )

    def seed(self, number: int, *purpose: int) -> int:
        """A seed of its own for every purpose."""
        return derive_seed(self.settings.trainer.seed, number, *purpose)
