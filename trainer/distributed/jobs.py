"""What workers are told of a window, and what they answer. No framework: Ray's are elsewhere.

A worker keeps nothing between windows: every job carries the parent's weights, optimizer state and
the strategy's memory, so that a worker that takes a lost one's place needs no more than the next
job, and the group stands where the manifest does (law 5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from everfresh.contracts.event import ItemId
from everfresh.contracts.settings import Settings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.content.features import Features
from everfresh.model.optimizer import build_optimizer, encode_optimizer, restore_optimizer
from everfresh.model.recommender import Recommender
from everfresh.trainer.learning.network import Network
from everfresh.trainer.learning.stepper import Stepper
from everfresh.trainer.learning.strategies import build_strategy
from everfresh.trainer.learning.training import train_window
from everfresh.trainer.learning.window_task import WindowTask


@dataclass(frozen=True)
class Job:
    """One window for a worker: a ``WindowTask`` as bytes, with the settings of its track."""

    model: dict[str, bytes]
    optimizer: bytes
    memory: bytes
    window: TrainingWindow
    number: int
    sighted: Sequence[DecodedExample] | None
    settings: Settings
    contents: Mapping[ItemId, Features]


def describe_job(task: WindowTask) -> Job:
    """To be made before training begins: the task's network is trained in place."""
    network = task.network
    return Job(
        network.recommender.save(),
        encode_optimizer(network.optimizer, network.recommender),
        task.strategy.encode(),
        task.window,
        task.number,
        task.sighted,
        task.settings,
        task.contents,
    )


def do_job(job: Job, stepper: Stepper) -> str:
    """Train as the others do; the digest of the weights reached."""
    settings = job.settings
    recommender = Recommender.load(settings.model.model_dump(mode="json"), job.model)
    recommender.to(settings.trainer.device)
    optimizer = build_optimizer(recommender, settings.trainer.learning_rate)
    restore_optimizer(optimizer, recommender, job.optimizer)
    network, strategy = Network(recommender, optimizer), build_strategy(settings)
    strategy.restore(job.memory)
    task = WindowTask(
        network, strategy, job.window, settings, job.number, job.sighted, job.contents
    )
    train_window(task, stepper)
    return weights_digest(network)


def weights_digest(network: Network) -> str:
    """Of weights and vocabulary; equal for all members of a group after a window."""
    digest = hashlib.sha256()
    for name, data in sorted(network.recommender.save().items()):
        digest.update(name.encode())
        digest.update(data)
    return digest.hexdigest()
