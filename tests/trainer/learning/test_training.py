from __future__ import annotations

import numpy as np
import pytest
import torch

from everfresh.contracts.settings import Settings
from everfresh.contracts.window import TrainingWindow
from everfresh.model.opponents.opponent_file import encode_opponents
from everfresh.trainer.learning.learner import (
    Learner,
    fresh_learner,
    remember,
    update_opponents,
)
from everfresh.trainer.learning.network import Network, TrainingOutcome
from everfresh.trainer.learning.stepper import SingleProcess
from everfresh.trainer.learning.strategies.base import Strategy
from everfresh.trainer.learning.strategies.replay import Replay
from everfresh.trainer.learning.training import LOWEST_RATE, broken, train_window
from everfresh.trainer.learning.training_batch import TrainingBatch
from tests.trainer.logs import make_log, windows_of
from tests.trainer.small_settings import with_strategy


def windows(settings: Settings, number: int) -> list[TrainingWindow]:
    return windows_of(make_log(2, list(range(number))))


def train(settings: Settings, made: list[TrainingWindow]) -> tuple[Learner, list[TrainingOutcome]]:
    learner = fresh_learner(settings)
    outcomes = []
    for number, window in enumerate(made):
        outcomes.append(train_window(learner.task(window, settings, number)))
        remember(learner, window, number)
    return learner, outcomes


def held_examples(learner: Learner) -> int:
    assert isinstance(learner.strategy, Replay)
    return len(learner.strategy.memory)


def test_the_same_windows_give_the_same_weights_whatever_was_drawn_before(
    small_settings: Settings,
) -> None:
    made = windows(small_settings, 4)
    first, _ = train(small_settings, made)
    torch.rand(7)
    second, _ = train(small_settings, made)
    assert first.network.recommender.save() == second.network.recommender.save()


def test_another_seed_gives_other_weights(small_settings: Settings) -> None:
    made = windows(small_settings, 2)
    tuning = small_settings.trainer.model_copy(update={"seed": 18})
    first, _ = train(small_settings, made)
    second, _ = train(small_settings.model_copy(update={"trainer": tuning}), made)
    assert first.network.recommender.save() != second.network.recommender.save()


def test_the_network_grows_with_the_items_and_learns_what_follows_what(
    small_settings: Settings,
) -> None:
    made = windows(small_settings, 30)
    learner, outcomes = train(small_settings, made)
    assert len(learner.network.recommender.vocabulary) == 12
    # Twelve items, each followed by the next one: guessing costs ln 12 = 2.48.
    assert outcomes[-1].loss < 1.2
    ranks = learner.network.recommender.ranks(made[-1].examples, False)
    assert (ranks == 1).mean() > 0.7


def test_a_window_is_replayed_only_after_it_was_trained(small_settings: Settings) -> None:
    made = windows(small_settings, 2)
    learner = fresh_learner(small_settings)
    train_window(learner.task(made[0], small_settings, 0))
    assert held_examples(learner) == 0
    remember(learner, made[0], 0)
    held = held_examples(learner)
    assert 0 < held <= small_settings.trainer.replay_examples
    train_window(learner.task(made[1], small_settings, 1))
    assert held_examples(learner) == held


def test_replay_adds_steps_in_proportion_to_its_ratio(small_settings: Settings) -> None:
    made = windows(small_settings, 3)
    steps = {}
    for ratio in (0.0, 4.0):
        changed = {"replay_ratio": ratio, "batch_tokens": 16, "replay_examples": 50}
        tuning = small_settings.trainer.model_copy(update=changed)
        _, outcomes = train(small_settings.model_copy(update={"trainer": tuning}), made)
        steps[ratio] = [outcome.steps for outcome in outcomes]
    assert steps[0.0][0] == steps[4.0][0]
    assert steps[4.0][-1] > steps[0.0][-1]


