"""An item's row in the tables: from its first sighting to its expiry and the next one's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from everfresh.model.metrics import MISS
from everfresh.model.network.batches import make_batches
from everfresh.model.optimizer import build_optimizer, forget_rows, step
from tests.model.streams import (
    SMALL,
    example,
    interactions,
    recommender,
    scores_of,
    stream,
    trained,
)


def test_an_expired_item_is_never_served_and_its_row_begins_anew() -> None:
    model = recommender([example(1, [], ["old", "kept"])])
    optimizer = build_optimizer(model, 1e-2)
    fresh = model.network.items.detach().clone()
    for batch in make_batches([example(1, [], ["old", "kept"] * 5)], model.vocabulary, SMALL, 9, 1):
        step(model, optimizer, batch)
    trained_row = model.network.items[1].detach().clone()
    model.admit([example(1, [], ["kept"])], 7)
    assert model.expire(7) == [1]
    forget_rows(optimizer, [1])
    items, scores = model.recommend(interactions(["old", "kept"]), 10)
    assert (items, len(scores)) == (["kept"], 1)
    assert model.ranks([example(1, ["kept"], ["old", "kept"])], False).tolist() == [MISS, 1]
    assert not torch.equal(trained_row, fresh[1])
    assert torch.equal(model.network.items[1], fresh[1])
    assert float(model.network.item_bias[1].detach()) == 0.0
    for moments in (*optimizer.rows.moments.values(), optimizer.rows.stepped):
        assert not moments[1].any()
        assert moments[2].any()
    assert model.admit([example(1, [], ["new"])], 8) == 1
    assert model.vocabulary.row("new") == 1
    assert set(model.recommend([], 10)[0]) == {"kept", "new"}


@pytest.mark.parametrize("negatives", [2, 1000])
def test_free_rows_are_no_negatives_and_are_not_trained(negatives: int) -> None:
    settings = SMALL.model_copy(update={"negatives": negatives})
    model = recommender([example(1, [], list(range(1, 9)))], settings)
    model.admit([example(1, [], [2, 4, 6, 8])], 5)
    freed = model.expire(5)
    before = model.network.items.detach().clone()
    optimizer = build_optimizer(model, 1e-2)
    for number in range(3):
        for batch in make_batches(stream(4, items=8), model.vocabulary, settings, 60, number):
            assert np.isfinite(step(model, optimizer, batch))
    assert len(freed) == 4
    assert torch.equal(model.network.items[freed], before[freed])
    kept = model.vocabulary.item_rows()
    assert not torch.equal(model.network.items[kept], before[kept])


def test_items_without_a_row_share_the_cold_row_as_context() -> None:
    model = trained(stream(5), steps=1)
    with torch.no_grad():
        model.network.items[0].normal_()  # as training on contexts with such items leaves it
    known, nothing = interactions([3, 1]), interactions([3])
    cold = [known[0], interactions([0, "never seen"])[1]]
    other = [known[0], interactions([0, "nor this"])[1]]
    answers = [scores_of(model, history) for history in (known, nothing, cold, other)]
    assert np.array_equal(answers[2], answers[3])
    assert not np.allclose(answers[2][1:], answers[0][1:])
    assert not np.allclose(answers[2][1:], answers[1][1:])


def test_the_cold_row_learns_from_contexts_and_not_from_the_start_of_sequences() -> None:
    settings = SMALL.model_copy(update={"admit_after": 3})
    model = recommender([example(1, [], [1, 2, 3] * 3)], settings)
    optimizer = build_optimizer(model, 1e-2)
    for history, moved in (([1], False), (["rare"], True)):
        before = model.network.items[0].detach().clone()
        batches = make_batches([example(1, history, [2, 3])], model.vocabulary, settings, 99, 1)
        step(model, optimizer, batches[0])
        assert torch.equal(before, model.network.items[0].detach()) is not moved


def test_growth_keeps_old_rows_bit_equal() -> None:
    model = trained(stream(5, items=20))
    items, bias = model.network.items.detach().clone(), model.network.item_bias.detach().clone()
    assert model.admit([example(1, [], ["new", "newer"])]) == 2
    assert model.network.items.shape[0] == len(items) + 2
    assert torch.equal(model.network.items[: len(items)], items)
    assert torch.equal(model.network.item_bias[: len(items)], bias)


def test_new_rows_depend_on_seed_and_row_but_not_on_the_steps_of_growth() -> None:
    at_once = recommender([example(1, [], [1, 2, 3, 4])])
    in_steps = recommender([example(1, [], [1])])
    in_steps.admit([example(1, [], [2, 3])])
    in_steps.admit([example(1, [], [4])])
    assert torch.equal(at_once.network.items, in_steps.network.items)
    other = recommender([example(1, [], [1, 2, 3, 4])], seed=4)
    assert not torch.equal(at_once.network.items[1:], other.network.items[1:])


def test_targets_without_a_row_teach_nothing() -> None:
    settings = SMALL.model_copy(update={"admit_after": 2})
    model = recommender([example(1, [], [1, 1, 2, 2, 3])], settings)
    assert len(model.vocabulary) == 2
    (only_unknown,) = make_batches([example(1, [1], [3])], model.vocabulary, settings, 99, 1)
    assert float(model.loss(only_unknown).detach()) == 0.0
    assert model.ranks([example(1, [1], [3])], False).tolist() == [MISS]
