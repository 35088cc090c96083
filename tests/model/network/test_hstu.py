"""The network: causality, padding and packing against a plain reading of the paper."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
import torch
from torch import Tensor

from everfresh.model.network.batches import (
    Batch,
    cut_into_chunks,
    encode_example,
    make_batches,
    pack_batch,
)
from everfresh.model.network.hstu import HSTU
from everfresh.model.vocabulary.vocabulary import Vocabulary
from tests.model.network.plain_hstu import outputs
from tests.model.streams import SMALL, example, recommender, stream


def spread_out(network: HSTU) -> HSTU:
    """Weights large enough for every part to show in the output."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.dim():
                weight.normal_(0.0, 0.4, generator=generator)
    return network


def random_batch(lengths: list[int], items: int, seed: int) -> Batch:
    rng = random.Random(seed)
    examples = [
        example(n, [], [rng.randint(1, items) for _ in range(length)])
        for n, length in enumerate(lengths)
    ]
    vocabulary = Vocabulary()
    vocabulary.admit(range(1, items + 1))
    vocabulary.admit_actions(["view", "rating"])
    return pack_batch(
        [
            chunk
            for e in examples
            for chunk in cut_into_chunks(encode_example(e, vocabulary), SMALL.max_length)
        ]
    )


def tokens_of(batch: Batch, sequence: int) -> list[tuple[int, int, int, int]]:
    begin, end = batch.offsets[sequence : sequence + 2].tolist()
    columns = (batch.rows, batch.actions, batch.values, batch.times)
    return list(zip(*(column[begin:end].tolist() for column in columns), strict=True))


def run_alone(network: HSTU, batch: Batch, sequence: int) -> Tensor:
    begin, end = batch.offsets[sequence : sequence + 2].tolist()
    parts = {
        field.name: getattr(batch, field.name)[begin:end] for field in dataclasses.fields(batch)
    }
    parts["offsets"] = torch.tensor([0, end - begin])
    out: Tensor = network(Batch(**parts))
    return out


@pytest.mark.parametrize("epsilon", [1e-5, 0.3])
def test_the_network_equals_its_equations_written_out_in_loops(epsilon: float) -> None:
    settings = SMALL.model_copy(update={"epsilon": epsilon})
    network = spread_out(recommender(stream(1), settings).network)
    batch = random_batch([1, 3, 12, 7, 12, 2], 20, 4)
    with torch.no_grad():
        vectors = network.double()(batch).numpy()
    expected = [
        outputs(network, tokens_of(batch, b), SMALL.heads, epsilon)
        for b in range(len(batch.offsets) - 1)
    ]
    np.testing.assert_allclose(vectors, np.concatenate(expected), rtol=1e-9, atol=1e-9)


def test_a_later_event_changes_no_earlier_output() -> None:
    network = spread_out(recommender(stream(1)).network)
    batch = random_batch([12], 20, 4)
    with torch.no_grad():
        before = network(batch)
        for place in range(1, 12):
            rows, times = batch.rows.clone(), batch.times.clone()
            rows[place] = rows[place] % 20 + 1
            times[place:] += 5_000
            after = network(dataclasses.replace(batch, rows=rows, times=times))
            assert torch.equal(before[:place], after[:place])
            assert not torch.allclose(before[place:], after[place:], atol=1e-3)


def test_a_sequence_gives_the_same_output_whatever_it_is_batched_with() -> None:
    network = spread_out(recommender(stream(1)).network)
    batch = random_batch([12, 1, 5, 11, 12, 4, 12], 20, 9)
    with torch.no_grad():
        together = network(batch)
        alone = torch.cat([run_alone(network, batch, b) for b in range(len(batch.offsets) - 1)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


def test_long_gaps_in_time_change_the_output() -> None:
    network = spread_out(recommender(stream(1)).network)
    batch = random_batch([6], 20, 4)
    later = dataclasses.replace(batch, times=batch.times * 50)
    with torch.no_grad():
        assert not torch.allclose(network(batch), network(later), atol=1e-3)


@pytest.mark.parametrize("negatives", [1000, 7])
def test_the_gradient_of_the_loss_equals_finite_differences(negatives: int) -> None:
    examples = stream(2, users=2, items=10, longest=6)
    model = recommender(examples, SMALL.model_copy(update={"negatives": negatives}))
    network = spread_out(model.network).double()
    (batch,) = make_batches(examples, model.vocabulary, SMALL, 1000, 1)

    def loss() -> Tensor:
        torch.manual_seed(11)
        return model.loss(batch)

    torch.autograd.backward(loss())
    for name, table in (("items", network.items), ("item_bias", network.item_bias)):
        gradient = network.reads.take(name, table)
        assert gradient is not None
        table.grad = gradient.at(torch.arange(len(table)))
    rng = random.Random(6)
    for weight in network.parameters():
        flat, step = weight.data.view(-1), 1e-6
        assert weight.grad is not None
        for place in rng.sample(range(flat.numel()), min(4, flat.numel())):
            kept = float(flat[place])
            flat[place] = kept + step
            above = float(loss().detach())
            flat[place] = kept - step
            below = float(loss().detach())
            flat[place] = kept
            gradient = float(weight.grad.view(-1)[place])
            assert gradient == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-7)


def test_dropout_acts_only_where_it_is_asked_for() -> None:
    network = spread_out(recommender(stream(1)).network)
    batch = random_batch([12, 5], 20, 9)
    with torch.no_grad():
        assert torch.equal(network(batch), network(batch))
        assert not torch.equal(network(batch), network(batch, 0.5))
