"""The optimiser beside a model that grows: its state, and training that goes on bit-equal."""

from __future__ import annotations

import pytest
import torch

from everfresh.contracts.errors import CorruptVersion
from everfresh.model.network.batches import make_batches
from everfresh.model.optimizer import (
    build_optimizer,
    encode_optimizer,
    grow_optimizer,
    restore_optimizer,
    step,
)
from everfresh.model.recommender import Recommender
from tests.model.streams import SMALL, example, recommender, stream

FIRST, SECOND = stream(1, items=15), stream(2, items=25)


def train(model: Recommender, optimizer: torch.optim.AdamW, window: int) -> float:
    examples = (FIRST, SECOND)[window - 1]
    torch.manual_seed(window)
    batches = make_batches(examples, model.vocabulary, SMALL, 80, window)
    return [step(model, optimizer, batch) for batch in batches][-1]


def after_first() -> tuple[Recommender, torch.optim.AdamW]:
    model = recommender(FIRST)
    optimizer = build_optimizer(model, 1e-2)
    train(model, optimizer, 1)
    return model, optimizer


def test_state_grows_with_zeros_and_keeps_what_it_had() -> None:
    model, optimizer = after_first()
    before = optimizer.state[model.network.items]["exp_avg"].clone()
    added = model.admit(SECOND)
    grow_optimizer(optimizer)
    after = optimizer.state[model.network.items]["exp_avg"]
    assert added > 0
    assert torch.equal(after[: len(before)], before)
    assert after.shape == model.network.items.shape
    assert not after[len(before) :].any()


def test_training_goes_on_bit_equal_from_saved_bytes() -> None:
    model, optimizer = after_first()
    files, state = model.save(), encode_optimizer(optimizer, model)
    again = Recommender.load(SMALL.model_dump(), files)
    resumed = build_optimizer(again, 1e-2)
    restore_optimizer(resumed, again, state)
    assert encode_optimizer(resumed, again) == state
    for one, its in ((model, optimizer), (again, resumed)):
        one.admit(SECOND)
        grow_optimizer(its)
        train(one, its, 2)
    assert again.save() == model.save()
    assert encode_optimizer(resumed, again) == encode_optimizer(optimizer, model)


def test_a_fresh_optimizer_has_no_state_and_restores_to_none() -> None:
    model = recommender(FIRST)
    optimizer = build_optimizer(model, 1e-2)
    restore_optimizer(optimizer, model, encode_optimizer(optimizer, model))
    assert not optimizer.state


def test_state_of_other_weights_is_refused() -> None:
    model, optimizer = after_first()
    state = encode_optimizer(optimizer, model)
    smaller = recommender([example(1, [], [1, 2])])
    for wrong in (state, b"no tensors"):
        with pytest.raises(CorruptVersion):
            restore_optimizer(build_optimizer(smaller, 1e-2), smaller, wrong)


def test_steps_lower_the_loss() -> None:
    model = recommender(FIRST)
    optimizer = build_optimizer(model, 1e-2)
    first = train(model, optimizer, 1)
    for _ in range(10):
        last = train(model, optimizer, 1)
    assert last < 0.7 * first
