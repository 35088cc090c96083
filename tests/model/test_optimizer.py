"""The optimiser beside a model that grows: its state, and training that goes on bit-equal."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from everfresh.contracts.errors import CorruptVersion
from everfresh.model.network.batches import make_batches
from everfresh.model.network.row_reads import RowReads
from everfresh.model.optimizer import (
    Optimizer,
    build_optimizer,
    clip_gradients,
    encode_optimizer,
    grow_optimizer,
    restore_optimizer,
    step,
    take_gradients,
)
from everfresh.model.recommender import Recommender
from everfresh.model.row_steps import MOMENTS
from everfresh.model.weights import encode_tensors
from tests.model.streams import SMALL, example, recommender, stream

FIRST, SECOND = stream(1, items=15), stream(2, items=25)


def train(model: Recommender, optimizer: Optimizer, window: int) -> float:
    examples = (FIRST, SECOND)[window - 1]
    torch.manual_seed(window)
    batches = make_batches(examples, model.vocabulary, SMALL, 80, window)
    return [step(model, optimizer, batch) for batch in batches][-1]


def after_first() -> tuple[Recommender, Optimizer]:
    model = recommender(FIRST)
    optimizer = build_optimizer(model, 1e-2)
    train(model, optimizer, 1)
    return model, optimizer


def test_state_grows_with_zeros_and_keeps_what_it_had() -> None:
    model, optimizer = after_first()
    optimizer.rows.settle()
    before = optimizer.rows.moments["items"].clone()
    added = model.admit(SECOND)
    grow_optimizer(optimizer)
    assert added > 0
    for after in (optimizer.rows.moments["items"], optimizer.rows.stepped):
        assert len(after) == model.vocabulary.rows == len(before) + added
        assert not after[len(before) :].any()
    assert torch.equal(optimizer.rows.moments["items"][: len(before)], before)


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
    assert not optimizer.dense.state
    assert not optimizer.rows.steps


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


def test_a_step_is_clipped_by_the_norm_of_the_whole_gradient() -> None:
    model, optimizer = after_first()
    for batch in make_batches(FIRST, model.vocabulary, SMALL, 80, 1):
        torch.autograd.backward(1000 * model.loss(batch))
    taken = take_gradients(optimizer, model)
    whole = [
        torch.zeros_like(table).index_add_(0, taken[name].rows, taken[name].values)
        for name, table in optimizer.rows.tables.items()
    ]
    parts = [weight.grad for weight in model.parameters() if weight.grad is not None]
    norm = torch.cat([grad.flatten() for grad in [*parts, *whole]]).norm()
    assert norm > 1
    before = taken["items"].values.clone()
    clip_gradients([*parts, *(gradient.values for gradient in taken.values())])
    torch.testing.assert_close(taken["items"].values, before / norm)


def test_gradients_of_rows_that_were_read_are_those_of_the_whole_table() -> None:
    table = torch.nn.Parameter(torch.randn(9, 4))
    rows, again = torch.tensor([5, 2, 5, 0]), torch.tensor([2, 8])
    expected = torch.autograd.grad(table[rows].pow(3).sum() + table[again].exp().sum(), table)[0]
    reads = RowReads()
    loss = reads.read("t", table, rows).pow(3).sum() + reads.read("t", table, again).exp().sum()
    torch.autograd.backward(loss)
    taken = reads.take("t", table)
    assert taken is not None
    assert taken.rows.tolist() == [0, 2, 5, 8]
    torch.testing.assert_close(taken.values, expected[taken.rows])
    torch.testing.assert_close(taken.at(torch.arange(9)), expected)
    assert reads.take("t", table) is None


def test_an_earlier_builds_second_moments_are_taken_over() -> None:
    model, optimizer = after_first()
    plain = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.99))
    torch.autograd.backward(model.loss(make_batches(FIRST, model.vocabulary, SMALL, 80, 1)[0]))
    for name, gradient in take_gradients(optimizer, model).items():
        table = optimizer.rows.tables[name]
        table.grad = gradient.at(torch.arange(len(table)))
    plain.step()
    named = dict(model.network.named_parameters())
    raw = encode_tensors(
        {f"{n}/{f}": v for n, w in named.items() for f, v in plain.state[w].items()}
    )
    restore_optimizer(optimizer, model, raw)
    table = model.network.items
    expected = plain.state[table]["exp_avg_sq"].to(MOMENTS)
    assert torch.equal(optimizer.rows.moments["items"], expected)
    assert optimizer.rows.stepped.tolist() == [1] * model.vocabulary.rows
    assert np.isfinite(train(model, optimizer, 1))
    kept = optimizer.dense.state[model.network.start]["exp_avg"]
    assert kept.any()
