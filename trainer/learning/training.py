"""Learning from one window: admit its items, let the strategy mix it, take the optimizer's steps.

Everything random is drawn from ``(settings.trainer.seed, number)``, where ``number`` is that of the
step in the line of versions. The same learner, window and number give the same weights, bit by
bit, on one machine with one thread count (law 5). How a window is learnt is
``trainer.learning.strategies``.

The learning rate suits a model that never ends: Adam's moments are carried from window to window,
and the rate is either constant or, by ``trainer.schedule``, falls along a line within each window
and starts anew with the next (warm restarts: Loshchilov and Hutter 2017). By
``trainer.parent_share`` a window leaves a mean of the weights before and after it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from everfresh.contracts.settings import Settings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.baselines import LastItemMarkov, Popularity
from everfresh.model.network.batches import derive_seed
from everfresh.model.optimizer import build_optimizer, forget_rows, grow_optimizer
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.vocabulary import Vocabulary
from everfresh.model.weights import all_finite
from everfresh.trainer.distributed.data_parallel import ALONE, Team
from everfresh.trainer.gate.candidate import GateMemory
from everfresh.trainer.learning.parent_mean import Before
from everfresh.trainer.learning.strategies import build_strategy
from everfresh.trainer.learning.strategies.base import Lot, Strategy

_STEP = 4
LOWEST_RATE = 0.05
"""Where a falling learning rate ends, as a share of ``trainer.learning_rate``."""


@dataclass
class Network:
    """What a candidate may spoil: the recommender and its optimizer's state."""

    recommender: Recommender
    optimizer: torch.optim.AdamW


@dataclass
class Learner:
    """All that changes while windows are trained; a checkpoint holds all of it."""

    network: Network
    strategy: Strategy
    popularity: Popularity
    markov: LastItemMarkov
    gate: GateMemory = field(default_factory=GateMemory)


@dataclass(frozen=True)
class Outcome:
    """What training a window came to: mean loss over its steps, their number, tokens seen."""

    loss: float
    steps: int
    tokens: int = 0


def fresh_network(settings: Settings) -> Network:
    """Untrained, with an empty vocabulary."""
    tuning, vocabulary = settings.trainer, Vocabulary(settings.model.admit_after)
    recommender = Recommender(settings.model, vocabulary, tuning.seed).to(tuning.device)
    return Network(recommender, build_optimizer(recommender, tuning.learning_rate))


def fresh_learner(settings: Settings) -> Learner:
    """A learner that has seen nothing."""
    return Learner(
        fresh_network(settings), build_strategy(settings), Popularity(), LastItemMarkov()
    )


def train_window(
    network: Network,
    strategy: Strategy,
    window: TrainingWindow,
    settings: Settings,
    number: int,
    sighted: Sequence[DecodedExample] | None = None,
    team: Team = ALONE,
) -> Outcome:
    """Train ``network`` in place as the strategy has it; what the strategy remembers stays.

    Each pass sees every target of the window once. A loss that is not finite ends the training at
    once: the candidate is broken already. Items are counted in the targets of ``sighted``, where
    the window's own examples are not those that its slices brought.
    """
    passes = strategy.passes(number)
    if not passes:
        return Outcome(0.0, 0)
    strategy.begin(network, window, number)
    share = settings.trainer.parent_share if number and strategy.continues else 0.0
    before = Before.of(network.recommender) if share else None
    examples = window.examples if sighted is None else sighted
    renew_vocabulary(network, examples, window.label, settings)
    losses: list[float] = []
    tokens = 0
    for lot, draw, done in _steps(network, strategy, window, number, passes):
        _set_rate(network, settings, done)
        torch.manual_seed(derive_seed(settings.trainer.seed, number, _STEP, *draw))
        losses.append(team.descend(network, strategy, lot))
        tokens += lot.tokens
        if not math.isfinite(losses[-1]):
            return Outcome(losses[-1], len(losses), tokens)
    if before is not None:
        before.blend(network.recommender, share)
    return Outcome(sum(losses) / len(losses) if losses else 0.0, len(losses), tokens)


def _steps(
    network: Network, strategy: Strategy, window: TrainingWindow, number: int, passes: int
) -> Iterator[tuple[Lot, tuple[int, int], float]]:
    """Every lot of every pass: the lot, its pass and place, the share of the window before it."""
    for epoch in range(passes):
        lots = strategy.lots(network, window, number, epoch)
        for at, lot in enumerate(lots):
            yield lot, (epoch, at), (epoch + at / len(lots)) / passes


def _set_rate(network: Network, settings: Settings, done: float) -> None:
    """The learning rate after the share ``done`` of a window's training."""
    rate = settings.trainer.learning_rate
    if settings.trainer.schedule == "decay":
        rate *= 1 - (1 - LOWEST_RATE) * done
    for group in network.optimizer.param_groups:
        group["lr"] = rate


def renew_vocabulary(
    network: Network, examples: Sequence[DecodedExample], label: int, settings: Settings
) -> None:
    """Admit a window's items, then expire what has not been sighted for long, in log time.

    Labels count periods of ``windows.seconds``, idle ones too, so their distance is log time.
    """
    network.recommender.admit(examples, label)
    if settings.trainer.expire_after_s:
        periods = math.ceil(settings.trainer.expire_after_s / settings.windows.seconds)
        freed = network.recommender.expire(label - periods)
        forget_rows(network.optimizer, network.recommender, freed)
    grow_optimizer(network.optimizer)


def broken(network: Network, outcome: Outcome) -> str | None:
    """Why this candidate must not be published, or ``None`` where nothing speaks against it."""
    if not math.isfinite(outcome.loss):
        return f"loss is {outcome.loss} after {outcome.steps} steps"
    if not all_finite(network.recommender.parameters()):
        return f"weights are not finite after {outcome.steps} steps"
    return None


def remember(
    learner: Learner, trained: TrainingWindow, number: int, window: TrainingWindow | None = None
) -> None:
    """Let the strategy take in what was ``trained``, and the baselines the ``window`` as it was."""
    learner.strategy.remember(learner.network, trained, number)
    update_baselines(learner, window or trained)


def update_baselines(learner: Learner, window: TrainingWindow) -> None:
    """Let the baselines take in a window; they learn from every one, trained or not."""
    learner.popularity.update(window.examples)
    learner.markov.update(window.examples)
