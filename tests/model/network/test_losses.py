"""The sampled loss against the one over all items, and what its gradients are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn import functional

from everfresh.model.network import losses
from everfresh.model.network.batches import Batch, make_batches
from everfresh.model.network.losses import sampled_cross_entropy
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.vocabulary import UNKNOWN
from tests.model.network.plain_hstu import outputs
from tests.model.network.test_hstu import spread_out, tokens_of
from tests.model.streams import SMALL, example, recommender, stream

ITEMS = 20


def inputs(tokens: int, drawn: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    users, own, negatives, bias = (
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((tokens, 3), (tokens,), (drawn, 3), (drawn,))
    )
    return users, own, negatives, bias, torch.randint(-1, drawn, (tokens,), generator=generator)


def plain(users: Tensor, own: Tensor, negatives: Tensor, bias: Tensor, clashes: Tensor) -> Tensor:
    """Token by token, softmax over the target and the drawn items that are not the target."""
    total = torch.zeros((), dtype=torch.float64)
    for token in range(len(users)):
        others = [
            (users[token] * negatives[at]).sum() + bias[at]
            for at in range(len(bias))
            if at != int(clashes[token])
        ]
        logits = torch.stack([own[token], *others])
        total = total + functional.cross_entropy(logits[None], torch.tensor([0]))
    return total


@settings(max_examples=30, deadline=None)
@given(tokens=st.integers(1, 6), drawn=st.integers(2, 5), seed=st.integers(0, 10**6))
def test_the_loss_and_its_gradients_equal_a_softmax_written_out(
    tokens: int, drawn: int, seed: int
) -> None:
    given_inputs = inputs(tokens, drawn, seed)
    loss, expected = sampled_cross_entropy(*given_inputs), plain(*given_inputs)
    torch.testing.assert_close(loss, expected)
    for mine, theirs in zip(
        torch.autograd.grad(loss, given_inputs[:4]),
        torch.autograd.grad(expected, given_inputs[:4]),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("cells", [1, 7, 2**17])
def test_the_gradient_of_the_loss_equals_finite_differences_however_it_is_cut(
    monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    monkeypatch.setattr(losses, "_CELLS", cells)
    *parameters, clashes = inputs(5, 4, 2)
    assert gradcheck(lambda *given: sampled_cross_entropy(*given, clashes), tuple(parameters))


def test_logits_of_any_size_stay_finite() -> None:
    users, own, negatives, bias, clashes = inputs(3, 4, 1)
    for shift in (-1e6, 1e6):
        value = sampled_cross_entropy(users, own + shift, negatives, bias, clashes)
        assert torch.isfinite(value)


def grown(negatives: int) -> tuple[Recommender, Batch]:
    """A network in 64-bit numbers with two free rows, and a batch with targets that have no row."""
    model = recommender([example(9, [], ["old", "older"])], SMALL.model_copy())
    model.settings = SMALL.model_copy(update={"negatives": negatives, "temperature": 0.2})
    model.admit([*stream(2, items=ITEMS), example(8, [], list(range(1, ITEMS + 1)))], label=5)
    assert len(model.expire(3)) == 2
    spread_out(model.network).double()
    with torch.no_grad():
        model.network.popularity.fill_(0.7)
    (batch,) = make_batches(stream(7, items=ITEMS + 5), model.vocabulary, SMALL, 1000, 1)
    assert bool((batch.predicts & (batch.targets == UNKNOWN)).any())
    return model, batch


def plain_loss(model: Recommender, batch: Batch, drawn: list[int]) -> float:
    """The mean over targets with a row, each against the drawn rows that it is not itself."""
    weights = {name: w.detach().numpy() for name, w in model.network.named_parameters()}
    seen = {item: model.vocabulary.sightings(item) for item in range(99)}
    counted = {model.vocabulary.row(item): of.count for item, of in seen.items() if of}
    counts = [counted.get(row, 0) if row else 0 for row in range(model.vocabulary.rows)]
    stands_for = ITEMS / len(drawn)

    def score(user: np.ndarray, row: int) -> float:
        direction = weights["items"][row] / np.linalg.norm(weights["items"][row])
        share = (counts[row] + 1) / (sum(counts) + len(counts))
        bias = weights["item_bias"][row] + 0.7 * math.log(share)
        return float(user @ direction / model.settings.temperature + bias)

    losses = []
    for sequence in range(len(batch.offsets) - 1):
        begin = int(batch.offsets[sequence])
        tokens = tokens_of(batch, sequence)
        for place, user in enumerate(outputs(model.network, tokens, SMALL.heads, SMALL.epsilon)):
            target = int(batch.targets[begin + place])
            if not batch.predicts[begin + place] or target == UNKNOWN:
                continue
            own = math.exp(score(user, target))
            others = sum(math.exp(score(user, row)) for row in drawn if row != target)
            losses.append(math.log((own + stands_for * others) / own))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("negatives", [7, 1000])
def test_a_batchs_loss_equals_a_loop_over_its_targets_and_the_negatives_they_are_not(
    negatives: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = grown(negatives)
    draw, draws = model.negatives.draw, list[list[int]]()

    def seen() -> tuple[Tensor, Tensor]:
        rows, each = draw()
        draws.append(rows.tolist())
        return rows, each

    monkeypatch.setattr(model.negatives, "draw", seen)
    items = set(model.vocabulary.item_rows().tolist())
    assert len(items) == ITEMS
    for seed in range(4):
        torch.manual_seed(seed)
        loss = float(model.loss(batch).detach())
        drawn = draws[-1]
        assert len(set(drawn)) == len(drawn) == min(negatives, ITEMS), "none is drawn twice"
        assert set(drawn) <= items
        assert set(drawn) & set(batch.targets[batch.predicts].tolist()), "some are targets"
        assert loss == pytest.approx(plain_loss(model, batch, drawn), rel=1e-9)
    assert len(set(map(tuple, draws))) == (4 if negatives < ITEMS else 1)
