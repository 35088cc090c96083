"""All contenders of ``train_speed`` compute the same loss and gradients."""

from __future__ import annotations

import pytest
import torch

from benchmarks.train_speed import measure
from benchmarks.train_speed.contenders import CONTENDERS, ITEMS, SETTINGS, Contender
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.vocabulary import Vocabulary

SMALL = SETTINGS.model_copy(update={"dim": 6, "max_length": 12, "dropout": 0.0, "negatives": 40})


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda contender: contender.name)
def test_every_contender_computes_the_same_loss_and_gradients(
    contender: Contender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "SETTINGS", SMALL)
    monkeypatch.setattr(measure, "BATCH_TOKENS", 60)
    (batch,) = measure.make_batches([3, 1, 12, 7, 30], 1)
    vocabulary = Vocabulary()
    vocabulary.admit(range(1, ITEMS + 1))
    ours = Recommender(SMALL, vocabulary, 1)
    theirs = Recommender(SMALL, vocabulary, 1)
    state = {name: torch.randn_like(value) for name, value in ours.network.state_dict().items()}
    ours.network.load_state_dict(state)
    padded = contender.padded and SMALL.max_length
    theirs.network = Contender("", padded).network(SMALL)
    theirs.grow()
    theirs.network.load_state_dict(state)
    results = []
    for recommender, parts in ((ours, Contender("").parts()), (theirs, contender.parts())):
        torch.manual_seed(4)
        with parts:
            loss = recommender.loss(batch)
            torch.autograd.backward(loss)
        reads, named = recommender.network.reads, dict(recommender.network.named_parameters())
        for name in ("items", "item_bias"):
            gradient = reads.take(name, named[name])
            assert gradient is not None
            named[name].grad = gradient.at(torch.arange(len(named[name])))
        results.append([loss, *(weight.grad for weight in named.values())])
    for mine, other in zip(*results, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4)
