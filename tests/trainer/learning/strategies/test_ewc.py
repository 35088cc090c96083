from __future__ import annotations

import torch

from everfresh.contracts.settings import Settings
from everfresh.model.optimizer import drop_gradients, take_gradients
from everfresh.trainer.learning.strategies.ewc import Ewc, penalty
from tests.trainer.bench import Bench
from tests.trainer.logs import make_log, windows_of
from tests.trainer.small_settings import with_strategy


def test_the_penalty_is_half_of_importance_times_squared_distance() -> None:
    weights = {
        "table": torch.tensor([[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]),
        "one": torch.tensor(5.0),
    }
    anchor = {"table": torch.tensor([[0.0, 2.0], [1.0, 1.0]]), "one": torch.tensor(2.0)}
    fisher = {"table": torch.tensor([[1.0, 7.0], [0.5, 2.0]]), "one": torch.tensor(0.25)}
    by_hand = (1 * 1 + 7 * 0 + 0.5 * 4 + 2 * 9 + 0.25 * 9) / 2
    assert float(penalty(weights, anchor, fisher)) == by_hand  # the third row is new, and free


def test_importance_is_the_mean_squared_gradient_and_fades(small_settings: Settings) -> None:
    model = small_settings.model.model_copy(update={"dropout": 0.0, "negatives": 50})
    settings = with_strategy(small_settings, "ewc", ewc_examples=10_000, ewc_decay=0.25)
    settings = settings.model_copy(update={"model": model})
    loop = Bench(make_log(2, [1, 2]), settings).run()
    network, strategy = loop.learner.network, loop.learner.strategy
    assert isinstance(strategy, Ewc)
    window = windows_of(make_log(2, [1]))[0]
    before = {name: value.clone() for name, value in strategy._fisher.items()}

    strategy.remember(network, window, 2)

    weights = network.recommender.parameters()
    squares = [torch.zeros_like(weight) for weight in weights]
    for example in window.examples:
        drop_gradients(network.recommender)
        network.recommender.loss(strategy.one_batch(network, [example])).backward()
        for name, gradient in take_gradients(network.optimizer, network.recommender).items():
            table = network.optimizer.rows.tables[name]
            table.grad = gradient.at(torch.arange(len(table)))
        for square, weight in zip(squares, weights, strict=True):
            if weight.grad is not None:
                square.add_(weight.grad**2, alpha=1 / len(window.examples))
    for (name, _), square in zip(
        network.recommender.network.named_parameters(), squares, strict=True
    ):
        torch.testing.assert_close(strategy._fisher[name], square + 0.25 * before[name])


def test_a_heavier_weight_keeps_what_matters_nearer_to_the_parent(
    small_settings: Settings,
) -> None:
    moved = {}
    for weight in (0.0, 1e3):
        settings = with_strategy(small_settings, "ewc", ewc_weight=weight, epochs=10)
        loop = Bench(make_log(2, [1, 2]), settings).start()
        assert loop.step(0)
        strategy, network = loop.learner.strategy, loop.learner.network.recommender.network
        assert isinstance(strategy, Ewc)
        fisher = dict(strategy._fisher)
        before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
        assert loop.step(0)
        after = {name: weight.detach() for name, weight in network.named_parameters()}
        moved[weight] = float(penalty(after, before, fisher))
    assert moved[1e3] < 0.5 * moved[0.0]
