from __future__ import annotations

import itertools
from dataclasses import dataclass

from everfresh.contracts.settings import Settings
from everfresh.model.network.batches import Batch
from everfresh.trainer.learning.training_batch import TrainingBatch
from tests.trainer.bench import Bench
from tests.trainer.logs import make_log, windows_of
from tests.trainer.small_settings import with_strategy

SIZE = 3


def distillation_batches(settings: Settings) -> list[TrainingBatch]:
    """Those of a window after another, so that there is a past to learn from the parent."""
    settings = with_strategy(settings, "distill")
    learner = Bench(make_log(2, [1]), settings).run().learner
    window = windows_of(make_log(2, [1, 2]))[1]
    learner.strategy.begin(learner.network, window, 1)
    return learner.strategy.training_batches(learner.network, window, 1, 0)


def sequences(batch: Batch) -> list[list[int]]:
    bounds = batch.offsets.tolist()
    return [batch.rows[start:end].tolist() for start, end in itertools.pairwise(bounds)]


def test_the_parts_of_a_batch_are_all_of_its_sequences_once(small_settings: Settings) -> None:
    for batch in distillation_batches(small_settings):
        parts = [batch.restricted_to(rank, SIZE) for rank in range(SIZE)]
        whole = sequences(batch.sequences)
        assert [sequences(part.sequences) for part in parts] == [
            whole[rank::SIZE] for rank in range(SIZE)
        ]
        assert sum(part.learnt_targets for part in parts) == batch.learnt_targets
        assert sum(int(part.sequences.predicts.sum()) for part in parts) == int(
            batch.sequences.predicts.sum()
        )


def test_a_part_of_a_batch_keeps_what_distillation_put_into_it(small_settings: Settings) -> None:
    batches = distillation_batches(small_settings)
    assert any(batch.past for batch in batches)
    for batch in batches:
        for rank in range(SIZE):
            part = batch.restricted_to(rank, SIZE)
            assert part.past is batch.past


@dataclass(frozen=True)
class Weighted(TrainingBatch):
    """As a strategy of its own may have it."""

    weight: float = 1.0


def test_a_part_of_a_batch_of_another_class_keeps_class_and_fields(
    small_settings: Settings,
) -> None:
    (first, *_) = distillation_batches(small_settings)
    part = Weighted(first.sequences, first.past, 0.25).restricted_to(1, 2)
    assert isinstance(part, Weighted)
    assert (part.weight, part.past) == (0.25, first.past)
