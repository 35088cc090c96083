"""Learning from one window: admit its items, let the strategy mix it, take the optimizer's steps.

Everything random is drawn from ``(settings.trainer.seed, number)``, where ``number`` is that of the
step in the lineage. The same learner, window and number give the same weights, bit by bit, on one
machine with one thread count (law 5). How a window is learnt is ``trainer.learning.strategies``.

The learning rate suits a model that never ends: Adam's moments are carried from window to window,
and the rate is either constant or, by ``trainer.schedule``, falls along a line within each window
and starts anew with the next (warm restarts: Loshchilov and Hutter 2017). By
``trainer.parent_share`` a window leaves a mean of the weights before and after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from everfresh.contracts.settings import Settings
from everfresh.contracts.window import DecodedExample
from everfresh.model.content_learning import begin_rows
from everfresh.model.network.batches import derive_seed
from everfresh.model.optimizer import forget_rows, grow_optimizer
from everfresh.model.trend_learning import learn_trends, weigh_trends
from everfresh.model.vocabulary.admission import Limits, sighted
from everfresh.model.vocabulary.sightings import ItemRows
from everfresh.model.vocabulary.vocabulary import UNKNOWN
from everfresh.model.weights import all_finite
from everfresh.trainer.learning.network import Network, TrainingOutcome
from everfresh.trainer.learning.parent_mean import ParentWeights
from everfresh.trainer.learning.stepper import SINGLE_PROCESS, Stepper
from everfresh.trainer.learning.training_batch import TrainingBatch
from everfresh.trainer.learning.window_task import WindowTask

_STEP, _WEIGHING, _POOL = 4, 8, 9
LOWEST_RATE = 0.05
"""Where a falling learning rate ends, as a share of ``trainer.learning_rate``."""

TrainWindow = Callable[[WindowTask], TrainingOutcome]
"""Trains the task's network in place: :func:`train_window`, or several processes doing it.

``WorkerLost`` leaves the network spoilt, to be read again.
"""


def train_window(task: WindowTask, stepper: Stepper = SINGLE_PROCESS) -> TrainingOutcome:
    """Train the task's network in place; what its strategy remembers stays as it was.

    Each pass sees every target of the window once. A loss that is not finite ends the training at
    once: the candidate is broken already.
    """
    network, settings, number = task.network, task.settings, task.number
    passes = task.strategy.passes(number)
    if not passes:
        return TrainingOutcome(0.0, 0, 0, np.zeros(0, np.int64))
    task.strategy.begin(network, task.window, number)
    share = settings.trainer.parent_share if number and task.strategy.continues else 0.0
    network.optimizer.rows.begin_window(keep=share > 0)
    parent = ParentWeights.of(network) if share else None
    if number:  # before the first window there is nothing to weigh
        seed = derive_seed(settings.trainer.seed, number, _WEIGHING)
        tail = settings.serving.tail
        weigh_trends(network.recommender, task.window.examples, seed, tail=tail)
    renewed = renew_vocabulary(network, task.admitted, task.window.label, settings)
    begin_rows(network.recommender, renewed.came, task.contents)
    counted = learn_trends(network.recommender, task.window.examples)
    losses, tokens = _take_steps(task, passes, stepper)
    stepped = network.optimizer.rows.touched()
    touched = np.unique(np.concatenate([renewed.changed, counted, stepped]))
    if not task.strategy.continues:
        touched = np.arange(network.recommender.vocabulary.rows)
    if losses and not math.isfinite(losses[-1]):
        return TrainingOutcome(losses[-1], len(losses), tokens, touched)
    if parent is not None:
        parent.blend(network, share, renewed.new)
    mean = sum(losses) / len(losses) if losses else 0.0
    return TrainingOutcome(mean, len(losses), tokens, touched)


def _take_steps(task: WindowTask, passes: int, stepper: Stepper) -> tuple[list[float], int]:
    """The losses of a window's steps and their tokens; ends with a loss that is not finite."""
    settings, network = task.settings, task.network
    losses: list[float] = []
    tokens = 0
    for batch, draw, done in _steps(task, passes):
        _set_rate(network, settings, done)
        torch.manual_seed(derive_seed(settings.trainer.seed, task.number, _STEP, *draw))
        losses.append(stepper.descend(network, task.strategy, batch))
        tokens += batch.tokens
        if not math.isfinite(losses[-1]):
            break
    network.recommender.negatives.release_pool()
    network.optimizer.rows.settle()
    return losses, tokens


