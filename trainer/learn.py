"""Learning from one window: admit its items, mix it with replay, take the optimizer's steps.

Everything random is drawn from ``(settings.trainer.seed, number)``, where ``number`` is that of the
step in the line of versions. The same learner, window and number give the same weights, bit by
bit, on one machine with one thread count (law 5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from contracts.settings import Settings
from contracts.window import TrainingWindow
from model.baselines import LastItemMarkov, Popularity
from model.batches import derive_seed, make_batches
from model.optimizer import build_optimizer, grow_optimizer, step
from model.recommender import Recommender
from model.vocabulary import Vocabulary
from trainer.replay import Reservoir

_DRAW, _OFFER = 1, 2
"""Second numbers of the seeds of replay, apart from the epochs' (which have a third)."""


@dataclass
class Network:
    """What a candidate may spoil: the recommender and its optimizer's state."""

    recommender: Recommender
    optimizer: torch.optim.AdamW


@dataclass
class Learner:
    """All that changes while windows are trained; a checkpoint holds all of it."""

    network: Network
    replay: Reservoir
    popularity: Popularity
    markov: LastItemMarkov


@dataclass(frozen=True)
class Outcome:
    """What training a window came to: mean loss over its steps, and their number."""

    loss: float
    steps: int


def fresh_network(settings: Settings) -> Network:
    """Untrained, with an empty vocabulary."""
    recommender = Recommender(
        settings.model, Vocabulary(settings.model.admit_after), settings.trainer.seed
    )
    return Network(recommender, build_optimizer(recommender, settings.trainer.learning_rate))


def fresh_learner(settings: Settings) -> Learner:
    """A learner that has seen nothing."""
    replay = Reservoir(settings.trainer.replay_examples, settings.model.max_length)
    return Learner(fresh_network(settings), replay, Popularity(), LastItemMarkov())


def train_window(
    network: Network, replay: Reservoir, window: TrainingWindow, settings: Settings, number: int
) -> Outcome:
    """Train ``network`` in place on the window and on replayed examples, which do not change.

    Each epoch sees every target of the window once and a new draw from the reservoir. A loss that
    is not finite ends the training at once: the candidate is broken already.
    """
    seed, tuning = settings.trainer.seed, settings.trainer
    network.recommender.admit(window.examples)
    grow_optimizer(network.optimizer)
    torch.manual_seed(derive_seed(seed, number))
    losses: list[float] = []
    for epoch in range(tuning.epochs):
        past = replay.draw(
            tuning.replay_ratio * window.events, derive_seed(seed, number, _DRAW, epoch)
        )
        batches = make_batches(
            window.examples + past,
            network.recommender.vocabulary,
            settings.model,
            tuning.batch_tokens,
            derive_seed(seed, number, epoch),
        )
        for batch in batches:
            losses.append(step(network.recommender, network.optimizer, batch))
            if not math.isfinite(losses[-1]):
                return Outcome(losses[-1], len(losses))
    return Outcome(sum(losses) / len(losses) if losses else 0.0, len(losses))


def broken(network: Network, outcome: Outcome) -> str | None:
    """Why this candidate must not be published, or ``None`` where nothing speaks against it."""
    if not math.isfinite(outcome.loss):
        return f"loss is {outcome.loss} after {outcome.steps} steps"
    if not network.recommender.finite():
        return f"weights are not finite after {outcome.steps} steps"
    return None


def remember(learner: Learner, window: TrainingWindow, settings: Settings, number: int) -> None:
    """Let the reservoir and the baselines take in a window that was trained."""
    learner.replay.offer(window.examples, derive_seed(settings.trainer.seed, number, _OFFER))
    update_baselines(learner, window)


def update_baselines(learner: Learner, window: TrainingWindow) -> None:
    """Let the baselines take in a window; they learn from every one, trained or not."""
    learner.popularity.update(window.examples)
    learner.markov.update(window.examples)
