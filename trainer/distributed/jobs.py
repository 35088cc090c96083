"""What workers are told of a window, and what they answer. No framework: that is the actor's.

A worker keeps nothing between windows: every job carries the parent's weights, optimizer state and
the strategy's memory, so that a worker that takes a lost one's place needs no more than the next
job, and the group stands where the manifest does (law 5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from everfresh.contracts.settings import Settings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.optimizer import build_optimizer, encode_optimizer, restore_optimizer
from everfresh.model.recommender import Recommender
from everfresh.trainer.distributed.data_parallel import Team
from everfresh.trainer.learning.strategies import build_strategy
from everfresh.trainer.learning.strategies.base import Strategy
from everfresh.trainer.learning.training import Network, Outcome, train_window


class Train(Protocol):
    """:func:`~everfresh.trainer.learning.training.train_window`, or several processes doing it."""

    def __call__(
        self,
        network: Network,
        strategy: Strategy,
        window: TrainingWindow,
        settings: Settings,
        number: int,
        sighted: Sequence[DecodedExample] | None = None,
    ) -> Outcome:
        """Train ``network`` in place. ``WorkerLost`` leaves it spoilt, to be read again."""


@dataclass(frozen=True)
class Job:
    """One window for a worker."""

    model: dict[str, bytes]
    optimizer: bytes
    memory: bytes
    window: TrainingWindow
    number: int
    sighted: Sequence[DecodedExample] | None


def describe_job(
    network: Network,
    strategy: Strategy,
    window: TrainingWindow,
    number: int,
    sighted: Sequence[DecodedExample] | None,
) -> Job:
    """To be made before training begins."""
    return Job(
        network.recommender.save(),
        encode_optimizer(network.optimizer, network.recommender),
        strategy.encode(),
        window,
        number,
        sighted,
    )


def do_job(job: Job, settings: Settings, team: Team) -> str:
    """Train as the others do; the digest of the weights reached."""
    recommender = Recommender.load(settings.model.model_dump(mode="json"), job.model)
    recommender.to(settings.trainer.device)
    optimizer = build_optimizer(recommender, settings.trainer.learning_rate)
    restore_optimizer(optimizer, recommender, job.optimizer)
    network, strategy = Network(recommender, optimizer), build_strategy(settings)
    strategy.restore(job.memory)
    train_window(network, strategy, job.window, settings, job.number, job.sighted, team)
    return digest(network)


def digest(network: Network) -> str:
    """Of weights and vocabulary; equal for all members of a team after a window."""
    found = hashlib.sha256()
    for name, data in sorted(network.recommender.save().items()):
        found.update(name.encode())
        found.update(data)
    return found.hexdigest()
