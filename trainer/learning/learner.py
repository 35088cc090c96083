"""The learner: all that changes from window to window, as a checkpoint keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from everfresh.contracts.event import ItemId
from everfresh.contracts.settings import Settings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.content.features import Features
from everfresh.model.opponents.opponent_file import begin_version
from everfresh.model.opponents.opponents import Opponents
from everfresh.model.vocabulary.admission import Limits
from everfresh.trainer.gate.memory import GateMemory
from everfresh.trainer.learning.network import Network, fresh_network
from everfresh.trainer.learning.strategies import build_strategy
from everfresh.trainer.learning.strategies.base import Strategy
from everfresh.trainer.learning.window_task import WindowTask
from everfresh.trainer.windows.refusals import without_refusals


@dataclass
class Learner:
    """All that changes while windows are trained; a checkpoint holds all of it."""

    network: Network
    strategy: Strategy
    opponents: Opponents
    gate: GateMemory = field(default_factory=GateMemory)

    def begin_version(self) -> None:
        """A version holds all that was learnt; from now on only what is touched differs."""
        self.network.begin_version()
        begin_version(self.opponents)

    def task(
        self,
        window: TrainingWindow,
        settings: Settings,
        number: int,
        sighted: list[DecodedExample] | None = None,
        contents: Mapping[ItemId, Features] | None = None,
    ) -> WindowTask:
        """To train this learner's network on ``window``; see :class:`WindowTask`."""
        task = WindowTask(self.network, self.strategy, window, settings, number, sighted)
        return task if contents is None else replace(task, contents=contents)


def fresh_learner(settings: Settings) -> Learner:
    """A learner that has seen nothing."""
    return Learner(fresh_network(settings), build_strategy(settings), Opponents())


def remember(
    learner: Learner, trained: TrainingWindow, number: int, window: TrainingWindow | None = None
) -> None:
    """Let the strategy take in what was ``trained``, and the opponents the ``window`` as it was."""
    learner.strategy.remember(learner.network, trained, number)
    update_opponents(learner, window or trained)


def update_opponents(learner: Learner, window: TrainingWindow) -> None:
    """Let the opponents take in a window; they learn from every one, trained or not."""
    tuning = learner.strategy.settings.trainer
    limits = Limits.of(tuning)
    counted = without_refusals(window.examples)
    learner.opponents.update(counted, window.label, limits, tuning.exclude_seen)