def _steps(task: WindowTask, passes: int) -> Iterator[tuple[TrainingBatch, tuple[int, int], float]]:
    """Every batch of every pass, its pass and place, and the share of the window before it."""
    for epoch in range(passes):
        batches = task.strategy.training_batches(task.network, task.window, task.number, epoch)
        if not epoch and batches:
            _gather_pool(task, passes * len(batches), batches)
        for place, batch in enumerate(batches):
            yield batch, (epoch, place), (epoch + place / len(batches)) / passes


def _gather_pool(task: WindowTask, steps: int, batches: Sequence[TrainingBatch]) -> None:
    """Choose what the window's negatives are drawn from, by what it reads in its first pass."""
    torch.manual_seed(derive_seed(task.settings.trainer.seed, task.number, _POOL))
    read = np.unique(np.concatenate([batch.rows for batch in batches]))
    task.network.recommender.negatives.gather_pool(steps, read[read != UNKNOWN])


def _set_rate(network: Network, settings: Settings, done: float) -> None:
    """The learning rate after the share ``done`` of a window's training."""
    rate = settings.trainer.learning_rate
    if settings.trainer.schedule == "decay":
        rate *= 1 - (1 - LOWEST_RATE) * done
    network.optimizer.rate = rate


@dataclass(frozen=True)
class RenewedRows:
    """``new`` rows are of items that ``came`` or went; these and others are ``changed``."""

    came: Sequence[int]
    new: ItemRows
    changed: ItemRows


def renew_vocabulary(
    network: Network, examples: Sequence[DecodedExample], label: int, settings: Settings
) -> RenewedRows:
    """Admit a window's items, then expire what has not been sighted for long, in log time, and
    what the settings have no room for.

    Labels count periods of ``windows.seconds``, idle ones too, so their distance is log time.
    """
    limits, recommender = Limits.of(settings.trainer), network.recommender
    items = list(dict.fromkeys(sighted(examples)[0]))
    before = recommender.vocabulary.rows_of(items)
    recommender.admit(examples, label, limits)
    after = recommender.vocabulary.rows_of(items)
    periods = math.ceil(settings.trainer.expire_after_s / settings.windows.seconds)
    freed = recommender.expire(label - periods if periods else 0, limits)
    grow_optimizer(network.optimizer)
    forget_rows(network.optimizer, freed)
    came = [row for row, had in zip(after, before, strict=True) if row != had]
    new = np.asarray([*came, *freed], dtype=np.int64)
    changed = np.concatenate([new, np.asarray(after, dtype=np.int64), recommender.unlinked])
    return RenewedRows(came, new, changed)


def broken(network: Network, outcome: TrainingOutcome) -> str | None:
    """Why this candidate must not be published, or ``None`` where nothing speaks against it."""
    if not math.isfinite(outcome.loss):
        return f"loss is {outcome.loss} after {outcome.steps} steps"
    if not all_finite(changed_weights(network, outcome.touched)):
        return f"weights are not finite after {outcome.steps} steps"
    return None


def changed_weights(network: Network, touched: ItemRows | None) -> Iterator[Tensor]:
    """Weights that a window may have changed; of item tables the rows ``touched``, or all."""
    tables = network.optimizer.rows.tables if touched is not None else {}
    rows = torch.from_numpy(touched if touched is not None else np.zeros(0, np.int64))
    rows = rows.to(network.recommender.network.device)
    for name, weight in network.recommender.network.named_parameters():
        if name not in tables:
            yield weight
        elif len(rows):
            yield weight.detach()[rows]