class RateRecorder(SingleProcess):
    """Trains, and notes the rate of every step."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def descend(self, network: Network, strategy: Strategy, batch: TrainingBatch) -> float:
        rate = network.optimizer.rate
        self.rates.append(rate)
        return super().descend(network, strategy, batch)


@pytest.mark.parametrize("schedule", ["constant", "decay"])
def test_the_learning_rate_is_constant_or_falls_along_a_line_and_starts_anew_with_each_window(
    small_settings: Settings, schedule: str
) -> None:
    changed = {"schedule": schedule, "strategy": "finetune", "batch_tokens": 1, "epochs": 3}
    tuning = small_settings.trainer.model_copy(update=changed)
    settings = small_settings.model_copy(update={"trainer": tuning})
    learner, rate = fresh_learner(settings), tuning.learning_rate
    for number, window in enumerate(windows(settings, 3)):
        recorder = RateRecorder()
        train_window(learner.task(window, settings, number), recorder)
        assert len(recorder.rates) % 3 == 0, "as many steps in each pass"
        ends = LOWEST_RATE * rate if schedule == "decay" else rate
        line = np.linspace(rate, ends, len(recorder.rates), endpoint=False)
        assert len(line) > 3
        assert recorder.rates == pytest.approx(line.tolist(), rel=1e-9)


@pytest.mark.parametrize("spoiled", [float("nan"), float("inf")])
def test_weights_or_a_loss_that_are_not_finite_are_broken(
    small_settings: Settings, spoiled: float
) -> None:
    learner, (window,) = fresh_learner(small_settings), windows(small_settings, 1)
    network = learner.network
    outcome = train_window(learner.task(window, small_settings, 0))
    assert broken(network, outcome) is None
    assert "loss" in str(broken(network, TrainingOutcome(spoiled, 3)))
    row = int(outcome.touched[-1])
    with torch.no_grad():
        kept = network.recommender.network.items[row, 1].clone()
        network.recommender.network.items[row, 1] = spoiled
        assert "weights" in str(broken(network, outcome))
        network.recommender.network.items[row, 1] = kept
        assert broken(network, outcome) is None
        network.recommender.parameters()[-1].view(-1)[0] = spoiled
    assert "weights" in str(broken(network, TrainingOutcome(0.5, 3)))


def test_opponents_learn_from_a_window_that_was_not_trained_too(small_settings: Settings) -> None:
    (made,) = windows(small_settings, 1)
    learner = fresh_learner(small_settings)
    before = encode_opponents(learner.opponents)
    update_opponents(learner, made)
    assert encode_opponents(learner.opponents) != before
    assert held_examples(learner) == 0


@pytest.mark.parametrize("strategy", ["replay", "retrain"])
def test_every_row_that_a_window_changes_is_told_and_the_others_are_bit_equal(
    small_settings: Settings, strategy: str
) -> None:
    settings = with_strategy(small_settings, strategy, expire_after_s=0.5, replay_ratio=0.0)
    log = make_log(2, [0, 1, 2, 3], distort=lambda label, walk: [7 * label + i for i in walk])
    learner = fresh_learner(settings)
    for number, window in enumerate(windows_of(log)):
        before = row_tables(learner)
        touched = train_window(learner.task(window, settings, number)).touched
        remember(learner, window, number)
        assert (np.diff(touched) > 0).all()
        after = row_tables(learner)
        for name, table in after.items():
            assert len(table) <= learner.network.recommender.vocabulary.rows
            old = before.get(name, torch.zeros_like(table))
            same = np.setdiff1d(np.arange(len(table)), touched)
            assert same.size == 0 or same[-1] < len(old), f"new rows of {name} are told"
            assert torch.equal(table[same], old[same]), name
    assert strategy == "retrain" or 0 < len(touched) < len(after["items"])


def row_tables(learner: Learner) -> dict[str, torch.Tensor]:
    """Copies of all that has a row per item."""
    recommender, rows = learner.network.recommender, learner.network.optimizer.rows
    held = {n: t for n, t in recommender.trends.tensors().items() if t.dim()}
    held = {name: table for name, table in held.items() if not name.endswith("weights")}
    sightings = torch.from_numpy(recommender.vocabulary._seen.table())
    held["sightings"] = torch.cat([sightings.new_zeros(1, 3), sightings])
    held |= {**rows.tables, "stepped": rows.stepped}
    held |= {f"{name}/moments": table for name, table in rows.moments.items()}
    return {name: table.detach().clone() for name, table in held.items()}
