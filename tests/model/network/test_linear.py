"""The linear block: its chunks give what its definition says, gradients too."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from everfresh.model.network import chunks
from everfresh.model.network.batches import Batch
from everfresh.model.network.chunks import Chunks
from everfresh.model.network.hstu import HSTU
from tests.model.network.plain_linear import outputs
from tests.model.network.test_hstu import random_batch, run_alone, spread_out, tokens_of
from tests.model.streams import SMALL, recommender, stream

LINEAR = SMALL.model_copy(update={"block": "linear", "max_length": 300, "epsilon": 0.1})
LENGTHS = [1, 3, 33, 7, 70, 2, 32]


@pytest.fixture
def network() -> HSTU:
    return spread_out(recommender(stream(1), LINEAR).network)


def with_times(batch: Batch, seed: int) -> Batch:
    """Pauses of seconds to months, and some that go back."""
    generator = torch.Generator().manual_seed(seed)
    apart = 2.0 ** (torch.rand(batch.tokens, generator=generator) * 22)
    back = torch.where(torch.rand(batch.tokens, generator=generator) < 0.2, -1, 1)
    return dataclasses.replace(batch, times=10**9 + torch.cumsum(apart.long() * back, 0))


def whole(network: HSTU, batch: Batch) -> Tensor:
    number = len(batch.offsets) - 1
    return torch.cat([outputs(network, tokens_of(batch, b)) for b in range(number)])


def test_the_chunks_equal_the_definition(network: HSTU) -> None:
    batch = with_times(random_batch(LENGTHS, 20, 4, LINEAR.max_length), 1)
    network.double()
    with torch.no_grad():
        torch.testing.assert_close(network(batch), whole(network, batch), rtol=1e-6, atol=1e-7)


def test_gradients_equal_those_of_the_definition(network: HSTU) -> None:
    batch = with_times(random_batch([40, 5, 70, 1], 20, 4, LINEAR.max_length), 2)
    network.double()
    wanted = torch.randn(batch.tokens, LINEAR.dim, dtype=torch.float64)
    named = [(name, weight) for name, weight in network.blocks.named_parameters()]
    weights = [weight for _, weight in named]
    ours = torch.autograd.grad((network(batch) * wanted).sum(), weights)
    plain = torch.autograd.grad((whole(network, batch) * wanted).sum(), weights)
    for (name, _), own, other in zip(named, ours, plain, strict=True):
        assert other.abs().max() > 1e-3, name
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("size", [1, 16, 64, 1_000])
def test_the_size_of_chunks_changes_nothing_but_rounding(
    network: HSTU, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = with_times(random_batch(LENGTHS, 20, 4, LINEAR.max_length), 3)
    with torch.no_grad():
        before = network(batch)
        monkeypatch.setattr(chunks, "CHUNK", size)
        torch.testing.assert_close(network(batch), before, rtol=1e-4, atol=2e-5)


def test_a_sequence_gives_the_same_output_whatever_it_is_batched_with(network: HSTU) -> None:
    batch = with_times(random_batch(LENGTHS, 20, 9, LINEAR.max_length), 4)
    with torch.no_grad():
        together = network(batch)
        alone = torch.cat([run_alone(network, batch, b) for b in range(len(LENGTHS))])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=2e-5)


def test_a_later_event_changes_no_earlier_output(network: HSTU) -> None:
    batch = with_times(random_batch([80], 20, 4, LINEAR.max_length), 5)
    with torch.no_grad():
        before = network(batch)
        for place in (1, 31, 32, 33, 79):
            rows, times = batch.rows.clone(), batch.times.clone()
            rows[place] = rows[place] % 20 + 1
            times[place:] += 10**8
            after = network(dataclasses.replace(batch, rows=rows, times=times))
            torch.testing.assert_close(before[:place], after[:place], rtol=1e-4, atol=2e-5)
            assert not torch.allclose(before[place:], after[place:], atol=1e-3)


def test_places_and_seconds_are_told_apart_after_years() -> None:
    """Floats of the seconds themselves would lose all below a minute."""
    times = torch.tensor([0, 1, 2_000_000_000, 2_000_000_001, 2_000_000_001])
    laid = Chunks.of(torch.tensor([0, 5]), times, torch.float32, 4)
    assert laid.seconds.ago[0, 3].tolist() == [2e9, 2e9, 1, 0]
    assert laid.seconds.since[1, 0] == 0
    assert laid.places.since[1, 0] == 1
